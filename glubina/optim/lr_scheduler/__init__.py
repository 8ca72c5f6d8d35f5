"""Schedules of the learning rate."""

from __future__ import annotations

from glubina.optim.lr_scheduler.base import LRScheduler
from glubina.optim.lr_scheduler.closed import (
    ConstantLR,
    ExponentialLR,
    InversePowerLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from glubina.optim.lr_scheduler.combined import ChainedScheduler, ReduceLROnPlateau, SequentialLR
from glubina.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from glubina.optim.lr_scheduler.waves import CosineAnnealingLR, CosineAnnealingWarmRestarts

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "InversePowerLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
