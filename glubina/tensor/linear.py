"""Products of matrices and tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glubina.graph import ops
from glubina.graph.errors import ShapeError
from glubina.graph.node import Node
from glubina.tensor.axes import as_axis, as_extents
from glubina.tensor.base import consume, wrap
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.mode import mode
from glubina.tensor.promotion import broadcast_shapes, float64, result_type

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


def _product(a: Node, b: Node) -> Node:
    """The matrix product of nodes of one dtype; whole numbers go through float64."""
    if a.dtype.kind == "f":
        return ops.matmul(a, b)
    # exact up to 2^53, far beyond what sums of products of whole numbers reach in practice
    return ops.cast(ops.matmul(ops.cast(a, float64), ops.cast(b, float64)), a.dtype)


def _two(x: Operand, y: Operand) -> tuple[Node, Node, bool]:
    x, y = as_tensor(x), as_tensor(y)
    a, b = consume(x), consume(y)
    if a.dtype is not b.dtype:
        dtype = result_type(a.dtype, b.dtype)
        a, b = ops.cast(a, dtype), ops.cast(b, dtype)
    return a, b, mode.grad and (x._requires_grad or y._requires_grad)


def matmul(x: Operand, y: Operand) -> Tensor:
    """The matrix product over the last two axes; the others broadcast.

    A vector on the left is a row, on the right a column; its axis is then removed.
    """
    a, b, tracked = _two(x, y)
    if not a.shape or not b.shape:
        raise ShapeError("matmul: needs tensors with axes; multiply by a scalar with *")
    left, right = len(a.shape) == 1, len(b.shape) == 1
    if a.shape[-1] != b.shape[0 if right else -2]:
        turned = not right and b.shape[-1] == a.shape[-1]
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape} do not fit: the last axis of the first has "
            f"{a.shape[-1]} elements, the {'only' if right else 'second-last'} axis of the second "
            f"{b.shape[0 if right else -2]}{'; the second transposed fits: .mT' if turned else ''}"
        )
    a = ops.reshape(a, (1, *a.shape)) if left else a
    b = ops.reshape(b, (*b.shape, 1)) if right else b
    node = _batched(a, b)
    if left or right:
        shape = node.shape[:-2] + node.shape[-2 + left : len(node.shape) - right]
        node = ops.reshape(node, shape)
    return wrap(node, tracked)


def _batched(a: Node, b: Node) -> Node:
    if len(a.shape) == len(b.shape) and a.shape[:-2] == b.shape[:-2]:
        return _product(a, b)
    if len(b.shape) == 2:
        # one matrix for all: the leading axes are rows of one large product
        rows = math.prod(a.shape[:-1])
        flat = _product(ops.reshape(a, (rows, a.shape[-1])), b)
        return ops.reshape(flat, (*a.shape[:-1], b.shape[-1]))
    lead = broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
    a = ops.broadcast(a, (*lead, *a.shape[-2:]))
    return _product(a, ops.broadcast(b, (*lead, *b.shape[-2:])))


def tensordot(x: Operand, y: Operand, axes: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """Sums of products over pairs of axes.

    axes: how many last axes of x meet the first ones of y; or two sequences of axes.
    """
    a, b, tracked = _two(x, y)
    if isinstance(axes, int):
        if not 0 <= axes <= min(len(a.shape), len(b.shape)):
            raise ShapeError(f"tensordot: {axes} axes of the shapes {a.shape} and {b.shape}")
        first = tuple(range(len(a.shape) - axes, len(a.shape)))
        second = tuple(range(axes))
    else:
        first = tuple(as_axis("tensordot", i, len(a.shape)) for i in as_extents("", axes[0]))
        second = tuple(as_axis("tensordot", i, len(b.shape)) for i in as_extents("", axes[1]))
    pairs = [a.shape[i] for i in first], [b.shape[i] for i in second]
    if pairs[0] != pairs[1]:
        raise ShapeError(
            f"tensordot: axes {first} of {a.shape} and {second} of {b.shape} differ in extent"
        )
    kept_a = [i for i in range(len(a.shape)) if i not in first]
    kept_b = [i for i in range(len(b.shape)) if i not in second]
    shape_a, shape_b = [a.shape[i] for i in kept_a], [b.shape[i] for i in kept_b]
    depth = math.prod(pairs[0])
    left = ops.reshape(ops.transpose(a, (*kept_a, *first)), (math.prod(shape_a), depth))
    right = ops.reshape(ops.transpose(b, (*second, *kept_b)), (depth, math.prod(shape_b)))
    return wrap(ops.reshape(_product(left, right), (*shape_a, *shape_b)), tracked)


def vecdot(x: Operand, y: Operand, axis: int = -1) -> Tensor:
    """Σ x · y along an axis; the others broadcast."""
    from glubina.tensor.elementwise import multiply
    from glubina.tensor.reductions import sum

    return sum(multiply(x, y), axis)


def outer(x: Operand, y: Operand) -> Tensor:
    """The products of every element of the vector x with every element of the vector y."""
    from glubina.tensor.elementwise import multiply

    x, y = as_tensor(x), as_tensor(y)
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError(f"outer: needs two vectors, got the shapes {x.shape} and {y.shape}")
    return multiply(x.reshape(-1, 1), y.reshape(1, -1))


def dot(x: Operand, y: Operand) -> Tensor:
    """Σ x · y of two vectors; of tensors with more axes the matrix product."""
    return matmul(x, y)
