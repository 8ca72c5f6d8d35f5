"""Figures of merit: over whole arrays in NumPy, and as sums that the training program keeps."""

from __future__ import annotations

from glubina.metrics.classification import Report, accuracy, classification_report, confusion_matrix
from glubina.metrics.regression import mean_absolute_error, mean_squared_error
from glubina.metrics.running import Metric, MetricFunction, resolve

__all__ = [
    "accuracy",
    "confusion_matrix",
    "classification_report",
    "Report",
    "mean_squared_error",
    "mean_absolute_error",
    "Metric",
    "MetricFunction",
    "resolve",
]
