"""How much arithmetic a graph is: additions, multiplications and the like, done directly."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glubina.graph.node import Node, topological
from glubina.graph.ops.composite import opened
from glubina.graph.ops.scan import SCAN, body_of


def flops_of(outputs: Sequence[Node], counted: set[object] | None = None) -> int:
    """The operations that values need beyond what is counted; a loop's for each of its steps.

    counted: what an earlier call has counted already; this one adds to it.
    """
    counted = set() if counted is None else counted
    total = 0
    stack = opened(outputs)
    while stack:
        current = stack.pop()
        if current in counted or not current.sources:
            continue
        counted.add(current)
        stack.extend(current.sources)
        total += _of_one(current)
        if current.op is SCAN:
            loop = current.attributes.loop
            if (current.sources, loop) not in counted:  # other results come with it
                counted.add((current.sources, loop))
                total += loop.steps * sum(map(_of_one, topological(body_of(current))))
    return total


def _of_one(node: Node) -> int:
    name, family = node.op.name, node.op.family
    if name == "matmul":
        return 2 * node.size * node.sources[0].shape[-1]
    if name == "conv":
        taps = math.prod(node.sources[1].shape[:-1])  # those on zeros between elements left out
        return int(2 * node.size * taps // math.prod(node.attributes.input_dilation))
    if name == "conv_filter":
        return 2 * node.size * math.prod(node.sources[1].shape[:-1])
    if name == "attention":
        depth, reach = node.sources[0].shape[3], node.sources[1].shape[1]
        return 2 * (node.size // max(1, node.shape[3])) * reach * (depth + node.shape[3])
    if name == "attention_gradient":  # two products forward; of five backward a third for each
        queries, keys = node.sources[0].shape, node.sources[1].shape
        return 2 * math.prod(queries[:3]) * keys[1] * queries[3] * 5 // 3
    if family == "window":  # those by an index touch one element of each window
        return int(node.size * math.prod(getattr(node.attributes, "window", ())))
    if family == "reduction":
        return node.sources[0].size
    return node.size if family == "elementwise" and name != "cast" else 0
