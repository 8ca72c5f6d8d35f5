"""Pictures of a training: its curves with the best epoch marked, and the confusion matrix.

matplotlib is imported here alone; without it `MissingExtraError` says how to get it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.files import MissingExtraError, open_atomic
from glubina.train.history import History

if TYPE_CHECKING:
    from glubina.train.rate_test import RateTest

LARGEST_LABELLED = 20  # classes; a larger confusion matrix is drawn without numbers
TRAINING, VALIDATION, BEST = "#1f5fa8", "#d9822b", "#8a8a8a"


def plot_history(history: History, path: str | os.PathLike[str]) -> None:
    """Draw the loss and every metric over the epochs as a PNG, training and validation together.

    The epoch with the best validation loss (or loss) is marked. Raises MissingExtraError without
    matplotlib.
    """
    names = [name for name in history.names if not name.startswith("val_") and name != "seconds"]
    figure = new_figure(max(len(names), 1) * 5.2, 4.0)
    best = history.best_epoch() if len(history) else None
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(1, len(names), place)
        marker = "o" if len(history) < 3 else None
        axes.plot(history.epoch, history[name], color=TRAINING, marker=marker, label="training")
        validated = f"val_{name}" in history
        if validated:
            values = history[f"val_{name}"]
            axes.plot(history.epoch, values, color=VALIDATION, marker=marker, label="validation")
        if best is not None:
            value = history[f"val_{name}" if validated else name][history.epoch.index(best)]
            axes.axvline(best, color=BEST, linestyle=":", linewidth=1)
            axes.plot([best], [value], "o", color=BEST, label=f"best epoch {best}: {value:.4f}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    save_figure(figure, path)


def plot_confusion(
    matrix: NDArray[np.int64], path: str | os.PathLike[str], names: Sequence[str] | None = None
) -> None:
    """Draw a confusion matrix as a PNG: rows are true classes, columns predicted ones.

    The colour is the share of the row, the number the count. Raises MissingExtraError without
    matplotlib.
    """
    count = len(matrix)
    labels = list(names) if names is not None else [str(label) for label in range(count)]
    side = min(max(4.5, 0.55 * count + 2), 14)
    figure = new_figure(side + 0.8, side)
    axes = figure.add_subplot(1, 1, 1)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.04, label="share of the true class")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if count <= LARGEST_LABELLED:
        axes.set_xticks(range(count), labels, rotation=45 if max(map(len, labels)) > 2 else 0)
        axes.set_yticks(range(count), labels)
        for true in range(count):
            for predicted in range(count):
                axes.text(
                    predicted,
                    true,
                    str(matrix[true, predicted]),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if shares[true, predicted] > 0.5 else "black",
                )
    save_figure(figure, path)


def plot_examples(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    path: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    columns: int = 8,
) -> None:
    """Draw images of a data set as a PNG: a row of the first ones of each class, without y in turn.

    x: (n, H, W) or (n, H, W, C); all are drawn on one scale, from the least value to the largest.
    At most 20 classes are drawn. Raises MissingExtraError without matplotlib.
    """
    if y is None:
        rows = [
            np.arange(start, min(start + columns, len(x))) for start in range(0, len(x), columns)
        ]
        titles = [""] * len(rows)
    else:
        values = np.unique(y).tolist()
        rows = [np.flatnonzero(y == value)[:columns] for value in values]
        titles = [names[v] if names and 0 <= v < len(names) else str(v) for v in values]
    rows, titles = rows[:LARGEST_LABELLED], titles[:LARGEST_LABELLED]
    figure = new_figure(0.9 * columns + 1.2, 0.9 * len(rows) + 0.2)
    low, high = float(x.min()), float(x.max())
    shown = (x.astype(np.float32) - low) / max(high - low, 1e-30)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, chosen, title in zip(grid, rows, titles):
        for axes in line:
            axes.set_axis_off()
        for axes, number in zip(line, chosen):
            picture = shown[number]
            if picture.ndim == 3 and picture.shape[2] not in (3, 4):
                picture = picture[..., 0]
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        line[0].text(-0.15, 0.5, title, transform=line[0].transAxes, ha="right", va="center")
    save_figure(figure, path)


def plot_rates(test: RateTest, path: str | os.PathLike[str]) -> None:
    """Draw the losses of a range test over the rates as a PNG, the suggested rate marked.

    Raises MissingExtraError without matplotlib.
    """
    figure = new_figure(5.6, 4.0)
    axes = figure.add_subplot(1, 1, 1)
    axes.plot(test.rates, test.losses, color=BEST, linewidth=0.8, label="mini-batch")
    axes.plot(test.rates, test.smoothed, color=TRAINING, label="smoothed")
    for rate, name in ((test.suggestion, "steepest"), (test.lowest, "lowest")):
        colour = VALIDATION if name == "steepest" else BEST
        axes.axvline(rate, color=colour, linestyle=":", label=f"{name}: {rate:.2g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    save_figure(figure, path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure that belongs to no window and to no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "the pictures need matplotlib, which is not installed: pip install 'glubina[plots]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure as a PNG, whole or not at all."""
    with open_atomic(path) as stream:
        figure.savefig(stream, format="png", dpi=120)
