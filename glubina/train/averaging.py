"""Training with a moving average of the weights: when the model has which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from glubina.optim import EMA
from glubina.optim.ema import checked_decay


def checked_ema(given: Any) -> float | EMA | None:
    """What `compile(ema=...)` was given: a decay, an average, or None. ValueError for others."""
    if given is None or isinstance(given, EMA):
        return given
    return checked_decay("ema (or else an optim.EMA or None)", given)


@contextmanager
def averaging(average: EMA | None) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """A training with this average: gives what makes a block see the averaged weights.

    The average begins at the weights that the model has, and the model is left with it.
    """
    if average is None:
        yield nullcontext
        return
    average.restart()
    try:
        yield average.applied
    finally:
        average.apply()
