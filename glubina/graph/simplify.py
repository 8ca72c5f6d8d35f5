"""Rewrites a graph to an equal one that is cheaper.

Rules keep the bits: `x + 0` stays (it turns -0 into 0), `x * 0` stays (NaN and infinity). Only
the order in which a sum or a matrix product adds up may change (a sum of a sum becomes one sum,
a transposed product the product of the transposes), and the signs of a NaN and of a zero sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from glubina.graph import ops
from glubina.graph.errors import GraphError
from glubina.graph.node import Node, make, rebuild, remake
from glubina.graph.products import conv_as_product, filter_as_product
from glubina.graph.transposes import behind

Rule = Callable[[Node], Node]


def simplify(outputs: Sequence[Node]) -> list[Node]:
    """Apply the rules bottom-up until nothing changes."""
    current = list(outputs)
    while True:
        following = rebuild(current, lambda node, sources: _apply(remake(node, sources)))
        if all(a is b for a, b in zip(current, following, strict=True)):
            return following
        current = following


def _apply(node: Node) -> Node:
    if any(not s.size for s in node.sources):
        return _of_nothing(node)
    rule = _RULES.get(node.op.name)
    if rule is not None:
        changed = rule(node)
        if changed is not node:
            return changed
    if any(s.op.name == "transpose" for s in node.sources):
        return behind(node)
    return _fold(node)


def _of_nothing(node: Node) -> Node:
    """What is computed from an empty array is empty or constant: no kernel meets one."""
    if not node.size or node.op.name in _ZERO_OF_NOTHING:
        return ops.full_like(node, 0)
    if node.op.name == "prod":
        return ops.full_like(node, 1)
    if node.op.name == "concat":
        parts = [s for s in node.sources if s.size]
        return ops.concat(parts, node.attributes.axis)
    return _scan(node) if node.op.name == "scan" else node


_ZERO_OF_NOTHING = (
    "sum", "squared_deviations", "matmul", "conv", "conv_filter", "scatter_add", "pad",
)  # fmt: skip


def _fold(node: Node) -> Node:
    """Work out element-wise operations on constants, also broadcast ones, now."""
    if node.op.family != "elementwise":
        return node
    scalars = [s.sources[0] if s.op.name == "broadcast" else s for s in node.sources]
    if any(s.op.name != "constant" for s in scalars):
        return node
    values = [s.op.numpy(s.attributes) for s in scalars]
    value = ops.constant(node.op.numpy(node.attributes, *values), node.dtype)
    return ops.broadcast(value, node.shape)


def scalar_value(node: Node) -> float | None:
    """The number that every element of the node is, if that is part of the structure."""
    while node.op.name in ("broadcast", "reshape"):
        node = node.sources[0]
    if node.op.name != "constant":
        return None
    value = node.op.numpy(node.attributes).item()
    return float(value) if not isinstance(value, complex) else None


def _multiply(node: Node) -> Node:
    x, y = node.sources
    if scalar_value(y) == 1:
        return x
    if scalar_value(x) == 1:
        return y
    if scalar_value(y) == -1:
        return _negated(x)
    if scalar_value(x) == -1:
        return _negated(y)
    return node


def _negated(x: Node) -> Node:
    return ops.negative(x) if x.dtype.kind in "fi" else ops.multiply(x, ops.full_like(x, -1))


def _power(node: Node) -> Node:
    x, y = node.sources
    if scalar_value(y) == 1:
        return x
    return ops.full_like(x, 1) if scalar_value(y) == 0 else node


def _logical_and(node: Node) -> Node:
    for x, y in (node.sources, node.sources[::-1]):
        if scalar_value(x) is not None:
            return y if scalar_value(x) else x
    return node


def _logical_or(node: Node) -> Node:
    for x, y in (node.sources, node.sources[::-1]):
        if scalar_value(x) is not None:
            return x if scalar_value(x) else y
    return node


def _where(node: Node) -> Node:
    condition, x, y = node.sources
    if x is y or scalar_value(condition):
        return x
    return y if scalar_value(condition) == 0 else node


def _divide(node: Node) -> Node:
    return node.sources[0] if scalar_value(node.sources[1]) == 1 else node


def _subtract(node: Node) -> Node:
    value = scalar_value(node.sources[1])
    if value == 0 and not np.signbit(value):
        return node.sources[0]
    return node


def _negative(node: Node) -> Node:
    inner = node.sources[0]
    return inner.sources[0] if inner.op.name == "negative" else node


def _add(node: Node) -> Node:
    x, y = node.sources
    if y.op.name == "negative":
        return ops.subtract(x, y.sources[0])
    if x.op.name == "negative":
        return ops.subtract(y, x.sources[0])
    return node


def _reshape(node: Node) -> Node:
    inner = node.sources[0]
    if inner.op.name == "reshape":
        return ops.reshape(inner.sources[0], node.shape)
    if inner.op.name == "constant":
        return ops.broadcast(inner, node.shape)
    if inner.op.name == "broadcast" and inner.sources[0].shape == ():
        return ops.broadcast(inner.sources[0], node.shape)
    return node


def _transpose(node: Node) -> Node:
    inner, order = node.sources[0], node.attributes.permutation
    if inner.op.name == "transpose":
        before = inner.attributes.permutation
        return ops.transpose(inner.sources[0], tuple(before[i] for i in order))
    if inner.op.name == "broadcast" and inner.sources[0].shape == ():
        return ops.broadcast(inner.sources[0], node.shape)
    rank = len(order)
    if inner.op.name == "matmul" and order == (*range(rank - 2), rank - 1, rank - 2):
        a, b = inner.sources
        return ops.matmul(ops.swap_last(b), ops.swap_last(a))
    moved = [i for i in order if node.sources[0].shape[i] != 1]
    if moved == sorted(moved):
        return ops.reshape(inner, node.shape)
    return node


def _broadcast(node: Node) -> Node:
    inner = node.sources[0]
    if inner.op.name == "broadcast":
        return ops.broadcast(inner.sources[0], node.shape)
    if inner.size == node.size and inner.op.name != "constant":
        return ops.reshape(inner, node.shape)
    if inner.size == 1 and inner.shape != ():
        return ops.broadcast(ops.reshape(inner, ()), node.shape)
    return node


def _sum(node: Node) -> Node:
    x, axes = node.sources[0], node.attributes.axes
    if all(x.shape[i] == 1 for i in axes):
        return ops.reshape(x, node.shape)
    inner = x
    if inner.op.name == "sum":
        first = inner.attributes.axes
        kept = [i for i in range(len(inner.sources[0].shape)) if i not in first]
        merged = sorted((*first, *(kept[i] for i in axes)))
        return ops.sum(inner.sources[0], tuple(merged))
    if inner.op.name == "matmul" and axes == (0,) and len(x.shape) == 3:
        return _sum_of_products(*inner.sources)
    return node


def _sum_of_products(a: Node, b: Node) -> Node:
    """Σ_t A_t B_t as one product, over t and the inner axis together."""
    turned = ops.swap_last(a)
    left = ops.reshape(turned, (turned.shape[0] * turned.shape[1], turned.shape[2]))
    right = ops.reshape(b, (b.shape[0] * b.shape[1], b.shape[2]))
    return ops.matmul(ops.swap_last(left), right)


def _scan(node: Node) -> Node:
    which, loop = node.attributes.result, node.attributes.loop
    if loop.steps or isinstance(which, Node):
        return node
    initial: Node = node.sources[loop.invariants + which]
    return initial


def _slice(node: Node) -> Node:
    inner, a = node.sources[0], node.attributes
    if inner.op.name == "slice" and node.size:
        b = inner.attributes
        starts = tuple(s + t * u for s, u, t in zip(b.starts, b.steps, a.starts, strict=True))
        steps = tuple(u * t for u, t in zip(b.steps, a.steps, strict=True))
        return ops.slice(inner.sources[0], starts, a.lengths, steps)
    if inner.op.name == "broadcast" and inner.sources[0].shape == ():
        return ops.broadcast(inner.sources[0], node.shape)
    return node


def _detach(node: Node) -> Node:
    return node.sources[0]


def _after(node: Node) -> Node:
    """What moves nothing, or makes more of less, is done again; memory is needed below it."""
    inner, waits = node.sources[0], node.sources[1:]
    if inner.op.family == "source" and inner.op.name != "input":
        return inner
    grows = inner.op.name == "cast" and inner.sources[0].dtype.itemsize <= inner.dtype.itemsize
    if grows or inner.op.name in ("reshape", "transpose", "broadcast"):
        return make(inner.op, (ops.after(inner.sources[0], waits),), inner.attributes)
    return node


def _gradient(node: Node) -> Node:
    raise GraphError("simplify: gradients are expanded first; rules would change what they are of")


def _cast(node: Node) -> Node:
    inner = node.sources[0]
    return inner if inner.dtype == node.dtype else node


def _elementwise_of_reshape(node: Node) -> Node:
    """f(reshape(x)) = reshape(f(x)): brings the function next to what made x, to be fused."""
    inner = node.sources[0]
    if inner.op.name != "reshape":
        return node
    return ops.reshape(make(node.op, (inner.sources[0],), node.attributes), node.shape)


_RULES: dict[str, Rule] = {
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "logical_and": _logical_and,
    "logical_or": _logical_or,
    "where": _where,
    "subtract": _subtract,
    "negative": _negative,
    "add": _add,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast": _broadcast,
    "sum": _sum,
    "scan": _scan,
    "slice": _slice,
    "detach": _detach,
    "after": _after,
    "gradient": _gradient,
    "cast": _cast,
    "conv": conv_as_product,
    "conv_filter": filter_as_product,
}
_RULES |= dict.fromkeys(
    ("relu", "tanh", "sigmoid", "exp", "erf", "sqrt", "absolute", "sign"), _elementwise_of_reshape
)
