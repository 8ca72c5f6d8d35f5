"""Which reductions of the same rows run in one kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glubina.graph.node import Node
from glubina.graph.techniques import used
from glubina.schedule.rows import RowExtent, row_extent, stays_in_row

if TYPE_CHECKING:
    from glubina.schedule.fuse import Fusion


class RowUnits:
    """The units of reductions over rows, of one round of grouping.

    extents: the rows of each unit. fleeting: full-size values inside of them, which another
    kernel works out again rather than to have them stored.
    """

    def __init__(self, fusion: Fusion) -> None:
        self.fusion = fusion
        self.extents: dict[int, RowExtent] = {}
        self.fleeting: set[Node] = set()

    def add(self, unit: int, anchor: Node) -> bool:
        """Join a new reduction to the units that one kernel can do it with, if it is over rows."""
        extent = row_extent(anchor)
        if extent is None or not used("rows"):
            return False
        self.extents[unit] = extent
        again = True
        while again:
            again = False
            for other in [u for u, e in self.extents.items() if e == extent and u != unit]:
                joined = self._merge(other, unit)
                if joined is not None:
                    unit, again = joined, True
        return True

    def join_by_followers(self) -> None:
        """Join units that need not each other if both lead to the same stored value."""
        fusion = self.fusion
        following: dict[int, set[Node]] = {}
        for unit, extent in list(self.extents.items()):
            ends = {n for n in fusion.followers(unit) if n.size == extent.size} & fusion.required
            for other in following:
                same = self.extents[other] == extent and following[other] & ends
                if same and fusion.units.independent(unit, other):
                    self._join(other, unit, [])
                    following[other] |= ends
                    break
            else:
                following[unit] = ends

    def follows(self, node: Node, unit: int) -> bool | None:
        """Whether a light node may run in a unit of rows; None if it is not such a unit."""
        extent = self.extents.get(unit)
        return None if extent is None else stays_in_row(node, extent)

    def absorbed(self, node: Node, unit: int) -> None:
        """Take note of a node that has joined the unit."""
        extent = self.extents.get(unit)
        if extent is not None and node.size == extent.size:
            self.fleeting.add(node)

    def _merge(self, unit: int, other: int) -> int | None:
        """Make two units one if what lies between them stays in the row: the unit's number.

        Units that need not each other must read the same data.
        """
        units, anchors = self.fusion.units, self.fusion.anchors
        if units.independent(unit, other):
            alike = any(self.fusion.share_input(a, unit) for a in anchors[other])
            return self._join(unit, other, []) if alike else None
        if units.needs(unit, other):
            unit, other = other, unit
        extent, between = self.extents[unit], units.between(unit, other, self.fusion.barred)
        if between is None or not all(stays_in_row(node, extent) for node in between):
            return None
        if any(self.fusion.is_taken(node) for node in between):
            return None
        return self._join(unit, other, between)

    def _join(self, unit: int, other: int, between: list[Node]) -> int:
        """Make them one; `between` has sources first, and follows `unit`."""
        fusion = self.fusion
        for node in between:
            fusion.units.join(unit, fusion.units.of(node))
            self.absorbed(node, unit)
        fusion.units.join(unit, other)
        anchors = fusion.anchors[unit] + fusion.anchors.pop(other)
        fusion.anchors[unit] = sorted(anchors, key=fusion.units.number.__getitem__)
        del self.extents[other]
        return unit
