"""How a reduction's work is cut, and where its elements lie."""

from __future__ import annotations

from dataclasses import dataclass

from glubina.schedule.affine import Affine, Index, Space

BLOCK = 4096
"""Reduced elements of one block, where the innermost axis is reduced."""

BLOCK_ROWS = 128
"""Reduced rows of one block, where the innermost axis is kept."""

CHAIN = 16
"""Steps of a block that are added up one after the other; such chains are then put together. A
rounding that always goes the same way, as with equal elements, adds up along a chain."""

MOST_LINES = CHAIN * CHAIN
"""Lines of one block, where the innermost axis is reduced and short."""


@dataclass
class Plan:
    """The groups of axes of a reduction, and the counts that follow.

    shape: the source's shape. groups: (reduced, extent) from outside to inside.
    inner: the innermost group's extent, None if it is the only group (known at run time only).
    kept, reduced: how many kept and reduced places there are outside the innermost group (in
        `reduced`, the elements themselves if there is only one group). width: results per place.
    """

    shape: tuple[int, ...]
    groups: tuple[tuple[bool, int], ...]
    lanes: int
    inner_reduced: bool
    inner: int | None
    kept: int
    reduced: int
    width: int

    @property
    def tiles(self) -> int:
        """Vectors of results per kept place."""
        return -(-self.width // (4 * self.lanes))

    @property
    def lines(self) -> int:
        """Reduced lines in one block: whole lines where they are short, else part of one."""
        if not self.inner_reduced:
            return BLOCK_ROWS
        if self.inner is None or self.inner >= 2 * BLOCK:
            return 0
        return max(1, min(MOST_LINES, BLOCK // max(1, self.inner)))

    @property
    def chunks(self) -> int:
        """Blocks in one line, where lines are long."""
        return -(-(self.inner or self.reduced) // BLOCK)

    @property
    def blocks(self) -> int:
        """Blocks per kept place."""
        if self.lines:
            return -(-self.reduced // self.lines)
        return self.chunks if self.inner is None else self.reduced * self.chunks

    def element(self, space: Space, kept: Affine, reduced: Affine, inner: Affine) -> Index:
        """The source's index of a place: kept and reduced groups outside, the innermost one."""
        outer = self.groups[:-1]
        places = {
            True: list(space.unflatten(reduced, [e for r, e in outer if r])),
            False: list(space.unflatten(kept, [e for r, e in outer if not r])),
        }
        parts, stride = [(inner, 1)], self.groups[-1][1]
        for is_reduced, extent in reversed(outer):
            parts.append((places[is_reduced].pop(), stride))
            stride *= extent
        return space.unflatten(space.combine(parts), self.shape)

    def result(self, space: Space, kept: Affine, inner: Affine) -> Affine:
        """The row-major position of a result."""
        if self.inner_reduced:
            return kept
        return space.combine(((kept, self.width), (inner, 1)))
