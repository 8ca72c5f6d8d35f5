"""A picture of what a monitor saw: curves, norms of gradients and weights, activations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from glubina.explain.probe import Record
from glubina.train.history import History
from glubina.train.plots import new_figure, save_figure

T = TypeVar("T")

_MOST = 10  # lines in one panel: of more layers every so-manieth


def plot(history: History | None, records: Sequence[Record], path: str | os.PathLike[str]) -> None:
    """Draw four panels as a PNG. Raises MissingExtraError without matplotlib."""
    figure = new_figure(12.0, 7.6)
    epochs = [record.epoch for record in records]
    curves = figure.add_subplot(2, 2, 1)
    if history is not None and len(history):
        curves.plot(history.epoch, history["loss"], label="training")
        if "val_loss" in history:
            curves.plot(history.epoch, history["val_loss"], label="validation")
        best = history.best_epoch()
        if best is not None:
            curves.axvline(best, color="#8a8a8a", linestyle=":", label=f"best epoch {best}")
    curves.set_title("loss")
    names = [p.name for p in records[0].parameters if len(p.shape) > 1] if records else []
    chosen = _some(names)
    for place, (title, what) in enumerate(
        (("gradient norm of each weight", "gradient"), ("norm of each weight", "norm")), 2
    ):
        axes = figure.add_subplot(2, 2, place)
        for number, name in enumerate(chosen):
            values = [getattr(_find(record, name), what, np.nan) for record in records]
            colour = _colour(number, len(chosen))
            axes.plot(epochs, values, color=colour, marker=".", label=_short(name))
        axes.set_yscale("log")
        axes.set_title(title)
    axes = figure.add_subplot(2, 2, 4)
    shares = list(
        dict.fromkeys(
            (layer.name, "dead" if layer.dead is not None else "saturated")
            for layer in (records[0].layers if records else ())
            if layer.dead is not None or layer.saturated is not None
        )
    )
    kept = _some(shares)
    for number, (name, what) in enumerate(kept):
        values = [
            max(
                (
                    v
                    for x in record.layers
                    if x.name == name and (v := getattr(x, what)) is not None
                ),
                default=None,
            )
            for record in records
        ]
        shown = [np.nan if v is None else 100 * v for v in values]
        axes.plot(
            epochs,
            shown,
            color=_colour(number, len(kept)),
            marker=".",
            label=f"{_short(name)} {what}",
        )
    axes.set_ylim(-3, 103)
    axes.set_title("dead rectifiers, saturated values (%)")
    for axes in figure.axes:
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        if axes.get_legend_handles_labels()[1]:
            crowded = len(axes.get_legend_handles_labels()[1]) > 3
            beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if crowded else {}
            axes.legend(frameon=False, fontsize=7, **beside)
    save_figure(figure, path)


def _short(name: str) -> str:
    """The end of a long path."""
    return name if len(name) <= 24 else "…" + name[-23:]


def _some(items: Sequence[T]) -> list[T]:
    """At most `_MOST` of them, evenly chosen, the first and last among them."""
    if len(items) <= _MOST:
        return list(items)
    places = np.linspace(0, len(items) - 1, _MOST).round().astype(int)
    return [items[place] for place in places]


def _find(record: Record, name: str) -> object:
    return next((p for p in record.parameters if p.name == name), None)


def _colour(number: int, count: int) -> tuple[float, float, float]:
    """From blue (the first layer) to red (the last)."""
    share = number / max(count - 1, 1)
    return (0.13 + 0.57 * share, 0.4 - 0.3 * share, 0.68 - 0.51 * share)
