"""What is written down while a function is recorded, and what its layers may add to that."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from glubina.graph import ops
from glubina.graph.autodiff import expand
from glubina.graph.node import Node, rebuild, remake, topological
from glubina.tensor.base import made
from glubina.tensor.cell import Cell, Leaf, is_pending, leaf_of_array
from glubina.tensor.errors import TraceError
from glubina.tensor.mode import mode
from glubina.tensor.promotion import uint64
from glubina.tensor.realise import realise
from glubina.tensor.structure import without_variables

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor
    from glubina.tensor.random import Generator

Guard = tuple[Callable[[], Hashable], Hashable]


class _Content(NamedTuple):
    """What a cell held before the function wrote to it."""

    node: Node
    leaf: Leaf | None
    before: Any
    owner: Any
    keep: bool

    @staticmethod
    def of(cell: Cell) -> _Content:
        return _Content(cell.node, cell.leaf, cell.before, cell.owner, cell.keep)

    def restore(self, cell: Cell) -> None:
        cell.node, cell.leaf, cell.before, cell.owner, cell.keep = self


class Trace:
    """The record of one run of a function on arguments without values.

    reads: of each leaf that was read the cell that held it. written: the cells that the function
    changed, with what they held before. gradients: the tensors whose `grad` it made, with the
    `grad` from before. draws: how many random draws it made from each generator. keys: of each
    generator a cell with (seed, counter). own: cells with values that do not depend on anything,
    which may be read. foreign: cells that other threads have left pending.
    """

    def __init__(self) -> None:
        self.reads: dict[Leaf, Cell] = {}
        self.written: dict[Cell, _Content] = {}
        self.gradients: dict[Tensor, Tensor | None] = {}
        self.draws: dict[Generator, int] = {}
        self.keys: dict[Generator, Cell] = {}
        self.own: set[Cell] = set()
        self.foreign = made.foreign()
        self.guards: dict[Any, Guard] = {}
        self.callbacks: dict[Any, Callable[[], object]] = {}

    # -- called by operations --------------------------------------------------------------------

    def read(self, cell: Cell, node: Node) -> Node:
        """A node was read from a cell; the node to read instead if others left it pending."""
        if cell in self.foreign:
            node = self._settled(cell)
        if type(node) is Leaf:
            self.reads.setdefault(node, cell)
        return node

    def _settled(self, cell: Cell) -> Node:
        """The value of a cell that another thread left pending: worked out now, read later."""
        self.foreign -= {cell}
        if cell not in self.written:
            mode.trace = None
            try:
                realise([cell])
            finally:
                mode.trace = self
        return cell.node

    def wrote(self, cell: Cell) -> None:
        """A cell is about to be changed."""
        if cell not in self.written:
            self.written[cell] = _Content.of(cell)

    def differentiated(self, tensor: Tensor, before: Tensor | None) -> None:
        """A tensor's `grad` was made, and what it was before."""
        self.gradients.setdefault(tensor, before)

    def random_key(self, generator: Generator) -> Node:
        """The key of the next draw: the generator's counter, plus the draws recorded so far."""
        number = self.draws.get(generator, 0)
        self.draws[generator] = number + 1
        cell = self.keys.get(generator)
        if cell is None:
            state = np.array(generator.get_state(), np.uint64)
            cell = self.keys[generator] = Cell(leaf_of_array(state))
        base = cell.node
        assert type(base) is Leaf
        self.read(cell, base)
        return advanced(base, number)

    def refuse(self) -> NoReturn:
        """Raise the error for reading a value that is still to be computed."""
        raise TraceError(
            "a compiled function asked for a value (item(), numpy(), print, bool, or a mask as an "
            "index) that is computed only when it runs: use gl.where instead of `if`, return the "
            "value, or leave this part outside of the function"
        )

    def check_read(self, cell: Cell) -> None:
        """Refuse to read a value that may be another one when the function runs again."""
        if cell not in self.own:
            self.refuse()


def advanced(key: Node, draws: int) -> Node:
    """A generator's (seed, counter) after so many draws."""
    if not draws:
        return key
    place = ops.iota((2,), 0, uint64)
    return ops.add(key, ops.multiply(place, ops.full_like(place, draws)))


# -- for layers and optimizers --------------------------------------------------------------------


def guard(check: Callable[[], Hashable], key: Hashable = None) -> None:
    """Record anew if `check()` no longer gives what it gives now.

    For Python values that decide what is recorded, such as a layer's `training`. Outside a
    compiled function this does nothing. `key` names the check, so that it is made once only.
    """
    if mode.trace is not None:
        mode.trace.guards.setdefault(check if key is None else key, (check, check()))


@contextmanager
def unguarded() -> Iterator[None]:
    """What happens inside adds no guards: for who sees to it that they are not needed."""
    trace = mode.trace
    before = dict(trace.guards) if trace is not None else {}
    try:
        yield
    finally:
        if trace is not None:
            trace.guards = before


def on_replay(callback: Callable[[], object], key: Hashable = None) -> None:
    """Call `callback` before each run of the function being recorded.

    For Python numbers that are kept in cells, such as an optimizer's learning rate. Outside a
    compiled function this does nothing.
    """
    if mode.trace is not None:
        mode.trace.callbacks.setdefault(callback if key is None else key, callback)


@contextmanager
def outside() -> Iterator[None]:
    """What happens inside is done now, once, and is no part of the function being recorded.

    For parameters that a layer makes when it first sees its input.
    """
    trace, pending = mode.trace, made.pending
    if trace is None:
        yield
        return
    mode.trace, made.pending = None, []
    try:
        yield
        realise(made.alive())
    finally:
        mode.trace = trace
        pending.extend(made.pending)
        made.pending = pending


def is_recording() -> bool:
    """Whether a function is being recorded."""
    return mode.trace is not None


# -- after the recording --------------------------------------------------------------------------


def resolved(outputs: list[Node]) -> list[Node]:
    """The outputs with what a leaf stands for in place of each pending leaf.

    A parameter that the function changed and then used has a leaf of its own, by which
    derivatives are taken; after those are worked out it is the node that gave the new value.
    """
    outputs = without_variables(outputs)
    while True:
        leaves = [n for n in topological(outputs) if type(n) is Leaf and is_pending(n)]
        if not leaves:
            return outputs
        outputs = expand(outputs)
        waiting = {n: n.origin for n in leaves}
        outputs = rebuild(outputs, lambda n, s, w=waiting: w.get(n) or remake(n, s))  # type: ignore[misc]
