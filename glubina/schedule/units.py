"""Nodes grouped into units that will become kernels, with the order they must keep.

A unit is a set of nodes that run together. Sets are bits of an integer, one bit per node, so that
"does this depend on that" is one `&`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glubina.graph.node import Node


class Units:
    """A partition of the nodes, kept free of circles; it starts with one unit per node."""

    def __init__(self, order: Sequence[Node]) -> None:
        self.order = order
        self.number = {node: i for i, node in enumerate(order)}
        self.unit = list(range(len(order)))
        self.members = [1 << i for i in range(len(order))]
        self.heads = (1 << len(order)) - 1  # the nodes whose numbers are those of units
        self.before = [0] * len(order)
        for i, node in enumerate(order):
            for source in node.sources:
                j = self.number[source]
                self.before[i] |= self.before[j] | self.members[j]
        self.after = [0] * len(order)
        for i in range(len(order) - 1, -1, -1):
            for source in order[i].sources:
                self.after[self.number[source]] |= self.after[i] | self.members[i]

    def of(self, node: Node) -> int:
        """The unit that a node belongs to."""
        return self.unit[self.number[node]]

    def nodes(self, unit: int) -> list[Node]:
        """The nodes of a unit, sources first."""
        bits = self.members[unit]
        return [self.order[i] for i in _bits(bits)]

    def alone(self, unit: int) -> bool:
        """Whether the unit is a single node."""
        return not self.members[unit] & (self.members[unit] - 1)

    def needs(self, a: int, b: int) -> bool:
        """Whether unit a can only run after unit b."""
        return bool(self.before[a] & self.members[b])

    def independent(self, a: int, b: int) -> bool:
        """Neither unit needs the other."""
        return not self.needs(a, b) and not self.needs(b, a)

    def between(self, a: int, b: int, barred: int) -> list[Node] | None:
        """The nodes on the ways between two units, sources first; None if one is in `barred`."""
        bits = (self.after[a] & self.before[b]) | (self.after[b] & self.before[a])
        return None if bits & barred else [self.order[i] for i in _bits(bits)]

    def may_join(self, unit: int, node: Node) -> bool:
        """Whether adding the node to the unit leaves the units without a circle."""
        own = self.of(node)
        if own == unit:
            return False
        if self.before[unit] & self.members[own]:
            return False
        for member in self.nodes(own):
            for source in member.sources:
                there = self.of(source)
                if there not in (unit, own) and self.before[there] & self.members[unit]:
                    return False
        return True

    def join(self, unit: int, other: int) -> None:
        """Make two units one.

        Only those change that stand before or after exactly one of the two: what follows both
        already comes after everything that precedes either.
        """
        self.heads &= ~(1 << other)
        # what stands before or after a unit are whole units, so that their heads are enough
        later = (self.after[unit] ^ self.after[other]) & self.heads
        earlier = (self.before[unit] ^ self.before[other]) & self.heads
        for i in _bits(self.members[other]):
            self.unit[i] = unit
        inside = self.members[unit] | self.members[other]
        self.members[unit] = inside
        self.before[unit] = (self.before[unit] | self.before[other]) & ~inside
        self.after[unit] = (self.after[unit] | self.after[other]) & ~inside
        self.members[other] = self.before[other] = self.after[other] = 0
        all_before = self.before[unit] | inside
        for i in _bits(later & ~inside):
            self.before[i] |= all_before
        all_after = self.after[unit] | inside
        for i in _bits(earlier & ~inside):
            self.after[i] |= all_after


_FEW = 8


def _bits(bits: int) -> list[int]:
    """The places of the bits that are set, in order."""
    if bits.bit_count() > _FEW:
        octets = np.frombuffer(bits.to_bytes(-(-bits.bit_length() // 8), "little"), np.uint8)
        places: list[int] = np.flatnonzero(np.unpackbits(octets, bitorder="little")).tolist()
        return places
    places = []
    while bits:
        low = bits & -bits
        places.append(low.bit_length() - 1)
        bits ^= low
    return places
