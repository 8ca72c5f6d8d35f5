"""Training: the fit loop with its compiled step, history, callbacks, plots and run folders."""

from __future__ import annotations

from typing import Any

from glubina.files import MissingExtraError
from glubina.graph.names import missing
from glubina.train.callbacks import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    FunctionCallback,
    Scheduled,
    ScheduledSteps,
    Session,
)
from glubina.train.checkpoint_file import CheckpointError
from glubina.train.checkpoints import Checkpoints
from glubina.train.history import History
from glubina.train.interrupts import Interrupted
from glubina.train.plots import plot_confusion, plot_examples, plot_history, plot_rates
from glubina.train.progress import ProgressBar
from glubina.train.rate_test import RateTest, find_learning_rate
from glubina.train.run_folder import ModelFile, RunFolder
from glubina.train.several import Several
from glubina.train.stopping import Stop
from glubina.train.trainer import Trainer

__all__ = [
    "Trainer",
    "History",
    "Callback",
    "FunctionCallback",
    "EarlyStopping",
    "CSVLogger",
    "Checkpoint",
    "Checkpoints",
    "CheckpointError",
    "Interrupted",
    "Scheduled",
    "ScheduledSteps",
    "ProgressBar",
    "Session",
    "Several",
    "Stop",
    "plot_history",
    "plot_confusion",
    "plot_examples",
    "plot_rates",
    "RateTest",
    "find_learning_rate",
    "MissingExtraError",
    "RunFolder",
    "ModelFile",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
