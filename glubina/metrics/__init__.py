"""Figures of merit: over whole arrays in NumPy, and as sums that the training program keeps."""

from __future__ import annotations

from typing import Any

from glubina.graph.names import missing
from glubina.metrics.classification import Report, accuracy, classification_report, confusion_matrix
from glubina.metrics.regression import (
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)
from glubina.metrics.running import Metric, MetricFunction, resolve
from glubina.metrics.scores import (
    f1_score,
    fbeta_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy,
)

__all__ = [
    "accuracy",
    "confusion_matrix",
    "classification_report",
    "Report",
    "mean_squared_error",
    "mean_absolute_error",
    "root_mean_squared_error",
    "r2_score",
    "f1_score",
    "fbeta_score",
    "precision_score",
    "recall_score",
    "top_k_accuracy",
    "roc_auc_score",
    "log_loss",
    "Metric",
    "MetricFunction",
    "resolve",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
