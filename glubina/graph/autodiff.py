"""Reverse-mode differentiation: gradients are nodes of the same graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from glubina.graph import origins
from glubina.graph.errors import GraphError
from glubina.graph.loops import lifted
from glubina.graph.node import Node, rebuild, remake, topological
from glubina.graph.ops.composite import opened
from glubina.graph.ops.elementwise import add, full_like
from glubina.graph.ops.hook import without_hooks
from glubina.graph.ops.marker import GRADIENT


def gradients(output: Node, wrt: Sequence[Node], seed: Node | None = None) -> list[Node]:
    """∂ output / ∂ each of `wrt`: the sum over all paths of the products of local derivatives.

    `seed` is the gradient of the output itself (ones if not given). A node that the output does
    not depend on has the gradient zero.
    """
    return backward({output: full_like(output, 1) if seed is None else seed}, wrt)


def backward(seeds: Mapping[Node, Node], wrt: Sequence[Node]) -> list[Node]:
    """∂ (Σ <seed, output>) / ∂ each of `wrt`, for outputs with a seed each."""
    found = received(seeds, wrt)
    return [full_like(w, 0) if g is None else g for w, g in zip(wrt, found, strict=True)]


def received(
    seeds: Mapping[Node, Node], wrt: Sequence[Node], ends: Iterable[Node] = ()
) -> list[Node | None]:
    """As `backward`, with None for what no gradient reaches.

    ends: nodes through which no gradient goes on, to what they were made of.
    """
    wanted, ends = set(wrt), frozenset(ends)
    order = topological(seeds)
    leads: set[Node] = set()
    waiting: Counter[Family] = Counter()
    for node in order:
        if node in wanted or (node not in ends and any(s in leads for s in node.sources)):
            leads.add(node)
        if node.op.together is not None:
            waiting[_family(node)] += 1
    sent = {output: seed for output, seed in seeds.items() if output in leads}
    with origins.passing():
        _send_back(order, leads, waiting, sent, ends)
    return [sent.get(w) for w in wrt]


def _send_back(
    order: Sequence[Node],
    leads: set[Node],
    waiting: Counter[Family],
    received: dict[Node, Node],
    ends: frozenset[Node],
) -> None:
    """Go through the nodes in reverse order; `received` becomes the gradient of each."""
    watch = origins.current()
    for node in reversed(order):
        if node in ends:
            continue
        gradient = received.get(node)
        if node.op.together is not None:
            family = _family(node)
            waiting[family] -= 1
            if waiting[family]:
                continue  # the last of them to be reached is worked out with the others
            relatives = [n for n in order if n in received and _are(n, family)]
        else:
            relatives = [node] if gradient is not None else []
        if not relatives or not any(s in leads for s in node.sources):
            continue
        if watch is not None:
            watch.source, watch.backward = node, True
        parts = _parts(relatives, [received[n] for n in relatives])
        for source, part in zip(node.sources, parts, strict=True):
            if part is None or source not in leads:
                continue
            sofar = received.get(source)
            received[source] = part if sofar is None else add(sofar, part)


Family = tuple[object, ...]


def _family(node: Node) -> Family:
    """What nodes have in common whose derivatives are worked out together."""
    return node.op, node.sources, node.attributes[0]


def _are(node: Node, family: Family) -> bool:
    return node.op is family[0] and _family(node) == family


def _parts(nodes: Sequence[Node], gradients: Sequence[Node]) -> Sequence[Node | None]:
    """The gradients of the nodes' common sources."""
    op = nodes[0].op
    if op.together is not None:
        return op.together(nodes, gradients)
    if op.derivative is None:
        raise GraphError(f"{op.name} has no derivative")
    return op.derivative(nodes[0], gradients[0])


def expand(outputs: Sequence[Node]) -> list[Node]:
    """The outputs with formulas opened and `gradient` placeholders worked out, innermost first.

    Of values with derivatives of their own (`ops.hook`) only the value is left.
    """
    with origins.passing():
        return without_hooks(_expanded(outputs))


def _expanded(outputs: Sequence[Node]) -> list[Node]:
    outputs = lifted(opened(outputs))
    watch = origins.current()
    table: dict[Node, Node] = {}
    order = topological(outputs)
    asked: dict[Node, list[Node]] = {}
    for node in order:
        if node.op is GRADIENT:
            asked.setdefault(node.sources[0], []).append(node)
        elif all(source in table for source in node.sources):
            table[node] = node  # no placeholder below it
    if not asked:
        return list(outputs)
    for node in order:
        if node in table:
            continue
        if node.op is GRADIENT:
            loss = node.sources[0]
            ready = [p for p in asked[loss] if p not in table and p.sources[1] in table]
            found = gradients(table[loss], [table[p.sources[1]] for p in ready])
            table.update(zip(ready, found, strict=True))
        else:
            if watch is not None:
                watch.source, watch.backward = node, False
            table[node] = remake(node, tuple([table[s] for s in node.sources]))
    return [table[o] for o in outputs]


def without_markers(outputs: Sequence[Node]) -> list[Node]:
    """The outputs without `detach` nodes, which mean nothing once derivatives are there."""
    return rebuild(
        outputs,
        lambda node, sources: sources[0] if node.op.name == "detach" else remake(node, sources),
    )
