"""Metrics inside the training program: of every mini-batch a sum and a count, added up there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glubina.graph.names import unknown
from glubina.tensor import Tensor, arange, stack, where

# (outputs, targets) of a mini-batch -> the metric's sum over it (a tensor, of rank 0 as a rule) and
# the number of things summed. The sums stay in the program; what a metric is over many batches is
# worked out from the sums over all of them: sum / count, or what `finish` makes of them.
MetricFunction = Callable[[Tensor, Tensor], tuple[Tensor, int]]
Finish = Callable[[NDArray[np.float64], int], float]


@dataclass(frozen=True)
class Metric:
    """A metric by name: `total(outputs, targets)` gives a mini-batch's sum and count.

    One's own: `Metric("bias", lambda outputs, targets: ((outputs - targets).sum(), len(targets)))`.
    finish: from the sums and the count over the whole set to the figure; sum / count unless given.
    """

    name: str
    total: MetricFunction
    finish: Finish | None = None


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


def in_top(k: int) -> MetricFunction:
    """The number of examples whose class is among the k largest outputs (ties go to the label)."""

    def total(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
        classes = arange(outputs.shape[-1], dtype=np.int64)
        one_hot = classes == targets.astype(np.int64).reshape((*targets.shape, 1))
        own = where(one_hot, outputs, 0.0).sum(axis=-1)
        larger = (outputs > own.reshape((*own.shape, 1))).sum(axis=-1)
        hits = larger < k
        return hits.sum(), math.prod(hits.shape)

    return total


def class_counts(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """By class the examples found, predicted and there: (3, classes), and the examples.

    Outputs with one value per example are probabilities of class 1, cut at 0.5.
    """
    if outputs.ndim == 1 or outputs.shape[-1] == 1:
        predicted, width = (outputs.reshape((-1,)) > 0.5).astype(np.int64), 2
        true = (targets.reshape((-1,)) > 0.5).astype(np.int64)
    else:
        width = outputs.shape[-1]
        soft = outputs.shape == targets.shape
        predicted = outputs.argmax(axis=-1).reshape((-1,))
        true = (targets.argmax(axis=-1) if soft else targets).reshape((-1,)).astype(np.int64)
    classes = arange(width, dtype=np.int64)
    guess, label = classes == predicted.reshape((-1, 1)), classes == true.reshape((-1, 1))
    rows = [(guess & label).sum(axis=0), guess.sum(axis=0), label.sum(axis=0)]
    return stack(rows), true.shape[0]


def _shares(counts: NDArray[np.float64], beta: float) -> dict[str, NDArray[np.float64]]:
    hits, taken, there = counts
    squared_beta = beta * beta
    return {
        "precision": hits / np.maximum(taken, 1),
        "recall": hits / np.maximum(there, 1),
        "f": (1 + squared_beta) * hits / np.maximum(taken + squared_beta * there, 1e-300),
    }


def of_classes(share: str, average: str, beta: float = 1.0) -> Finish:
    """Precision, recall or F-beta ("f") from `class_counts`, averaged over the classes."""

    def finish(counts: NDArray[np.float64], count: int) -> float:
        if average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        values = _shares(counts, beta)[share]
        there = counts[2] if average == "weighted" else counts[1] + counts[2] > 0
        return float(np.average(values, weights=np.maximum(there, 1e-300)))

    return finish


def moments_of_targets(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Sums of squared errors, of targets and of squared targets: (3,), and the elements."""
    difference = _difference(outputs, targets).astype(np.float64)
    wide = targets.astype(np.float64)
    sums = [(difference * difference).sum(), wide.sum(), (wide * wide).sum()]
    return stack(sums), math.prod(difference.shape)


def _root_mean(total: NDArray[np.float64], count: int) -> float:
    return math.sqrt(float(total) / max(count, 1))


def _explained(sums: NDArray[np.float64], count: int) -> float:
    errors, total, squares = (float(v) for v in sums)
    spread = squares - total * total / max(count, 1)
    return 1 - errors / spread if spread > 0 else 0.0


KNOWN: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", correct),
        Metric("top5_accuracy", in_top(5)),
        Metric("precision", class_counts, of_classes("precision", "macro")),
        Metric("recall", class_counts, of_classes("recall", "macro")),
        Metric("f1", class_counts, of_classes("f", "macro")),
        Metric("f1_micro", class_counts, of_classes("f", "micro")),
        Metric("f1_weighted", class_counts, of_classes("f", "weighted")),
        Metric("mse", squared),
        Metric("mae", absolute),
        Metric("rmse", squared, _root_mean),
        Metric("r2", moments_of_targets, _explained),
    )
}


def resolve(metric: str | Metric | MetricFunction) -> Metric:
    """A metric from its name (as "accuracy", "f1", "mse"), from a Metric, or from a function."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        if metric not in KNOWN:
            raise ValueError(unknown("metric", metric, KNOWN))
        return KNOWN[metric]
    if not callable(metric):
        raise TypeError(
            f"a metric is a name, a Metric or a function of (outputs, targets), got {metric!r}"
        )
    return Metric(getattr(metric, "__name__", type(metric).__name__), metric)
