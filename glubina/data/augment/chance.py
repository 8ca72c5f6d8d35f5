"""Random parameters of augmentations, one for each example, and the checks of their bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError
from glubina.tensor import Tensor, floor, rand, take, tensor

QUANTILES = 4097  # the points of a distribution's table; between them it is interpolated
GRID = 200_001  # points of the integral behind the table


def uniform(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """A number uniform in [low, high) for each example, (N,), in the dtype of x."""
    return rand(x.shape[0], dtype=x.dtype) * (high - low) + low


def chosen(x: Tensor, p: float) -> Tensor:
    """For each example whether it is changed, with probability p: (N,), boolean."""
    return rand(x.shape[0], dtype=x.dtype) < p


def whole(x: Tensor, low: int, high: int) -> Tensor:
    """A whole number from low to high (included) for each example: (N,), int32."""
    drawn = floor(rand(x.shape[0], dtype=x.dtype) * (high - low + 1))
    return drawn.astype(np.int32) + low


def each(values: Tensor, rank: int) -> Tensor:
    """One value per example, (N,), with further axes of extent 1 to stand against a batch."""
    return values.reshape((-1, *[1] * (rank - 1)))


class Beta:
    """Draws from the distribution Beta(α, α), by a table of its quantiles."""

    def __init__(self, alpha: float) -> None:
        if not 0 < alpha <= 100:
            raise DataError(f"alpha must be greater than 0 and at most 100, got {alpha}")
        self.alpha = float(alpha)
        self._table = tensor(quantiles(self.alpha).astype(np.float32))

    def __call__(self, x: Tensor) -> Tensor:
        """A number between 0 and 1 for each example of x: (N,), in its dtype."""
        place = uniform(x, 0, QUANTILES - 1)
        if self.alpha == 1:
            return place * (1 / (QUANTILES - 1))
        lower = floor(place)
        index = lower.astype(np.int32)
        table = self._table.astype(x.dtype)
        first, second = take(table, index, axis=0), take(table, index + 1, axis=0)
        return first + (place - lower) * (second - first)


def quantiles(alpha: float) -> NDArray[np.float64]:
    """The quantiles of Beta(α, α) at equal steps of probability, by integrating its density.

    The density is symmetric, so half of it is integrated, from 0 to 1/2; for α < 1 over
    u = t^α, in which the pole at 0 is gone: t^(α−1) dt = du / α.
    """
    power = min(alpha, 1.0)
    u = np.linspace(0, 0.5**power, GRID)
    t = u ** (1 / power)
    with np.errstate(divide="ignore"):
        logarithm = (alpha - 1) * np.log1p(-t)
        if alpha > 1:
            logarithm = logarithm + (alpha - 1) * np.log(t)
    density = np.exp(logarithm - logarithm.max())
    area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    half = QUANTILES // 2
    # The table is read as u over the probability, which is nearly a line where t is not.
    lower = np.interp(np.linspace(0, 1, half + 1), area / area[-1], u) ** (1 / power)
    return np.concatenate([lower, 1 - lower[-2::-1]])


def pair(name: str, value: object, low: float = -math.inf) -> tuple[float, float]:
    """Two bounds (from, to) as given, checked for their order and the lowest value."""
    if not isinstance(value, Sequence) or len(value) != 2:
        raise DataError(f"{name} must be two numbers (from, to), got {value!r}")
    first, last = float(value[0]), float(value[1])
    if not low <= first <= last < math.inf:
        raise DataError(f"{name} must be (from, to) in order, at least {low:g}, got {value!r}")
    return first, last


def around(name: str, value: object, limit: float = math.inf) -> tuple[float, float]:
    """Bounds: a number a stands for (−a, a), a pair for itself; within ± limit."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise DataError(f"{name} must not be negative, got {value!r}")
        value = (-value, value)
    first, last = pair(name, value)
    if not -limit < first <= last < limit:
        raise DataError(f"{name} must lie between -{limit:g} and {limit:g}, got {value!r}")
    return first, last


def probability(name: str, p: float) -> float:
    """p as a float. Raises DataError unless it lies between 0 and 1."""
    if not 0 <= p <= 1:
        raise DataError(f"{name} must be a probability between 0 and 1, got {p!r}")
    return float(p)


def pixels(name: str, value: object, least: int = 0) -> tuple[int, int]:
    """(rows, columns) from a whole number for both or a pair of them."""
    given = (value, value) if isinstance(value, int) else value
    if (
        not isinstance(given, Sequence)
        or len(given) != 2
        or any(not isinstance(v, int) or v < least for v in given)
    ):
        raise DataError(
            f"{name} must be a whole number of pixels, at least {least}, or (rows, columns), "
            f"got {value!r}"
        )
    return given[0], given[1]
