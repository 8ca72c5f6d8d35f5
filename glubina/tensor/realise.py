"""Works out what is pending: finds the program for its structure and runs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import NDArray

from glubina.graph.node import DType, Node, Shape
from glubina.runtime.buffer import Buffer
from glubina.tensor import programs
from glubina.tensor.base import made
from glubina.tensor.cell import Cell, Leaf, leaf_of_buffer, placeholder
from glubina.tensor.mode import mode
from glubina.tensor.structure import structure


class _Target:
    """A pending value: the node that gives it, and the cell or leaf that takes it.

    before: the buffer of the value that this one replaces; may be overwritten if nobody else
        holds it.
    """

    __slots__ = ("before", "cell", "leaf", "node")

    def __init__(self, cell: Cell | None, leaf: Leaf | None) -> None:
        self.cell = cell
        self.leaf = leaf
        self.node: Node | None
        self.before: Buffer | None
        if leaf is not None:
            self.node, self.before = leaf.origin, leaf.before
        elif cell is not None:
            self.node, self.before = cell.node, cell.before

    def release(self) -> None:
        """Let go of the graph, where derivatives no longer need it."""
        self.node = self.before = None
        leaf, cell = self.leaf, self.cell
        if leaf is not None:
            leaf.origin = leaf.before = None
        elif cell is not None:
            cell.before = None
            empty = placeholder(cell.node.shape, cell.node.dtype)
            empty.freed = cell.freed
            self.leaf = cell.leaf = empty
            if not cell.keep:
                cell.node = empty

    def fill(self, buffer: Buffer) -> None:
        """Take the value."""
        assert self.leaf is not None
        self.leaf.buffer = buffer

    def fail(self, error: Exception, old: Buffer | None) -> None:
        """Keep the old value; without one, raise the error again when the value is asked for."""
        assert self.leaf is not None
        if old is not None:
            self.leaf.buffer = old
        else:
            self.leaf.error = error


def _target(cell: Cell) -> _Target | None:
    if cell.value() is not None:
        return None
    node = cell.node
    return _Target(cell, node if type(node) is Leaf else None)


def realise(cells: Iterable[Cell]) -> None:
    """Work out the values of cells, all pending ones in one program."""
    targets = [t for t in map(_target, dict.fromkeys(cells)) if t is not None]
    if targets:
        _realise(targets)


def realise_pending() -> None:
    """Work out everything that is still pending and that someone holds."""
    realise(made.alive())


def _realise(targets: list[_Target]) -> None:
    nodes: list[Node] = [t.node for t in targets if t.node is not None]
    found = structure(nodes)
    if mode.trace is not None:
        if found.leaves:
            mode.trace.refuse()
    elif found.pending:
        _realise([_Target(None, leaf) for leaf in found.pending])
        found = structure(nodes)
    targets, key = _with_others(targets, found.key, found.numbers)
    nodes = [t.node for t in targets if t.node is not None]
    numbers = {id(leaf.buffer): i for i, leaf in enumerate(found.leaves) if leaf.buffer}
    updates = [numbers.get(id(t.before), -1) if t.before is not None else -1 for t in targets]
    compiled = programs.find((*key, tuple(updates)), nodes, found.leaves, updates)
    inputs = [programs.buffer_of(found.leaves[i]) for i in compiled.inputs]
    del found, nodes, numbers  # so that nothing here holds a buffer that may be overwritten
    _run(compiled, targets, inputs)


# a base key with more sets of other cells than this is worked out without them
_MOST_VARIANTS = 4
_variants: dict[Any, set[Any]] = {}


def _with_others(
    targets: list[_Target], key: Any, numbers: dict[Node, int]
) -> tuple[list[_Target], Any]:
    """The targets and every other pending cell in their graph that someone holds.

    Their values come at no cost now and would have to be computed again later.
    """
    if mode.trace is not None or len(numbers) <= 2:
        return targets, key
    asked = {id(t.cell) for t in targets}
    leaves = {id(t.leaf) for t in targets if t.leaf is not None}
    others = []
    for cell in made.alive():
        if id(cell) in asked:
            continue
        target = _target(cell)
        if target is None or target.node not in numbers or id(target.leaf) in leaves:
            continue
        if target.node.sources:
            others.append(target)
    if not others:
        return targets, key
    more = tuple([numbers[t.node] for t in others if t.node is not None])
    known = _variants.setdefault(key, set())
    if more not in known:
        if len(known) >= _MOST_VARIANTS:
            return targets, key
        known.add(more)
    return targets + others, (*key, more)


def _held(buffers: list[Buffer]) -> int:
    """References to a buffer that only a list holds, counted as `_destination` counts them."""
    buffer = buffers[0]
    return sys.getrefcount(buffer)


_UNSHARED = _held([Buffer(0)])


def _destination(
    inputs: list[Buffer], take: int, nbytes: int, count: Callable[[object], int] = sys.getrefcount
) -> Buffer:
    """The buffer for an output: the one that it may overwrite, if nobody else holds it."""
    if take >= 0:
        buffer = inputs[take]
        if count(buffer) == _UNSHARED and not buffer.exported:
            return buffer
    return Buffer(nbytes)


def _run(compiled: programs.Compiled, targets: list[_Target], inputs: list[Buffer]) -> None:
    for target in targets:
        target.release()
    outputs = [
        _destination(inputs, take, nbytes)
        for take, nbytes in zip(compiled.takes, compiled.sizes, strict=True)
    ]
    try:
        compiled.run(inputs, outputs)
    except Exception as error:
        for target, take in zip(targets, compiled.replaces, strict=True):
            target.fail(error, inputs[take] if take >= 0 else None)
        raise
    for target, buffer in zip(targets, outputs, strict=True):
        target.fill(buffer)


def settle(cell: Cell, buffer: Buffer, shape: Shape, dtype: DType) -> None:
    """Make a buffer the cell's value at once."""
    leaf = leaf_of_buffer(buffer, shape, dtype)
    leaf.owner = cell.owner
    cell.node, cell.leaf, cell.before = leaf, leaf, None


def array_of(cell: Cell) -> NDArray[Any]:
    """The cell's value as a NumPy array on its memory (not to be written to)."""
    leaf = cell.value()
    if leaf is None:
        realise([cell])
        leaf = cell.value()
        assert leaf is not None
    if mode.trace is not None:
        mode.trace.check_read(leaf)
    return programs.buffer_of(leaf).array(leaf.shape, leaf.dtype)
