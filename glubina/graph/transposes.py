"""Moves transposes from before an operation to behind it, so that pairs of them meet and cancel.

A layer that keeps channels first turns its input and its output; between two such layers stand
element-wise functions, joins and reductions, which can as well work on what was not turned.
"""

from __future__ import annotations

from collections.abc import Sequence

from glubina.graph import ops
from glubina.graph.node import Node, make


def behind(node: Node) -> Node:
    """The same values with the transposes of the sources moved behind the operation.

    The node itself where its sources are not all turned alike (numbers in every element count as
    turned in any way).
    """
    order = _order(node.sources)
    if order is None:
        return node
    if node.op.family == "elementwise":
        sources = [_unturned(s, order) for s in node.sources]
        return ops.transpose(make(node.op, tuple(sources), node.attributes), order)
    if node.op.name == "concat":
        parts = [_unturned(s, order) for s in node.sources]
        return ops.transpose(ops.concat(parts, order[node.attributes.axis]), order)
    return _reduced(node, order) if node.op.name in ("sum", "max") else node


def _order(sources: Sequence[Node]) -> tuple[int, ...] | None:
    """The one permutation by which the sources are turned; None if there is none such."""
    order: tuple[int, ...] | None = None
    for source in sources:
        if source.op.name == "transpose":
            found: tuple[int, ...] = source.attributes.permutation
            if order is not None and found != order:
                return None
            order = found
        elif not _is_uniform(source):
            return None
    return order


def _is_uniform(node: Node) -> bool:
    """Whether every element is the same number by construction."""
    return node.op.name == "broadcast" and node.sources[0].shape == ()


def _unturned(node: Node, order: tuple[int, ...]) -> Node:
    """What the permutation was applied to."""
    if node.op.name == "transpose":
        return node.sources[0]
    shape = [0] * len(order)
    for place, axis in enumerate(order):
        shape[axis] = node.shape[place]
    return ops.broadcast(node.sources[0], tuple(shape))


def _reduced(node: Node, order: tuple[int, ...]) -> Node:
    """The reduction over the axes as they were; the kept ones are turned behind it."""
    axes = tuple(sorted(order[axis] for axis in node.attributes.axes))
    inner = node.sources[0].sources[0]
    reduced = (ops.sum if node.op.name == "sum" else ops.max)(inner, axes)
    kept = [axis for place, axis in enumerate(order) if place not in node.attributes.axes]
    ranks = sorted(kept)
    return ops.transpose(reduced, tuple(ranks.index(axis) for axis in kept))
