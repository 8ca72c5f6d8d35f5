"""How a kernel over rows works: its passes over a row, and what it keeps between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glubina.codegen.canonical import Structure
from glubina.codegen.target import Target
from glubina.graph.node import Node
from glubina.graph.philox import GROUP
from glubina.schedule.rows import levels

UNROLLED = 8
"""Vectors up to which a row is worked on without a loop, its values all in registers."""

MOST_ROWS = 4
"""The most rows that are worked on side by side."""

WORTH_KEEPING = 6
"""Operations per element from which a value is kept for the next pass rather than made again."""

KEPT_BYTES = 1 << 16
"""The most memory for kept values, of each thread."""


@dataclass(frozen=True)
class Pass:
    """One way along a row.

    anchors: the reductions that it works out. outputs: whether it stores the full-size outputs.
    keeps: the values that it puts aside. vectors: how many it has in work at once.
    """

    anchors: tuple[Node, ...]
    outputs: tuple[Node, ...]
    keeps: tuple[Node, ...]
    vectors: int


@dataclass(frozen=True)
class RowPlan:
    """The passes over a row of `length` elements, `lanes` of them in one vector.

    rows_at_once: how many rows go through the passes side by side, so that none waits for another.
    ready: for each number of a row that is spread along it, before which pass it is known.
    """

    length: int
    lanes: int
    passes: tuple[Pass, ...]
    ready: dict[Node, int]
    rows_at_once: int

    @property
    def upright(self) -> bool:
        """Whether rows are so short that a vector has one lane for each of many rows."""
        return 2 * self.length <= self.lanes

    @property
    def unrolled(self) -> bool:
        """Whether a row is so short that it stays in registers."""
        return self.length <= UNROLLED * self.lanes


def make_plan(form: Structure, target: Target) -> RowPlan:
    """The plan for a kernel of the kind "rows"."""
    kernel = form.kernel
    rows, length = kernel.space
    size = rows * length
    known = levels(kernel.anchors, (*kernel.inputs, *form.order))
    wide = [n for n in (*kernel.inputs, *form.order) if n.size == size]
    itemsize = max([4, *(n.dtype.itemsize for n in wide)])
    lanes = target.vector_bits // 8 // min(itemsize, 8)
    full = tuple(n for n in kernel.outputs if n.size == size)
    storing = max((known[n] for n in full), default=-1)
    count = max(storing + 1, *(known[a] for a in kernel.anchors))
    anchors = [tuple(a for a in kernel.anchors if known[a] == p + 1) for p in range(count)]
    outputs = [full if p == storing else () for p in range(count)]
    roots = [(*(a.sources[0] for a in anchors[p]), *outputs[p]) for p in range(count)]
    work = _Work(set(kernel.inputs) | set(kernel.anchors), size, length)
    keeps, costs = work.divided(roots)
    unrolled = length <= UNROLLED * lanes
    random = any(n.op.name == "random_bits" for n in form.order)
    passes = tuple(
        Pass(
            anchors[p],
            outputs[p],
            () if unrolled else keeps[p],
            _vectors(costs[p], len(roots[p]), length // lanes, lanes, random),
        )
        for p in range(count)
    )
    spread = {s for n in form.order if n.op.name == "broadcast" for s in n.sources}
    ready = {n: known[n] for n in (*kernel.inputs, *form.order) if n in spread and n.size == rows}
    vectors = -(-length // lanes)
    at_once = min(MOST_ROWS, target.registers // (4 * vectors)) if unrolled else 1
    return RowPlan(length, lanes, passes, ready, max(1, at_once))


def _vectors(cost: int, results: int, most: int, lanes: int, random: bool) -> int:
    """How many vectors at once: more where little is done with each."""
    if random:
        return max(1, min(most, GROUP // lanes))
    wanted = 4 if cost <= 12 and results == 1 else 2 if cost <= 40 else 1
    return max(1, min(most, wanted))


class _Work:
    """What each pass has to work out, from the results down."""

    def __init__(self, leaves: set[Node], size: int, length: int) -> None:
        self.leaves = leaves
        self.size = size
        self.length = length
        self._costs: dict[Node, int] = {}

    def cost(self, node: Node) -> int:
        """Operations for one element of the node; what is there once for a row costs nothing."""
        stack = [node]
        while stack:
            current = stack[-1]
            if current in self._costs:
                stack.pop()
            elif current in self.leaves or current.size * self.length <= self.size:
                self._costs[stack.pop()] = 0
            else:
                missing = [s for s in current.sources if s not in self._costs]
                stack.extend(missing)
                if not missing:
                    below = sum(self._costs[s] for s in dict.fromkeys(current.sources))
                    self._costs[stack.pop()] = current.op.cost + below
        return self._costs[node]

    def divided(self, roots: Sequence[Sequence[Node]]) -> tuple[list[tuple[Node, ...]], list[int]]:
        """For each pass what it keeps for later ones, and its operations per element."""
        made: dict[Node, int] = {}
        kept: dict[Node, None] = {}
        costs = []
        for number, wanted in enumerate(roots):
            cost = 0
            stack, seen = list(wanted), set[Node]()
            while stack:
                node = stack.pop()
                if node in seen or node in self.leaves or node.size != self.size:
                    continue
                seen.add(node)
                if made.setdefault(node, number) < number and self._worth_keeping(node, kept):
                    kept[node] = None
                    continue
                cost += node.op.cost
                stack.extend(node.sources)
            costs.append(cost)
        return [tuple(n for n in kept if made[n] == p) for p in range(len(roots))], costs

    def _worth_keeping(self, node: Node, kept: dict[Node, None]) -> bool:
        if node in kept:
            return True
        room = KEPT_BYTES - sum(n.dtype.itemsize * self.length for n in kept)
        fits = node.dtype.itemsize * self.length <= room
        return fits and self.cost(node) >= WORTH_KEEPING and node.op.family != "movement"
