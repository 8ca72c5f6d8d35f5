"""Rows: reductions over the trailing axes, and what else works within one row at a time.

A softmax is two reductions of the same rows and an element-wise tail that needs both. All of it
can run in one kernel, row by row, if each element of a row needs no other row. A node *stays in
the row* if it has one element for each row, or one for each element of the rows, in row-major
order: element-wise operations, reshapes, and the broadcast of a row's number along the row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from glubina.graph.node import Node

FEWEST_ROWS = 16
"""Fewer rows would leave threads without work; then each reduction is cut into blocks instead."""

SHORT_ROW = 128
"""Elements up to which even a single reduction goes row by row, several rows at once."""

LONGEST_ROW = 8192
"""Elements up to which a row surely stays in a core's own cache from one pass to the next."""


class RowExtent(NamedTuple):
    """How many rows there are, and how many elements each has (at least two)."""

    rows: int
    length: int

    @property
    def size(self) -> int:
        """The elements of all rows."""
        return self.rows * self.length


def reduced_axes(anchor: Node) -> tuple[int, ...]:
    """The axes that a reduction removes."""
    if anchor.op.name == "argmax":
        return (anchor.attributes.axis,)
    return tuple(anchor.attributes.axes)


def row_extent(anchor: Node) -> RowExtent | None:
    """The rows of a reduction over all of the last axes; None if it is not one that pays."""
    shape = anchor.sources[0].shape
    extent = _cut(shape, set(reduced_axes(anchor)))
    if extent is None or extent.rows < FEWEST_ROWS or not 2 <= extent.length <= LONGEST_ROW:
        return None
    return extent


def _cut(shape: tuple[int, ...], axes: set[int]) -> RowExtent | None:
    """Rows and their length, if the axes (of those longer than 1) are the last ones."""
    wide = [a for a, extent in enumerate(shape) if extent != 1]
    count = sum(a in axes for a in wide)
    inner = wide[len(wide) - count :]
    if not axes.issuperset(inner):
        return None
    rows = math.prod(shape[a] for a in wide[: len(wide) - count])
    return RowExtent(rows, math.prod(shape[a] for a in inner))


def stays_in_row(node: Node, extent: RowExtent) -> bool:
    """Whether a light node, of sources that stay in their rows, does so as well."""
    if node.size not in (extent.rows, extent.size):
        return False
    if node.op.family == "elementwise" or node.op.name in ("reshape", "detach"):
        return True
    if node.op.name != "broadcast":
        return False
    return node.sources[0].size == node.size or _repeats_rows(node, extent)


def _repeats_rows(node: Node, extent: RowExtent) -> bool:
    """Whether a broadcast repeats one number of each row along it."""
    source = node.sources[0]
    have = (1,) * (len(node.shape) - len(source.shape)) + source.shape
    repeated = {a for a, (h, w) in enumerate(zip(have, node.shape, strict=True)) if h != w}
    return source.size == extent.rows and _cut(node.shape, repeated) == extent


def levels(anchors: Iterable[Node], order: Iterable[Node]) -> dict[Node, int]:
    """After how many passes over a row each node is known; `order` has sources first."""
    heavy = set(anchors)
    found: dict[Node, int] = {}
    for node in order:
        below = max((found.get(source, 0) for source in node.sources), default=0)
        found[node] = below + (node in heavy)
    return found


def is_one_reduction(anchors: Sequence[Node], members: Sequence[Node], extent: RowExtent) -> bool:
    """Whether a plain reduction kernel will do: one pass, and results of a row's size alone."""
    if extent.length <= SHORT_ROW:
        return False
    first = anchors[0]
    alike = all(
        a.sources[0].shape == first.sources[0].shape and reduced_axes(a) == reduced_axes(first)
        for a in anchors
    )
    if not alike or (len(anchors) > 1 and any(a.op.name == "argmax" for a in anchors)):
        return False
    if any(member.size == extent.size for member in members):
        return False
    return max(levels(anchors, members).values()) == 1
