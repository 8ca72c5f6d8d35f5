"""Runs a graph with NumPy, node by node: the meaning that every kernel is tested against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glubina.graph.errors import GraphError
from glubina.graph.node import Array, Node, topological
from glubina.graph.ops.scan import PARAMETER
from glubina.graph.ops.source import INPUT


def interpret(outputs: Sequence[Node], bindings: Mapping[Node, Array]) -> list[Array]:
    """The value of each output, given the value of each input node."""
    values: dict[Node, Array] = {}
    order = topological(outputs)
    uses: dict[Node, int] = {}
    for node in order:
        for source in node.sources:
            uses[source] = uses.get(source, 0) + 1
    for output in outputs:
        uses[output] = uses.get(output, 0) + 1
    for node in order:
        if node.op is INPUT or node.op is PARAMETER:
            values[node] = _bound(node, bindings)
            continue
        arrays = [values[s] for s in node.sources]
        with np.errstate(all="ignore"):
            value = np.asarray(node.op.numpy(node.attributes, *arrays))
        if value.shape != node.shape or value.dtype != node.dtype:
            raise GraphError(f"{node!r} evaluated to {value.dtype} {value.shape}")
        values[node] = value
        for source in node.sources:
            uses[source] -= 1
            if not uses[source]:
                del values[source]
    return [values[o] for o in outputs]


def _bound(node: Node, bindings: Mapping[Node, Array]) -> Array:
    if node not in bindings:
        raise GraphError(f"no value is bound to {node!r}")
    value = bindings[node]
    if value.shape != node.shape or value.dtype != node.dtype:
        raise GraphError(f"{node!r} was bound to {value.dtype} {value.shape}")
    return value
