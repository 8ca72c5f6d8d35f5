"""Which light values are worth a place in memory, given how the nodes were grouped.

A light value is worked out again wherever it is read. That is a waste where several kernels, or
many elements, read something dear; where a contraction would draw random numbers between its
products; and where one element needs so many elements of it that the code would not end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glubina.graph.node import Node

if TYPE_CHECKING:
    from glubina.schedule.fuse import Fusion

DEAR = 30
"""Machine operations per element above which a value that two kernels need is stored."""

PLACES = 8
"""A value is stored if one element of a kernel needs it at so many places."""


def worth_storing(fusion: Fusion) -> set[Node]:
    """Light values that should be stored besides those that must."""
    number = fusion.units.number.__getitem__
    kernels: dict[Node, list[int]] = {}
    found: set[Node] = set()
    for unit in fusion.kernel_units():
        size = fusion.elements(unit)
        lights = [n for n in fusion.visited(unit) if not fusion.is_memory(n, unit)]
        lights.sort(key=number)
        found |= _scattered(fusion, unit, lights)
        outer = [n for n in lights if fusion.units.of(n) != unit or n in fusion.rows.fleeting]
        for node in outer:
            kernels.setdefault(node, []).append(size)
        if fusion.contracts(unit):
            found |= _drawn(outer)
    costs = _costs(fusion)
    found |= {node for node, sizes in kernels.items() if _too_dear(node, sizes, costs[node])}
    found -= fusion.stored
    return {node for node in found if not _only_feeds(fusion, node, found)}


def _drawn(lights: list[Node]) -> set[Node]:
    """What is made of random numbers (sources first), for instance the mask of a dropout."""
    drawn: set[Node] = set()
    for node in lights:
        if node.op.family == "random" or not drawn.isdisjoint(node.sources):
            drawn.add(node)
    return {node for node in drawn if node.op.cost}


def _scattered(fusion: Fusion, unit: int, lights: list[Node]) -> set[Node]:
    """Values that one element of the unit reads at many places (each shift doubles them).

    Places are counted from the results down: at the same place through element-wise operations,
    at another one through every movement.
    """
    places: dict[Node, int] = {}
    found: set[Node] = set()
    for node in reversed(lights):
        count = int(fusion.units.of(node) == unit)
        moved = 0
        for user in fusion.users[node]:
            if user.op.family == "elementwise" or user.op.name == "reshape":
                count = max(count, places.get(user, 0))
            else:
                moved += places.get(user, 0)
        count += moved
        if count >= PLACES and node.op.cost and node.op.family != "source":
            found.add(node)
            count = 0  # its sources are read by the kernel that stores it
        places[node] = count
    return found


def _costs(fusion: Fusion) -> dict[Node, int]:
    """Operations for an element of each node, down to what is stored."""
    costs: dict[Node, int] = {}
    for node in fusion.order:
        inner = 0 if node in fusion.stored or node.op.name == "input" else node.op.cost
        sources = dict.fromkeys(() if node.op.name == "after" else node.sources)
        costs[node] = inner + sum(0 if s in fusion.stored else costs[s] for s in sources)
    return costs


def _too_dear(node: Node, sizes: list[int], cost: int) -> bool:
    if node.op.cost == 0 or node.op.family == "source":
        return False
    if len(sizes) > 1 and cost >= DEAR:
        return True
    return node.size * 16 <= max(sizes) and cost >= 8


def _only_feeds(fusion: Fusion, node: Node, found: set[Node]) -> bool:
    users = fusion.users[node]
    return len(users) == 1 and users[0] in found and users[0].size <= node.size
