"""What a classifier decides: its regions in two dimensions, and which classes it confuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.inside import batch_of
from glubina.explain.shown import Shown
from glubina.metrics import confusion_matrix
from glubina.nn import Module
from glubina.tensor import Tensor, no_grad, tensor
from glubina.train.protocol import in_use

Array = NDArray[Any]


@dataclass(frozen=True)
class Regions(Shown):
    """The classes of a grid of points.

    x: (columns,), y: (rows,). scores: (rows, columns, outputs). classes: (rows, columns). data:
    (n, 2) and labels (n,), the examples; predicted: (n,), their classes by the network.
    """

    x: Array
    y: Array
    scores: Array
    classes: Array
    data: Array
    labels: Array | None
    predicted: Array

    def plot(self, path: str | os.PathLike[str], names: Sequence[str] | None = None) -> None:
        """Draw regions, boundaries and examples as a PNG; a ring marks a wrong example.

        Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.learned_plot import plot_regions

        plot_regions(self, path, names)


def decision_regions(
    model: Module | Callable[[Tensor], Tensor],
    x: Any,
    y: ArrayLike | None = None,
    *,
    points: int = 150,
    margin: float = 0.15,
    threshold: float = 0.0,
) -> Regions:
    """The class that a network gives each point of a grid over two-dimensional data.

    x: (n, 2); y: (n,), class numbers. points: along each axis. margin: of the grid around the
    data, as a share of their range. Of several outputs the largest is the class; one output is
    class 1 above the threshold (0 for logits, 0.5 for probabilities).
    """
    data = np.asarray(tensor(x).numpy())
    if data.ndim != 2 or data.shape[1] != 2 or not len(data):
        raise ExplainError(f"decision regions are of data (n, 2), got {data.shape}")
    low, high = data.min(axis=0), data.max(axis=0)
    room = margin * np.where(high > low, high - low, 1)
    across, up = (np.linspace(low[i] - room[i], high[i] + room[i], points) for i in (0, 1))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(data.dtype)
    scores = _scores(model, np.concatenate([grid, data]))
    several = scores.shape[1] > 1
    classes = scores.argmax(axis=1) if several else (scores[:, 0] > threshold).astype(np.int64)
    inside, form = len(grid), (points, points)
    labels = None if y is None else np.asarray(y).reshape(-1)
    return Regions(
        across,
        up,
        scores[:inside].reshape(*form, -1),
        classes[:inside].reshape(form),
        data,
        labels,
        classes[inside:],
    )


def _scores(model: Module | Callable[[Tensor], Tensor], points: Array) -> Array:
    """The outputs for points, (points, outputs)."""
    if isinstance(model, Module):
        with in_use(model):
            found = model(batch_of(model, points)).numpy()
    else:
        with no_grad():
            found = model(tensor(points)).numpy()
    scores: Array = found.reshape(len(points), -1)
    return scores


@dataclass(frozen=True)
class Confusion:
    """Two classes of which one is taken for the other.

    count: how often; share: of the true class's examples. indices: (count,), of the examples, the
    surest mistakes first where there are scores.
    """

    true: int
    predicted: int
    count: int
    share: float
    indices: Array


@dataclass(frozen=True)
class Confusions(Shown):
    """The most confused pairs of classes, the most frequent first, and the examples."""

    pairs: tuple[Confusion, ...]
    x: Array

    def plot(
        self,
        path: str | os.PathLike[str],
        names: Sequence[str] | None = None,
        columns: int = 8,
    ) -> None:
        """Draw the images of each pair in a row, as a PNG.

        Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.learned_plot import plot_confusions

        plot_confusions(self, path, names, columns)


def most_confused(x: Any, y: ArrayLike, predicted: ArrayLike, pairs: int = 6) -> Confusions:
    """Which classes are most often taken for which other ones.

    x: (n, ...), the examples. y: (n,), the true classes. predicted: (n,), or scores (n, classes),
    as `model.predict` gives them.
    """
    true, given = np.asarray(y), np.asarray(predicted)
    if true.ndim != 1 or given.ndim not in (1, 2) or not len(x) == len(true) == len(given):
        raise ExplainError(
            "expected as many examples as classes (n,) and predictions (n,) or (n, classes), got "
            f"{len(x)}, {true.shape} and {given.shape}"
        )
    chosen = given if given.ndim == 1 else given.argmax(axis=1)
    matrix = confusion_matrix(true, chosen)
    totals = matrix.sum(axis=1)
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:pairs]
    found = []
    for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if not wrong[row, column]:
            break
        (indices,) = np.nonzero((true == row) & (chosen == column))
        if given.ndim == 2:
            indices = indices[np.argsort(-given[indices, column], kind="stable")]
        count = len(indices)
        share = count / int(totals[row])
        found.append(Confusion(int(row), int(column), count, share, indices))
    return Confusions(tuple(found), np.asarray(x.numpy() if isinstance(x, Tensor) else x))
