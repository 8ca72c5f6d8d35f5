"""The derivative of a loop: a loop in the other direction.

    s_{t+1}, y_t = f(s_t, x_t, w)

Backwards the state is the gradient of s. Each step takes the gradient of s_{t+1} and of y_t and
gives that of s_t, x_t and w; the gradients of x_t are stacked, those of w are stacked and summed.
What the reverse needs of the forward steps is stacked by the forward loop where it is dear, and
worked out again where it is cheap.
"""

from __future__ import annotations

from collections.abc import Sequence

from glubina.graph.node import Node, boundary, topological
from glubina.graph.ops.elementwise import add, full_like
from glubina.graph.ops.movement import sum as total
from glubina.graph.ops.scan import PARAMETER, Loop, inside, parameter, replaced, result

DEAR = 8
"""Machine operations per element from which a value of a step is stored for the reverse."""


def derivatives(nodes: Sequence[Node], gradients: Sequence[Node]) -> list[Node | None]:
    """The gradients of a loop's sources, given those of some of its results."""
    return _Reverse(nodes, gradients).gradients()


class _Reverse:
    """The reverse of one loop being written."""

    def __init__(self, nodes: Sequence[Node], gradients: Sequence[Node]) -> None:
        self.sources = nodes[0].sources
        self.loop: Loop = nodes[0].attributes.loop
        self.read = [
            parameter(i, *inside(source, i, self.loop)) for i, source in enumerate(self.sources)
        ]
        first = self.loop.invariants
        self.floating = [i for i, n in enumerate(self.loop.nexts) if n.dtype.kind == "f"]
        self.finals: dict[int, Node] = {}
        self.stacked: dict[Node, Node] = {}
        for node, gradient in zip(nodes, gradients, strict=True):
            which = node.attributes.result
            if node.dtype.kind != "f":
                continue
            (self.stacked if isinstance(which, Node) else self.finals)[which] = gradient
        self.initial = [
            self.finals.get(i, full_like(self.sources[first + i], 0)) for i in self.floating
        ]

    def gradients(self) -> list[Node | None]:
        """Write the loop, and give what its results mean for the sources."""
        from glubina.graph.autodiff import backward

        wanted = [p for p in self.read if p.dtype.kind == "f"]
        # Placeholders far beyond the parameters; `_renumbered` gives them their places.
        seeds, given = self._seeds()
        found = backward(seeds, wanted)
        roots, sources, invariants = self._renumbered(found, given)
        states = self.loop.invariants
        parts = dict(zip(wanted, roots, strict=True))
        nexts = tuple(parts[self.read[states + i]] for i in self.floating)
        loop = Loop(nexts, invariants, self.loop.steps, not self.loop.reverse)
        answers: list[Node | None] = []
        for i, p in enumerate(self.read):
            if p not in parts:
                answers.append(None)
            elif i < states:
                answers.append(total(result(loop, sources, parts[p]), (0,)))
            elif i < self.loop.sequences:
                answers.append(result(loop, sources, self.floating.index(i - states)))
            else:
                answers.append(result(loop, sources, parts[p]))
        return answers

    def _seeds(self) -> tuple[dict[Node, Node], dict[Node, Node]]:
        """The gradient of each node that leaves a step, and where each of them comes from."""
        number = len(self.read)
        seeds: dict[Node, Node] = {}
        given: dict[Node, Node] = {}

        def seed(node: Node, source: Node) -> None:
            placeholder = parameter(number + len(given), node.shape, node.dtype)
            given[placeholder] = source
            seeds[node] = add(seeds[node], placeholder) if node in seeds else placeholder

        for i, source in zip(self.floating, self.initial, strict=True):
            seed(self.loop.nexts[i], source)
        for node, gradient in self.stacked.items():
            seed(node, gradient)
        return seeds, given

    def _renumbered(
        self, roots: Sequence[Node], given: dict[Node, Node]
    ) -> tuple[list[Node], list[Node], int]:
        """The reverse's body on its own parameters, its sources, and how many are invariant."""
        forward = set(topological([*self.loop.nexts, *self.stacked]))
        kept = self._kept(roots, forward)
        fixed = [
            n for n in kept if n.op is PARAMETER and n.attributes.number < self.loop.invariants
        ]
        moving = [n for n in kept if n not in fixed]
        places = list(given)
        count = len(self.floating)
        leaves = [*fixed, *places[:count], *places[count:], *moving]
        sources = [self.sources[n.attributes.number] for n in fixed]
        sources += [given[n] for n in places]
        sources += [self._sequence(n) for n in moving]
        table = {leaf: parameter(i, leaf.shape, leaf.dtype) for i, leaf in enumerate(leaves)}
        return replaced(roots, table), sources, len(fixed)

    def _sequence(self, node: Node) -> Node:
        """The values of a forward node at all steps."""
        if node.op is PARAMETER and node.attributes.number >= self.loop.sequences:
            source: Node = self.sources[node.attributes.number]
            return source
        return result(self.loop, self.sources, node)

    def _kept(self, roots: Sequence[Node], forward: set[Node]) -> list[Node]:
        """What of the forward step the reverse reads: parameters, and what is stored."""
        dear = _dear(forward)

        def stays(node: Node) -> bool:
            moves = node.op.family == "movement" and node.op.name != "slice"
            return node in forward and (node.op is PARAMETER or (node in dear and not moves))

        return boundary(roots, stays)


def _dear(forward: set[Node]) -> set[Node]:
    """The nodes that it would cost much to work out again."""
    costs: dict[Node, int] = {}
    dear: set[Node] = set()
    for node in topological(forward):
        if node.op.family not in ("elementwise", "movement", "source"):
            dear.add(node)
        costs[node] = node.op.cost * (node.op.family == "elementwise")
        costs[node] += sum(costs[s] for s in dict.fromkeys(node.sources))
        if costs[node] >= DEAR or any(s in dear for s in node.sources):
            dear.add(node)
    return dear
