"""Reverse-mode differentiation: gradients are nodes of the same graph."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.graph.errors import GraphError
from glubina.graph.node import Node, rebuild, remake, topological
from glubina.graph.ops.composite import opened
from glubina.graph.ops.elementwise import add, full_like
from glubina.graph.ops.marker import GRADIENT


def gradients(output: Node, wrt: Sequence[Node], seed: Node | None = None) -> list[Node]:
    """∂ output / ∂ each of `wrt`: the sum over all paths of the products of local derivatives.

    `seed` is the gradient of the output itself (ones if not given). A node that the output does
    not depend on has the gradient zero.
    """
    wanted = set(wrt)
    order = topological([output])
    leads: set[Node] = set()
    for node in order:
        if node in wanted or any(s in leads for s in node.sources):
            leads.add(node)
    received: dict[Node, Node] = {}
    if output in leads:
        received[output] = seed if seed is not None else full_like(output, 1)
    for node in reversed(order):
        gradient = received.get(node)
        if gradient is None or not node.sources or not any(s in leads for s in node.sources):
            continue
        if node.op.derivative is None:
            raise GraphError(f"{node.op.name} has no derivative")
        for source, part in zip(node.sources, node.op.derivative(node, gradient), strict=True):
            if part is None or source not in leads:
                continue
            sofar = received.get(source)
            received[source] = part if sofar is None else add(sofar, part)
    return [received[w] if w in received else full_like(w, 0) for w in wrt]


def expand(outputs: Sequence[Node]) -> list[Node]:
    """The outputs with formulas opened and `gradient` placeholders worked out, innermost first."""
    outputs = opened(outputs)
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
            table[node] = remake(node, tuple([table[s] for s in node.sources]))
    return [table[o] for o in outputs]


def without_markers(outputs: Sequence[Node]) -> list[Node]:
    """The outputs without `detach` nodes, which mean nothing once derivatives are there."""
    return rebuild(
        outputs,
        lambda node, sources: sources[0] if node.op.name == "detach" else remake(node, sources),
    )
