"""Update rules, schedules of the learning rate, limits on gradients, averages of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glubina.graph.names import missing, unknown
from glubina.optim import lr_scheduler
from glubina.optim.adadelta import Adadelta
from glubina.optim.adagrad import Adagrad
from glubina.optim.adam import Adam, AdamW
from glubina.optim.adam_kin import Adamax, NAdam, RAdam
from glubina.optim.asgd import ASGD
from glubina.optim.clip import clip_grad_norm_, clip_grad_value_
from glubina.optim.ema import EMA
from glubina.optim.lbfgs import LBFGS
from glubina.optim.lion import Lion
from glubina.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    InversePowerLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from glubina.optim.muon import Muon
from glubina.optim.optimizer import Optimizer
from glubina.optim.rmsprop import RMSprop
from glubina.optim.rprop import Rprop
from glubina.optim.sgd import SGD

RULES: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "adadelta": Adadelta,
    "adagrad": Adagrad,
    "adamax": Adamax,
    "lion": Lion,
    "nadam": NAdam,
    "radam": RAdam,
    "rmsprop": RMSprop,
    "asgd": ASGD,
    "rprop": Rprop,
}


def named(name: str) -> Callable[[Any], Optimizer]:
    """The rule of a name, to be called with parameters; ValueError lists the names."""
    if name.lower() not in RULES:
        raise ValueError(unknown("optimizer", name, RULES))
    return RULES[name.lower()]


__all__ = [
    "ASGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "EMA",
    "ExponentialLR",
    "InversePowerLR",
    "LBFGS",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "Lion",
    "MultiStepLR",
    "MultiplicativeLR",
    "Muon",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "PolynomialLR",
    "RAdam",
    "RMSprop",
    "RULES",
    "Rprop",
    "ReduceLROnPlateau",
    "SGD",
    "SequentialLR",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
    "named",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
