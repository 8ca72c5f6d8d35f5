"""Works out what is pending: finds the program for its structure and runs it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph.node import Node
from glubina.runtime.buffer import Buffer
from glubina.tensor.base import made
from glubina.tensor.cell import Cell, Leaf, buffer_of_number, is_pending, leaf_of_buffer
from glubina.tensor.errors import TraceError
from glubina.tensor.mode import mode
from glubina.tensor.program import Compiled
from glubina.tensor.structure import Key, structure

MANY_STRUCTURES = 64

_compiled: dict[Key, Compiled] = {}
_warned: list[int] = [MANY_STRUCTURES]


def programs_compiled() -> int:
    """How many structures this process has made programs for (the interpreter's included)."""
    return len(_compiled)


class _Target:
    """A pending value: where its node is, and where the value goes."""

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

    def fill(self, buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Take the value, and let go of the graph where derivatives no longer need it."""
        leaf, cell = self.leaf, self.cell
        if leaf is not None:
            leaf.buffer, leaf.origin, leaf.before = buffer, None, None
        elif cell is not None:
            cell.leaf = leaf_of_buffer(buffer, shape, dtype)
            cell.before = None
            if not cell.keep:
                cell.node = cell.leaf


def _target(cell: Cell) -> _Target | None:
    if cell.value() is not None:
        return None
    node = cell.node
    if type(node) is Leaf:
        return _Target(cell, node)
    return _Target(cell, None)


def realise(cells: Iterable[Cell]) -> None:
    """Work out the values of cells, all pending ones in one program."""
    targets = [t for t in map(_target, dict.fromkeys(cells)) if t is not None]
    if targets:
        _realise(targets)


def realise_pending() -> None:
    """Work out everything that is still pending and that someone holds."""
    made.prune()
    realise([c for r in made.pending if (c := r()) is not None])


def _realise(targets: list[_Target]) -> None:
    if mode.trace is not None:
        mode.trace.refuse()
    nodes: list[Node] = [t.node for t in targets if t.node is not None]
    found = structure(nodes)
    if found.pending:
        _realise([_Target(None, leaf) for leaf in found.pending])
        found = structure(nodes)
    run = _Run(targets, nodes, found.key, found.leaves)
    del nodes, found
    run.start()


def _expected() -> int:
    """References to a buffer that only the run (and the leaf it came from) holds."""
    return sys.getrefcount(Buffer(0))


class _Run:
    """One run of a program for pending targets."""

    def __init__(
        self, targets: list[_Target], nodes: list[Node], key: Key, leaves: list[Leaf]
    ) -> None:
        self.targets = targets
        numbers = {id(leaf.buffer): i for i, leaf in enumerate(leaves) if leaf.buffer is not None}
        updates = [numbers.get(id(t.before), -1) if t.before is not None else -1 for t in targets]
        key = (*key, tuple(updates))
        compiled = _compiled.get(key)
        if compiled is None:
            compiled = _compiled[key] = Compiled(nodes, leaves, updates)
            _warn_if_many()
        self.compiled = compiled
        self.inputs = [_buffer(leaves[i]) for i in compiled.inputs]

    def start(self) -> None:
        compiled, inputs = self.compiled, self.inputs
        for target in self.targets:
            target.node = target.before = None
        outputs = [Buffer(nbytes) for nbytes in compiled.sizes]
        compiled.run(inputs, outputs)
        for target, buffer, (shape, dtype) in zip(
            self.targets, outputs, compiled.shapes, strict=True
        ):
            target.fill(buffer, shape, dtype)


def _buffer(leaf: Leaf) -> Buffer:
    buffer = leaf.buffer
    if buffer is None:
        if leaf.number is None:
            raise TraceError("an argument of a traced function has no value while it is traced")
        buffer = leaf.buffer = buffer_of_number(leaf.number, leaf.dtype)
    return buffer


def _warn_if_many() -> None:
    if len(_compiled) >= _warned[0]:
        _warned[0] *= 2
        warnings.warn(
            f"{len(_compiled)} different computations have been compiled. If a loop runs slowly, "
            "something in it changes from step to step: shapes, or Python values that decide "
            "what is computed.",
            RuntimeWarning,
            stacklevel=2,
        )


def array_of(cell: Cell) -> NDArray[Any]:
    """The cell's value as a NumPy array on its memory (not to be written to)."""
    if mode.trace is not None:
        mode.trace.refuse()
    leaf = cell.value()
    if leaf is None:
        realise([cell])
        leaf = cell.value()
    assert leaf is not None
    return _buffer(leaf).array(leaf.shape, leaf.dtype)
