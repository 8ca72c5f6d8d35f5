"""Takes out of loops what need not be done step by step.

Before a loop: what depends on no state is worked out once, for all steps (the products of an
input sequence with a weight become one product). After it: what no state depends on is worked out
from stacked values (the products that make a weight's gradient become one, over all steps). Only
heavy operations move, with what is worked out from them; what is element-wise alone stays where
its numbers are in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from glubina.graph import origins
from glubina.graph.batching import at_all_steps
from glubina.graph.node import Node, boundary, rebuild, remake, topological
from glubina.graph.ops import broadcast, input
from glubina.graph.ops.scan import (
    PARAMETER,
    SCAN,
    Loop,
    inside,
    parameter,
    replaced,
    result,
)
from glubina.graph.techniques import used

Simplify = Callable[[Sequence[Node]], list[Node]]

LIGHT = ("elementwise", "movement", "source")


def lifted(outputs: Sequence[Node], simplify: Simplify | None = None) -> list[Node]:
    """The outputs with every loop reduced to what needs its state.

    All results of a loop are changed together, so that they remain results of one loop.
    simplify: what rewrites the bodies to equal, cheaper ones (none before derivatives are taken).
    """
    order = topological(outputs)
    if not any(node.op is SCAN for node in order) or not used("lifting"):
        return list(outputs)
    families: dict[tuple[object, ...], list[Node]] = {}
    for node in order:
        if node.op is SCAN:
            families.setdefault(_family(node), []).append(node)
    table: dict[Node, Node] = {}
    for node in origins.each(order):
        if node in table:
            continue
        sources = tuple([table[s] for s in node.sources])
        if node.op is not SCAN:
            table[node] = remake(node, sources)
            continue
        members = families[_family(node)]
        loop = node.attributes.loop
        wanted = [m.attributes.result for m in members]
        if simplify is not None:
            loop, wanted = _simplified(loop, wanted, simplify)
        changed = _Lift(loop, sources, wanted).results()
        table.update(zip(members, changed, strict=True))
    return [table[o] for o in outputs]


def _simplified(
    loop: Loop, wanted: Sequence[int | Node], simplify: Simplify
) -> tuple[Loop, list[int | Node]]:
    count = len(loop.nexts)
    roots = simplify([*loop.nexts, *(w for w in wanted if isinstance(w, Node))])
    stacked = iter(roots[count:])
    changed = [next(stacked) if isinstance(w, Node) else w for w in wanted]
    return loop._replace(nexts=tuple(roots[:count])), changed


def _family(node: Node) -> tuple[object, ...]:
    return node.sources, node.attributes.loop


class _Lift:
    """One loop: what of its body moves before it, what after it, and the loop that is left."""

    def __init__(self, loop: Loop, sources: Sequence[Node], wanted: Sequence[int | Node]) -> None:
        self.loop, self.wanted = loop, wanted
        self.sources = list(sources)
        roots = [*loop.nexts, *(w for w in wanted if isinstance(w, Node))]
        self.order = topological(roots)
        self.alive = self._needed_states()
        self.stateful = self._reached({p for p in self.order if self._kind(p) == "state"})
        self.changing = self._reached({p for p in self.order if self._kind(p) == "sequence"})
        self.fixed = self._reached({p for p in self.order if self._kind(p) == "invariant"})
        self.heavy = self._reached({n for n in self.order if n.op.family not in LIGHT})
        self.feeding = set(topological([loop.nexts[i] for i in self.alive]))
        self.outside: dict[Node, tuple[Node, bool]] = {}
        self.after: dict[Node, Node | None] = {}
        self.marks: dict[Node, Node] = {}

    def _kind(self, node: Node) -> str:
        if node.op is not PARAMETER:
            return ""
        number = node.attributes.number
        if number < self.loop.invariants:
            return "invariant"
        return "state" if number < self.loop.sequences else "sequence"

    def _reached(self, start: set[Node]) -> set[Node]:
        """The nodes that depend on some of these."""
        found = set(start)
        for node in self.order:
            if any(s in found for s in node.sources):
                found.add(node)
        return found

    def _needed_states(self) -> list[int]:
        """The states that the wanted results depend on."""
        first = self.loop.invariants
        roots = [w for w in self.wanted if isinstance(w, Node)]
        needed: dict[int, None] = {w: None for w in self.wanted if not isinstance(w, Node)}
        done: set[int] = set()
        while True:
            for node in topological([*roots, *(self.loop.nexts[i] for i in needed)]):
                if self._kind(node) == "state":
                    needed[node.attributes.number - first] = None
            if done == set(needed):
                return sorted(needed)
            done = set(needed)

    # -- before the loop ------------------------------------------------------------------------

    def _before(self, node: Node) -> tuple[Node, bool] | None:
        """A node without state outside the loop, and whether it is stacked; None if impossible."""
        for n in topological([node]):
            if n in self.outside:
                continue
            if n.op is PARAMETER:
                self.outside[n] = self.sources[n.attributes.number], n in self.changing
                continue
            if any(s not in self.outside for s in n.sources):
                return None
            pairs = [self.outside[s] for s in n.sources]
            sources, stacked = [x for x, _ in pairs], [many for _, many in pairs]
            if not any(stacked):
                self.outside[n] = remake(n, tuple(sources)), False
                continue
            made = at_all_steps(n, sources, stacked, self.loop.steps)
            if made is None:
                return None
            self.outside[n] = made, True
        return self.outside[node]

    def _moves_before(self, node: Node) -> bool:
        """Whether a node should be worked out before the loop: something of weight, stateless."""
        if (
            node in self.stateful
            or node.op is PARAMETER
            or node.op.family in ("movement", "source")
        ):
            return False
        if node not in self.changing and node not in self.fixed:
            return False
        worthy = node in self.heavy or node not in self.changing
        return worthy and self._before(node) is not None

    # -- after the loop -------------------------------------------------------------------------

    def _after(self, node: Node) -> Node | None:
        """The stacked values of a node outside the loop; None if it stays inside."""
        if node in self.after:
            return self.after[node]
        self.after[node] = found = self._try_after(node)
        return found

    def _try_after(self, node: Node) -> Node | None:
        if node not in self.stateful:
            known = self._before(node)
            if known is None:
                return None
            x, many = known
            return x if many else broadcast(x, (self.loop.steps, *x.shape))
        if node in self.feeding or node.op is PARAMETER:
            return None
        if node.op.family == "elementwise" and not self._rests_on_lifted(node):
            return None
        sources, stacked = [], []
        for source in node.sources:
            if source not in self.stateful and source not in self.changing:
                known = self._before(source)
                if known is None:
                    return None
                sources.append(known[0])
                stacked.append(False)
            else:
                found = self._after(source)
                sources.append(self._mark(source) if found is None else found)
                stacked.append(True)
        return at_all_steps(node, sources, stacked, self.loop.steps)

    def _rests_on_lifted(self, node: Node) -> bool:
        """Whether an element-wise node is worked out from a heavy one that leaves the loop."""
        stack, seen = list(node.sources), set[Node]()
        while stack:
            source = stack.pop()
            if source in seen or source in self.feeding or source not in self.stateful:
                continue
            seen.add(source)
            if source.op.family not in LIGHT and self._after(source) is not None:
                return True
            stack.extend(source.sources)
        return False

    def _mark(self, node: Node) -> Node:
        """Stands for the stacked values of a node that stays, until the remaining loop is made."""
        if node not in self.marks:
            self.marks[node] = input((self.loop.steps, *node.shape), node.dtype)
        return self.marks[node]

    def _marked(self, found: Node) -> list[Node]:
        below = set(topological([found]))
        return [node for node, mark in self.marks.items() if mark in below]

    def _filled(self, found: Node, inner: dict[Node, Node]) -> Node:
        known = {mark: inner[node] for node, mark in self.marks.items() if node in inner}
        return rebuild([found], lambda n, sources: known.get(n) or remake(n, sources))[0]

    # -- what is left ---------------------------------------------------------------------------

    def results(self) -> list[Node]:
        """What replaces the wanted results."""
        outside = [self._after(w) if isinstance(w, Node) else None for w in self.wanted]
        stays: dict[Node, None] = {}
        for want, found in zip(self.wanted, outside, strict=True):
            if isinstance(want, Node) and found is None:
                stays[want] = None
        for found in outside:
            if found is not None:
                stays.update((m, None) for m in self._marked(found))
        finals = any(not isinstance(w, Node) for w in self.wanted)
        if not stays and not finals:
            return [node for node in outside if node is not None]
        loop, sources, values = self._remaining(list(stays))
        inner = dict(zip(stays, [result(loop, sources, v) for v in values], strict=True))
        answers = []
        for want, found in zip(self.wanted, outside, strict=True):
            if not isinstance(want, Node):
                answers.append(result(loop, sources, self.alive.index(want)))
            elif found is None:
                answers.append(inner[want])
            else:
                answers.append(self._filled(found, inner))
        return answers

    def _remaining(self, stays: list[Node]) -> tuple[Loop, list[Node], list[Node]]:
        """The loop without what moved, its sources, and the nodes that it stacks."""
        nexts = [self.loop.nexts[i] for i in self.alive]
        cuts = self._cuts([*nexts, *stays])
        first = self.loop.invariants
        fixed: list[tuple[Node, Node]] = []
        moving: list[tuple[Node, Node]] = []
        for node in cuts:
            if self._kind(node) == "state":
                continue
            known = self._before(node)
            assert known is not None
            (moving if known[1] else fixed).append((node, known[0]))
        states = [
            (parameter(first + i, *inside(self.sources[first + i], first + i, self.loop)),
             self.sources[first + i])
            for i in self.alive
        ]  # fmt: skip
        entries = [*fixed, *states, *moving]
        table = {node: parameter(i, node.shape, node.dtype) for i, (node, _) in enumerate(entries)}
        roots = replaced([*nexts, *stays], table)
        count = len(nexts)
        loop = Loop(tuple(roots[:count]), len(fixed), self.loop.steps, self.loop.reverse)
        return loop, [source for _, source in entries], roots[count:]

    def _cuts(self, roots: Iterable[Node]) -> list[Node]:
        """The nodes that the remaining body reads from outside."""
        return boundary(roots, lambda n: n.op is PARAMETER or self._moves_before(n))
