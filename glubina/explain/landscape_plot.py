"""Pictures of landscapes: level lines with gradients and paths; the loss along a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.train.plots import new_figure, save_figure

if TYPE_CHECKING:
    from glubina.explain.landscape import Path, Surface
    from glubina.explain.weight_space import LossLine, LossPlane

Array = NDArray[Any]

COLOURS = ("#b5352f", "#1f5fa8", "#3a8a4d", "#8250df", "#d9822b", "#1b1f24")
_GRADIENT = "#1b1f24"


def plot_surface(
    surface: Surface,
    path: str | os.PathLike[str],
    paths: Sequence[Path],
    *,
    apart: bool,
    arrows: int,
    levels: int,
    title: str,
) -> None:
    """Draw a surface and paths over it as a PNG."""
    groups = [[each] for each in paths] if apart and paths else [list(paths)]
    columns = min(len(groups), 3)
    rows = -(-len(groups) // columns)
    named = [each.name for each in paths if each.name]
    shape = float(np.ptp(surface.y) / np.ptp(surface.x))
    tall = min(max(4.0 * shape, 2.0), 6.0) + 0.7
    below = 0.0 if apart else 0.25 * -(-len(named) // 2)
    figure = new_figure(4.8 * columns, tall * rows + below + (0.3 if title else 0))
    for place, group in enumerate(groups, 1):
        axes = figure.add_subplot(rows, columns, place)
        _levels(axes, surface.x, surface.y, surface.values, levels)
        if arrows:
            _arrows(axes, surface, arrows)
        for number, each in enumerate(group):
            _way(axes, surface, each, COLOURS[(place - 1 + number) % len(COLOURS)], number == 0)
        _frame(axes, surface)
        if apart and group and group[0].name:
            axes.set_title(group[0].name, fontsize=10)
    if named and not apart:
        figure.legend(fontsize=8, loc="outside lower center", frameon=False, ncols=2)
    if title:
        figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def plot_line(line: LossLine, path: str | os.PathLike[str]) -> None:
    """Draw the loss along a line as a PNG."""
    figure = new_figure(5.6, 4.0)
    axes = figure.add_subplot(1, 1, 1)
    axes.plot(line.positions, line.losses, color=COLOURS[1])
    for position, label in enumerate(line.labels or ("weights",)):
        axes.axvline(position, color="#8a8a8a", linestyle=":", linewidth=1)
        axes.annotate(
            label, (position, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", fontsize=9, color="#57606a", ha="center",
        )  # fmt: skip
    axes.set_xlabel("position on the line, α")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.25)
    save_figure(figure, path)


def plot_plane(plane: LossPlane, path: str | os.PathLike[str], points: Array | None) -> None:
    """Draw the loss over a plane as a PNG."""
    figure = new_figure(5.4, 4.4)
    axes = figure.add_subplot(1, 1, 1)
    filled = _levels(axes, plane.x, plane.y, plane.losses, 18)
    figure.colorbar(filled, ax=axes, label="loss", format="%.3g")
    if points is not None:
        axes.plot(points[:, 0], points[:, 1], ".-", color=COLOURS[0], linewidth=1.2)
    axes.plot([0], [0], "+", color=_GRADIENT, markersize=10)
    axes.set_xlim(plane.x[0], plane.x[-1])
    axes.set_ylim(plane.y[0], plane.y[-1])
    axes.locator_params(nbins=6)
    axes.set_xlabel("first direction, α")
    axes.set_ylabel("second direction, β")
    save_figure(figure, path)


def level_values(values: Array, count: int) -> Array:
    """Where level lines are drawn: the squares of evenly spaced numbers above the lowest value.

    A parabola then has evenly spaced lines, and a valley's floor is not left empty.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if high <= low:
        high = low + 1
    steps: Array = low + (high - low) * np.linspace(0, 1, count + 1) ** 2
    return steps


def _levels(axes: Any, x: Array, y: Array, values: Array, count: int) -> Any:
    levels = level_values(values, count)
    shown = np.ma.masked_invalid(values)
    filled = axes.contourf(x, y, shown, levels=levels, cmap="Blues", alpha=0.75)
    axes.contour(
        x, y, shown, levels=levels[1:], colors="#57606a", linewidths=0.5, linestyles="solid"
    )
    return filled


def _way(axes: Any, surface: Surface, way: Path, colour: str, arrow: bool) -> None:
    x, y = way.points[:, 0], way.points[:, 1]
    label = f"{way.name}, ends at {way.losses[-1]:.3g}" if way.name else None
    axes.plot(
        x, y, ".-", color=colour, linewidth=1.4, markersize=5, label=label, zorder=3,
        markevery=max(1, len(x) // 60),
    )  # fmt: skip
    axes.plot(x[:1], y[:1], "o", color=colour, markersize=7, zorder=4)
    length = np.hypot(*way.gradients[0])
    if not arrow or not length > 0:
        return
    reach = 0.16 * min(np.ptp(surface.x), np.ptp(surface.y))
    step = way.gradients[0] / length * reach
    inside = (surface.x[0] <= x[0] + step[0] <= surface.x[-1]) and (
        surface.y[0] <= y[0] + step[1] <= surface.y[-1]
    )
    tip, label = (step, "∇") if inside else (-step, "−∇")
    axes.annotate(
        "", (x[0] + tip[0], y[0] + tip[1]), (x[0], y[0]), zorder=5,
        arrowprops={"arrowstyle": "-|>", "color": _GRADIENT, "linewidth": 1.6},
    )  # fmt: skip
    beside = np.array([-tip[1], tip[0]]) / reach
    inwards = np.array([np.mean(surface.x) - x[0], np.mean(surface.y) - y[0]])
    beside *= 11 if beside @ inwards >= 0 else -11  # points, towards the middle
    axes.annotate(
        label, (x[0] + tip[0] / 2, y[0] + tip[1] / 2), xytext=tuple(beside),
        textcoords="offset points", ha="center", va="center", fontsize=10, zorder=5,
    )  # fmt: skip


def _arrows(axes: Any, surface: Surface, count: int) -> None:
    rows = np.linspace(0, len(surface.y) - 1, count + 2).round().astype(int)[1:-1]
    columns = np.linspace(0, len(surface.x) - 1, count + 2).round().astype(int)[1:-1]
    slopes = surface.gradients[np.ix_(rows, columns)]
    length = np.sqrt((slopes**2).sum(axis=-1, keepdims=True))
    unit = slopes / np.where(length > 0, length, 1)
    axes.quiver(
        surface.x[columns], surface.y[rows], unit[..., 0], unit[..., 1], angles="xy",
        color="#57606a", width=0.004, zorder=2,
    )  # fmt: skip


def _frame(axes: Any, surface: Surface) -> None:
    axes.set_xlim(surface.x[0], surface.x[-1])
    axes.set_ylim(surface.y[0], surface.y[-1])
    axes.set_xlabel(surface.names[0])
    axes.set_ylabel(surface.names[1])
    axes.set_aspect("equal", adjustable="box")
