"""One operation at all steps of a loop at once: the step becomes the leading axis.

The rules are plain: `rule(node, sources, stacked)` gives the node's values at all steps from its
sources, of which those that are `stacked` have the steps as their first axis and the others are
the same at every step. Where there is no rule, or none that pays, the answer is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from glubina.graph import ops
from glubina.graph.node import Node, make

Rule = Callable[[Node, Sequence[Node], Sequence[bool]], Node | None]


def at_all_steps(
    node: Node, sources: Sequence[Node], stacked: Sequence[bool], steps: int
) -> Node | None:
    """The node's values at all steps, stacked; None where that cannot be written."""
    if node.op.family == "elementwise":
        return make(node.op, tuple(_repeated(sources, stacked, steps)), node.attributes)
    rule = _RULES.get(node.op.name)
    return None if rule is None else rule(node, sources, stacked)


def has_rule(node: Node) -> bool:
    """Whether a node can be written at all steps at once, in principle."""
    return node.op.family == "elementwise" or node.op.name in _RULES


def _repeated(sources: Sequence[Node], stacked: Sequence[bool], steps: int) -> list[Node]:
    return [
        x if many else ops.broadcast(x, (steps, *x.shape))
        for x, many in zip(sources, stacked, strict=True)
    ]


def _reshape(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node:
    x = sources[0]
    return ops.reshape(x, (x.shape[0], *node.shape))


def _transpose(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node:
    order = node.attributes.permutation
    return ops.transpose(sources[0], (0, *(i + 1 for i in order)))


def _broadcast(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node:
    x = sources[0]
    steps, *shape = x.shape
    between = (1,) * (len(node.shape) - len(shape))
    return ops.broadcast(ops.reshape(x, (steps, *between, *shape)), (steps, *node.shape))


def _slice(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node:
    x, a = sources[0], node.attributes
    return ops.slice(x, (0, *a.starts), (x.shape[0], *a.lengths), (1, *a.steps))


def _pad(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node:
    a = node.attributes
    return ops.pad(sources[0], (0, *a.low), (0, *a.high), (0, *a.interior))


def _concat(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node:
    steps = next(x.shape[0] for x, many in zip(sources, stacked, strict=True) if many)
    return ops.concat(_repeated(sources, stacked, steps), node.attributes.axis + 1)


def _reduction(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node:
    a = node.attributes
    return make(node.op, (sources[0],), a._replace(axes=tuple(i + 1 for i in a.axes)))


def _matmul(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node:
    """The steps join the rows where the other factor is always the same: one large product."""
    a, b = sources
    if all(stacked):
        return ops.matmul(a, b)
    if stacked[0]:
        if len(b.shape) == 2:
            rows = ops.reshape(a, (prod(a.shape[:-1]), a.shape[-1]))
            return ops.reshape(ops.matmul(rows, b), (*a.shape[:-1], b.shape[-1]))
        return ops.matmul(a, ops.broadcast(b, (a.shape[0], *b.shape)))
    if len(a.shape) == 2:  # a b = (bᵀ aᵀ)ᵀ
        turned = _matmul(node, (ops.swap_last(b), ops.swap_last(a)), (True, False))
        return ops.swap_last(turned)
    return ops.matmul(ops.broadcast(a, (b.shape[0], *a.shape)), b)


def _take(node: Node, sources: Sequence[Node], stacked: Sequence[bool]) -> Node | None:
    if tuple(stacked) != (False, True) or node.attributes.axis != 0:
        return None
    return ops.take(sources[0], sources[1], 0)


_RULES: dict[str, Rule] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast": _broadcast,
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "sum": _reduction,
    "max": _reduction,
    "prod": _reduction,
    "squared_deviations": _reduction,
    "matmul": _matmul,
    "take": _take,
}
