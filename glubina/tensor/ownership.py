"""Whether the memory of a cell's value may be overwritten: nobody else may hold it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from glubina.runtime.buffer import Buffer
from glubina.tensor.cell import Cell, leaf_of_buffer

_count = sys.getrefcount


def is_own(cell: Cell, inputs: list[Any], place: int) -> bool:
    """Whether the input is the cell's own buffer, and nobody else holds it or its leaf."""
    leaf = cell.leaf
    if leaf is None or leaf.buffer is not inputs[place]:
        return False
    del leaf
    return _holders(cell, inputs, place) == _UNSHARED and not inputs[place].exported


def if_own(cells: list[Cell], inputs: list[Any], places: list[int]) -> list[Buffer] | None:
    """The inputs that are the cells' buffers, if `is_own` holds of each; all looked at at once.

    No count is below what it is for a cell by itself, so their sum tells of all of them. (A buffer
    of borrowed memory holds it twice. A cell that keeps another node than its leaf would hold that
    once less, and is left to `is_own`.)
    """
    leaves: list[Any] = [cell.leaf for cell in cells]
    if leaves != [cell.node for cell in cells]:
        return None
    buffers = [inputs[place] for place in places]
    if [leaf.buffer for leaf in leaves] != buffers:
        return None
    return buffers if _all_holders(leaves, buffers) == _ALL_UNSHARED * len(cells) else None


def _holders(cell: Cell, inputs: list[Any], place: int) -> int:
    """References to the cell's leaf and to its buffer (an input of the program) together."""
    buffer = inputs[place]
    return _count(cell.leaf) + _count(buffer)


def _all_holders(leaves: list[Any], buffers: list[Any]) -> int:
    """References to leaves, to their buffers and to the buffers' memory together."""
    memory = [buffer._block[0] for buffer in buffers]
    return sum(map(_count, leaves + buffers + memory))


def _unshared() -> tuple[int, int]:
    """What those two count where only a cell and a list of inputs hold a value."""
    cell = Cell(leaf_of_buffer(Buffer(0), (), np.dtype(np.float32)))
    cell.value()
    inputs = [cell.leaf.buffer]  # type: ignore[union-attr]
    return _holders(cell, inputs, 0), _all_holders([cell.leaf], [inputs[0]])


_UNSHARED, _ALL_UNSHARED = _unshared()
