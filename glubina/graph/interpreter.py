"""Runs a graph with NumPy, node by node: the meaning that every kernel is tested against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from glubina.graph.errors import GraphError
from glubina.graph.node import Array, Node, topological
from glubina.graph.ops.scan import PARAMETER
from glubina.graph.ops.source import INPUT


def interpret(outputs: Sequence[Node], bindings: Mapping[Node, Array]) -> list[Array]:
    """The value of each output, given the value of each input node."""
    wanted = set(outputs)
    values: dict[Node, Array] = {}
    for node, value, arrays in evaluated(outputs, bindings):
        if node in wanted:
            values[node] = value
        del value, arrays  # or the next node would be worked out while they are held
    return [values[o] for o in outputs]


def evaluated(
    outputs: Sequence[Node], bindings: Mapping[Node, Array]
) -> Iterator[tuple[Node, Array, list[Array]]]:
    """Each node that the outputs need, with its value and those of its sources, one by one.

    A value is let go when the last node that reads it has been worked out.
    """
    values: dict[Node, Array] = {}
    order = topological(outputs)
    uses: dict[Node, int] = {}
    for node in order:
        for source in node.sources:
            uses[source] = uses.get(source, 0) + 1
    for node in order:
        arrays = [values[s] for s in node.sources]
        value = _value(node, arrays, bindings)
        if node in uses:
            values[node] = value
        yield node, value, arrays
        del value, arrays
        for source in node.sources:
            uses[source] -= 1
            if not uses[source]:
                del values[source]


def _value(node: Node, arrays: list[Array], bindings: Mapping[Node, Array]) -> Array:
    if node.op is INPUT or node.op is PARAMETER:
        return _bound(node, bindings)
    with np.errstate(all="ignore"):
        value = np.asarray(node.op.numpy(node.attributes, *arrays))
    if value.shape != node.shape or value.dtype != node.dtype:
        raise GraphError(f"{node!r} evaluated to {value.dtype} {value.shape}")
    return value


def _bound(node: Node, bindings: Mapping[Node, Array]) -> Array:
    if node not in bindings:
        raise GraphError(f"no value is bound to {node!r}")
    value = bindings[node]
    if value.shape != node.shape or value.dtype != node.dtype:
        raise GraphError(f"{node!r} was bound to {value.dtype} {value.shape}")
    return value
