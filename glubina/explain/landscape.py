"""Landscapes: functions of two parameters and the ways of optimisers over them.

`surface` works a function out over a grid, `path` follows an optimiser; `line` and `plane` do the
same for the loss of a network along directions in the space of its weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.shown import Shown
from glubina.explain.weight_space import LossLine, LossPlane, line, plane, random_direction
from glubina.optim import Optimizer
from glubina.tensor import Tensor, compile, tensor, value_and_grad
from glubina.tensor.functional import grad

__all__ = [
    "LossLine",
    "LossPlane",
    "Path",
    "Surface",
    "line",
    "path",
    "plane",
    "random_direction",
    "surface",
]

Array = NDArray[Any]
Function = Callable[[Any, Any], Tensor]
Rule = Callable[[list[Tensor]], Optimizer]


@dataclass(frozen=True)
class Path:
    """The way of an optimiser.

    points: (steps + 1, 2), the start first. losses: (steps + 1,). gradients: (steps + 1, 2), at
    the points. name: for the legend.
    """

    points: Array
    losses: Array
    gradients: Array
    name: str = ""
    broken: bool = False

    @property
    def diverged(self) -> bool:
        """Whether it ends higher than it began, or was broken off."""
        return self.broken or bool(self.losses[-1] > self.losses[0])

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.points) - 1


@dataclass(frozen=True)
class Surface(Shown):
    """A function of two parameters over a grid.

    x: (columns,), y: (rows,), the values of the first and the second parameter. values: (rows,
    columns). gradients: (rows, columns, 2), by the first and by the second. names: of the two.
    """

    x: Array
    y: Array
    values: Array
    gradients: Array
    names: tuple[str, str] = field(default=("w1", "w2"))

    @property
    def lowest(self) -> tuple[float, float, float]:
        """The lowest point of the grid, and the value there."""
        row, column = np.unravel_index(np.nanargmin(self.values), self.values.shape)
        return float(self.x[column]), float(self.y[row]), float(self.values[row, column])

    def minima(self) -> Array:
        """The grid's local minima, lower than their eight neighbours: (count, 2), lowest first."""
        inner = self.values[1:-1, 1:-1]
        lower = np.ones(inner.shape, bool)
        rows, columns = self.values.shape
        for down in (0, 1, 2):
            for right in (0, 1, 2):
                if (down, right) != (1, 1):
                    other = self.values[down : rows - 2 + down, right : columns - 2 + right]
                    lower &= inner < other
        found = np.argwhere(lower)
        order = np.argsort(inner[lower], kind="stable")
        return np.array([(self.x[c + 1], self.y[r + 1]) for r, c in found[order]]).reshape(-1, 2)

    def plot(
        self,
        path: str | os.PathLike[str],
        paths: Sequence[Path] = (),
        *,
        apart: bool = False,
        arrows: int = 0,
        levels: int = 14,
        title: str = "",
    ) -> None:
        """Draw level lines, the paths over them and the gradient at each path's start, as a PNG.

        apart: each path in a panel of its own. arrows: so many gradients along each axis, all of
        one length. levels: the number of level lines, denser where the function is low.

        Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.landscape_plot import plot_surface

        plot_surface(self, path, paths, apart=apart, arrows=arrows, levels=levels, title=title)


def surface(
    function: Function,
    x: tuple[float, float] = (-3.0, 3.0),
    y: tuple[float, float] = (-3.0, 3.0),
    points: int | tuple[int, int] = 61,
    names: tuple[str, str] = ("w1", "w2"),
) -> Surface:
    """The values and gradients of a function of two parameters over a grid, in float64.

    function: takes two scalar tensors and gives a scalar. x, y: the ranges of the first and of the
    second. points: along each axis. The function is compiled once and run at one point after the
    other.

    >>> bowl = explain.landscape.surface(lambda w1, w2: w1**2 + 5 * w2**2)
    >>> bowl.plot("bowl.png")
    """
    columns, rows = (points, points) if isinstance(points, int) else points
    for low, high, count in ((*x, columns), (*y, rows)):
        if not low < high or count < 2:
            raise ExplainError(
                "a range goes from low to high in at least 2 points, "
                f"got ({low}, {high}) in {count}"
            )
    _check(function(tensor(float(x[0])), tensor(float(y[0]))))
    both = compile(value_and_grad(function, (0, 1)))
    across, up = np.linspace(*x, columns), np.linspace(*y, rows)
    found = np.empty((rows, columns, 3))
    for row, second in enumerate(up):
        held = tensor(second)
        for column, first in enumerate(across):
            value, slopes = both(tensor(first), held)
            found[row, column] = value.item(), slopes[0].item(), slopes[1].item()
    return Surface(across, up, found[..., 0], found[..., 1:], names)


def path(
    function: Function,
    optimizer: Rule,
    start: Sequence[float],
    steps: int = 20,
    name: str = "",
) -> Path:
    """The way of an optimiser over a function of two parameters, in float64.

    optimizer: gives the optimiser for a list of two scalar parameters, as `lambda w: optim.SGD(w,
    lr=0.1)`. start: the two parameters at first. The path ends early where the function or the
    gradient is no longer finite; the last point of the path is then the last finite one.

    >>> explain.landscape.path(f, lambda w: optim.Adam(w, lr=0.1), (2.5, 2.0), steps=50)
    """
    if len(start) != 2:
        raise ExplainError(f"a start is two numbers, got {len(start)}")
    if steps < 1:
        raise ExplainError(f"a path has at least 1 step, got {steps}")
    weights = [tensor(np.float64(value), requires_grad=True) for value in start]
    rule = optimizer(weights)
    slope = grad(function, (0, 1), has_aux=False)

    def closure() -> Tensor:
        rule.zero_grad()
        value = _check(function(*weights))
        value.backward()
        return value

    found: list[tuple[float, ...]] = []
    for step in range(steps + 1):
        place = [w.detach() for w in weights]
        here = (place[0].item(), place[1].item(), function(*place).item())
        row = (*here, *(g.item() for g in slope(*place)))
        if found and not np.isfinite(row).all():
            break
        found.append(row)
        if step < steps:
            rule.step(closure)
    rows = np.array(found)
    return Path(rows[:, :2], rows[:, 2], rows[:, 3:], name, len(rows) <= steps)


def _check(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != ():
        what = f"a tensor of shape {value.shape}" if isinstance(value, Tensor) else repr(value)
        raise ExplainError(f"the function gives a scalar tensor for two scalars, it gave {what}")
    return value
