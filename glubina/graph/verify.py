"""Checks a graph: acyclic, and every node's shape and dtype what its operation says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glubina.graph.errors import GraphError
from glubina.graph.node import Node
from glubina.graph.ops.scan import SCAN, body_of
from glubina.graph.ops.source import INPUT


def verify(outputs: Sequence[Node]) -> None:
    """Raise GraphError if a node contradicts its sources, or the graph has a circle."""
    open_, done = set[Node](), set[Node]()
    stack = [(output, False) for output in outputs]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            open_.discard(node)
            done.add(node)
            _check(node)
        elif node in open_:
            raise GraphError(f"{node!r} depends on itself")
        elif node not in done:
            open_.add(node)
            stack.append((node, True))
            stack.extend((s, False) for s in node.sources if s not in done)


def _check(node: Node) -> None:
    shape_: object = node.shape
    dtype_: object = node.dtype
    plain = isinstance(shape_, tuple) and all(type(n) is int for n in shape_)
    if not plain or not isinstance(dtype_, np.dtype):
        raise GraphError(f"{node.op.name}: shape {node.shape!r}, dtype {node.dtype!r}")
    if min(node.shape, default=0) < 0:
        raise GraphError(f"{node.op.name}: a negative extent in {node.shape}")
    if node.op is INPUT:
        return
    shape, dtype = node.op.infer(node.sources, node.attributes)
    if (shape, dtype) != (node.shape, node.dtype):
        raise GraphError(f"{node!r} should be {dtype} {shape}")
    if node.op is SCAN:
        verify(body_of(node))
