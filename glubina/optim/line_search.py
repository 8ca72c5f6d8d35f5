"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ENOUGH = 1e-4  # c₁: the share of the promised decrease that must be had
FLAT = 0.9  # c₂: how much of the first slope may be left
LONGEST = 10.0  # times the last step at most


@dataclass(frozen=True)
class Evaluation:
    """The function on the line: at step t its value, its gradient, and its slope along the line."""

    t: float
    loss: float
    gradient: NDArray[np.float64]
    slope: float


def strong_wolfe(
    at: Callable[[float], Evaluation], start: Evaluation, t: float, least: float, most_calls: int
) -> tuple[Evaluation, int]:
    """A step whose value is low enough and whose slope is flat enough; and the calls it took.

    The value has fallen by c₁ · t · slope at least, and |slope| is at most c₂ of the first one.
    First the step is made longer until it brackets such a place, then the bracket is narrowed by
    cubic interpolation. least: brackets narrower than this end the search. Source: Nocedal and
    Wright, Numerical Optimization, algorithms 3.5 and 3.6.
    """
    before, calls = start, 0
    while calls < most_calls:
        now = at(t)
        calls += 1
        too_high = now.loss > start.loss + ENOUGH * t * start.slope
        if too_high or (calls > 2 and now.loss >= before.loss) or not np.isfinite(now.loss):
            return _narrowed(at, start, (before, now), least, most_calls, calls)
        if abs(now.slope) <= -FLAT * start.slope:
            return now, calls
        if now.slope >= 0:
            return _narrowed(at, start, (before, now), least, most_calls, calls)
        low, high = now.t + 0.01 * (now.t - before.t), now.t * LONGEST
        t, before = _cubic(before, now, low, high), now
    return before, calls


def _narrowed(
    at: Callable[[float], Evaluation],
    start: Evaluation,
    bracket: tuple[Evaluation, Evaluation],
    least: float,
    most_calls: int,
    calls: int,
) -> tuple[Evaluation, int]:
    """A place inside the bracket; its better end where no place is good enough."""
    low, high = sorted(bracket, key=_height)
    stuck = False
    while calls < most_calls and abs(high.t - low.t) > least:
        left, right = sorted((low.t, high.t))
        t = _cubic(low, high, left, right)
        # twice near an end: a cubic that cannot see the minimum is left to creep no longer
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = at(t)
        calls += 1
        worse = now.loss > start.loss + ENOUGH * t * start.slope or now.loss >= low.loss
        if worse or not np.isfinite(now.loss):
            low, high = sorted((low, now), key=_height)
            continue
        if abs(now.slope) <= -FLAT * start.slope:
            return now, calls
        if now.slope * (high.t - low.t) >= 0:
            high = low
        low = now
    return low, calls


def _height(place: Evaluation) -> float:
    return place.loss if np.isfinite(place.loss) else np.inf


def _cubic(a: Evaluation, b: Evaluation, low: float, high: float) -> float:
    """Where the cubic through both values and slopes is least, between the bounds."""
    middle = (low + high) / 2
    if not (np.isfinite(a.loss) and np.isfinite(b.loss) and np.isfinite(b.slope)):
        return middle
    if a.t > b.t:
        a, b = b, a
    if a.t == b.t:
        return middle
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return middle
    d2 = float(np.sqrt(square))
    place = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return float(min(max(place, low), high)) if np.isfinite(place) else middle
