"""Accuracy, confusion matrix, precision, recall and F1 over whole arrays of class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Figures = NDArray[np.float64]


def accuracy(y_true: ArrayLike, y_predicted: ArrayLike) -> float:
    """The share of examples whose predicted class is the true one; arrays of shape (n,)."""
    true, predicted = _labels(y_true, y_predicted)
    return float(np.mean(true == predicted))


def confusion_matrix(
    y_true: ArrayLike, y_predicted: ArrayLike, classes: int | None = None
) -> NDArray[np.int64]:
    """How often class i (row) was taken for class j (column): int64 (classes, classes).

    `classes` is the number of classes; None takes the largest label plus one.
    """
    true, predicted = _labels(y_true, y_predicted)
    largest = int(max(true.max(), predicted.max()))
    count = largest + 1 if classes is None else classes
    if largest >= count or min(true.min(), predicted.min()) < 0:
        raise ValueError(
            f"labels must go from 0 to {count - 1}; found {min(true.min(), predicted.min())} "
            f"to {largest}"
        )
    flat = np.bincount(true * count + predicted, minlength=count * count)
    return flat.reshape(count, count).astype(np.int64)


@dataclass(frozen=True)
class Report:
    """Precision, recall, F1 and support of every class, and their means.

    precision: of the examples taken for the class, the share that is of it. recall: of the
    examples of the class, the share that was found. f1: their harmonic mean,
    2 precision recall / (precision + recall). support: the class's examples. Each has shape
    (classes,). Where a share has the denominator 0 it is `zero_division`.
    """

    names: tuple[str, ...]
    precision: Figures
    recall: Figures
    f1: Figures
    support: NDArray[np.int64]
    accuracy: float

    def macro(self) -> dict[str, float]:
        """The plain means over the classes."""
        return self._mean(np.ones(len(self.names)))

    def weighted(self) -> dict[str, float]:
        """The means over the classes, each weighted by its support."""
        return self._mean(self.support.astype(np.float64))

    def _mean(self, weights: Figures) -> dict[str, float]:
        return {
            name: float(np.average(figures, weights=weights))
            for name, figures in (
                ("precision", self.precision),
                ("recall", self.recall),
                ("f1", self.f1),
            )
        }

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        classes = [
            {
                "name": name,
                "precision": float(self.precision[index]),
                "recall": float(self.recall[index]),
                "f1": float(self.f1[index]),
                "support": int(self.support[index]),
            }
            for index, name in enumerate(self.names)
        ]
        return {
            "accuracy": self.accuracy,
            "macro": self.macro(),
            "weighted": self.weighted(),
            "classes": classes,
        }

    def __str__(self) -> str:
        width = max(12, *(len(name) for name in self.names))
        lines = [f"{'':{width}}  precision  recall      f1  support"]
        for index, name in enumerate(self.names):
            lines.append(
                f"{name:{width}}  {self.precision[index]:9.4f}  {self.recall[index]:6.4f}  "
                f"{self.f1[index]:6.4f}  {self.support[index]:7d}"
            )
        lines.append("")
        total = int(self.support.sum())
        lines.append(f"{'accuracy':{width}}  {'':9}  {'':6}  {self.accuracy:6.4f}  {total:7d}")
        for title, mean in (("macro", self.macro()), ("weighted", self.weighted())):
            lines.append(
                f"{title:{width}}  {mean['precision']:9.4f}  {mean['recall']:6.4f}  "
                f"{mean['f1']:6.4f}  {total:7d}"
            )
        return "\n".join(lines)


def classification_report(
    y_true: ArrayLike,
    y_predicted: ArrayLike,
    names: Sequence[str] | None = None,
    zero_division: float = 0.0,
) -> Report:
    """Precision, recall and F1 of every class; `names` are the classes' names in order.

    `zero_division` is the value of a share whose denominator is 0: the precision of a class that
    was never predicted, the recall of one that never occurs, the F1 of one where both are 0.
    """
    matrix = confusion_matrix(y_true, y_predicted, None if names is None else len(names))
    hits = np.diag(matrix).astype(np.float64)
    taken, support = matrix.sum(axis=0), matrix.sum(axis=1)
    # F1 from counts, 2 TP / (2 TP + FP + FN): one division, and defined wherever a count is.
    return Report(
        names=tuple(names) if names is not None else tuple(map(str, range(len(matrix)))),
        precision=_share(hits, taken, zero_division),
        recall=_share(hits, support, zero_division),
        f1=_share(2 * hits, taken + support, zero_division),
        support=support,
        accuracy=float(hits.sum() / support.sum()),
    )


def _share(part: Figures, whole: NDArray[np.int64], otherwise: float) -> Figures:
    share = np.full(len(part), otherwise, np.float64)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _labels(y_true: ArrayLike, y_predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as integer arrays of shape (n,), n > 0."""
    true, predicted = np.asarray(y_true), np.asarray(y_predicted)
    if true.shape != predicted.shape or true.ndim != 1 or len(true) == 0:
        raise ValueError(
            "true and predicted labels must be two arrays of shape (n,) with n > 0; got "
            f"{true.shape} and {predicted.shape}"
        )
    for name, labels in (("true", true), ("predicted", predicted)):
        if labels.dtype.kind not in "biu":
            raise TypeError(f"{name} labels must be integers, got dtype {labels.dtype}")
    return true.astype(np.int64), predicted.astype(np.int64)
