"""Metrics inside the training program: of every mini-batch a sum and a count, added up there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from glubina.tensor import Tensor

# (outputs, targets) of a mini-batch -> the metric's sum over it (a rank-0 tensor) and the number
# of things summed. The sums stay in the program; a metric over many batches is sum / count.
MetricFunction = Callable[[Tensor, Tensor], tuple[Tensor, int]]


@dataclass(frozen=True)
class Metric:
    """A metric by name: `total(outputs, targets)` gives a mini-batch's sum and count.

    One's own: `Metric("bias", lambda outputs, targets: ((outputs - targets).sum(), len(targets)))`.
    """

    name: str
    total: MetricFunction


def correct(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """The number of examples whose class is right, and the number of examples.

    Outputs (n, ..., classes) against class numbers (n, ...) or against one-hot or soft targets of
    the outputs' shape; outputs with one value per example are probabilities, cut at 0.5.
    """
    if outputs.ndim == 1 or outputs.shape[-1] == 1:
        hits = (outputs.reshape(targets.shape) > 0.5) == (targets > 0.5)
    elif outputs.shape == targets.shape:
        hits = outputs.argmax(axis=-1) == targets.argmax(axis=-1)
    else:
        hits = outputs.argmax(axis=-1) == targets
    return hits.sum(), math.prod(hits.shape)


def squared(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """The sum of squared differences, and the number of elements."""
    difference = _difference(outputs, targets)
    return (difference * difference).sum(), math.prod(difference.shape)


def absolute(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """The sum of absolute differences, and the number of elements."""
    difference = _difference(outputs, targets)
    return abs(difference).sum(), math.prod(difference.shape)


def _difference(outputs: Tensor, targets: Tensor) -> Tensor:
    """Shapes must agree: (n, 1) and (n,) would broadcast to (n, n)."""
    if outputs.shape != targets.shape:
        raise ValueError(
            f"the outputs have shape {tuple(outputs.shape)} and the targets "
            f"{tuple(targets.shape)}; this metric compares element by element"
        )
    return outputs - targets


KNOWN: dict[str, MetricFunction] = {
    "accuracy": correct,
    "mse": squared,
    "mae": absolute,
}


def resolve(metric: str | Metric | MetricFunction) -> Metric:
    """A metric from its name ("accuracy", "mse", "mae"), from a Metric, or from a function."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        if metric not in KNOWN:
            raise ValueError(f"unknown metric {metric!r}; known are {', '.join(KNOWN)}")
        return Metric(metric, KNOWN[metric])
    if not callable(metric):
        raise TypeError(
            f"a metric is a name, a Metric or a function of (outputs, targets), got {metric!r}"
        )
    return Metric(getattr(metric, "__name__", type(metric).__name__), metric)
