"""How much a network that is built from a file may take, asked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from glubina.graph.node import Shape
from glubina.runtime.limits import require_memory

MODULES = 10_000  # a network of a thousand residual blocks has seven thousand
SLACK = 2**20  # elements beside those of the file: what is made and not saved
ASKED = 2**24  # elements from which it is asked whether the memory is there


class _Budget:
    """What is left of elements and of modules."""

    def __init__(self, elements: int, modules: int) -> None:
        self.elements, self.modules = elements, modules


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def limited(elements: int) -> Iterator[None]:
    """Within the block modules may be made with parameters of so many elements in all.

    ValueError beyond that. A few times as many are let pass: layers are copied, and weights
    are made anew in another form, while a network is built.
    """
    token = _budget.set(_Budget(4 * elements + SLACK, MODULES))
    try:
        yield
    finally:
        _budget.reset(token)


def require_elements(shape: Shape) -> None:
    """Refuse a parameter of this shape where it is too large, before it is made.

    MemoryError where the machine cannot hold it, ValueError beyond the budget.
    """
    count = math.prod(shape)
    budget = _budget.get()
    if budget is not None and count > budget.elements:
        raise ValueError(
            f"a parameter of shape {tuple(shape)} has {count:,} elements, more than the file's "
            "weights have"
        )
    if count > ASKED:
        require_memory(4 * count, f"a parameter of shape {tuple(shape)}")


def count_elements(count: int) -> None:
    """Take the elements of a parameter that is made from the budget, if there is one."""
    budget = _budget.get()
    if budget is not None:
        budget.elements -= count
        if budget.elements < 0:
            raise ValueError("its parameters have more elements than the file's weights")


def count_module() -> None:
    """Take a module that is made from the budget, if there is one."""
    budget = _budget.get()
    if budget is not None:
        budget.modules -= 1
        if budget.modules < 0:
            raise ValueError(f"it has more than {MODULES:,} modules")
