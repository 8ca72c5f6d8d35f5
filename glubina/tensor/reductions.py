"""Functions that make one number of many: sums, means, extremes, and what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glubina.graph import ops
from glubina.graph.errors import ShapeError
from glubina.graph.node import Node
from glubina.tensor import elementwise
from glubina.tensor.axes import Axis, as_axes, as_axis
from glubina.tensor.base import consume, consume_value, wrap
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.mode import mode
from glubina.tensor.promotion import DEFAULT, as_dtype, bool_, int64, uint64

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


def _finish(x: Tensor, node: Node, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if keepdims:
        node = ops.reshape(node, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))
    return wrap(node, mode.grad and x._requires_grad and node.dtype.kind == "f")


def _summed_type(node: Node, dtype: object) -> Node:
    """Small integers are summed as 64-bit ones, booleans are counted (the array API's rule)."""
    if dtype is not None:
        return ops.cast(node, as_dtype(dtype))
    if node.dtype.kind in "bi":
        return ops.cast(node, int64)
    return ops.cast(node, uint64) if node.dtype.kind == "u" else node


def sum(x: Operand, axis: Axis = None, *, dtype: object = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes given (None: all)."""
    x = as_tensor(x)
    node = _summed_type(consume(x), dtype)
    axes = as_axes("sum", axis, len(node.shape))
    return _finish(x, ops.sum(node, axes), axes, keepdims)


def prod(x: Operand, axis: Axis = None, *, dtype: object = None, keepdims: bool = False) -> Tensor:
    """The product over the axes given (None: all)."""
    x = as_tensor(x)
    node = _summed_type(consume(x), dtype)
    axes = as_axes("prod", axis, len(node.shape))
    return _finish(x, ops.prod(node, axes), axes, keepdims)


def _count(node: Node, axes: tuple[int, ...]) -> int:
    count = 1
    for i in axes:
        count *= node.shape[i]
    return count


def mean(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The mean over the axes given (None: all); of integers a floating number."""
    x = as_tensor(x)
    node = consume(x)
    if node.dtype.kind != "f":
        node = ops.cast(node, DEFAULT)
    axes = as_axes("mean", axis, len(node.shape))
    return _finish(x, mean_node(node, axes), axes, keepdims)


def mean_node(node: Node, axes: tuple[int, ...]) -> Node:
    """Σ x / n over the axes, which are removed (n belongs to the structure, as shapes do)."""
    total = ops.sum(node, axes)
    count = _count(node, axes)
    return total if count == 1 else ops.divide(total, ops.full_like(total, count))


def var(
    x: Operand, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The variance Σ (x − mean)² / (n − correction) over the axes given (None: all)."""
    x = as_tensor(x)
    node = consume(x)
    if node.dtype.kind != "f":
        node = ops.cast(node, DEFAULT)
    axes = as_axes("var", axis, len(node.shape))
    middle = ops.restored(mean_node(node, axes), axes, node.shape)
    away = ops.subtract(node, middle)
    total = ops.sum(ops.multiply(away, away), axes)
    count = max_(_count(node, axes) - correction, 0)
    return _finish(x, ops.divide(total, ops.full_like(total, count)), axes, keepdims)


def max_(a: float, b: float) -> float:
    """The larger of two Python numbers (`max` is a tensor function here)."""
    return a if a > b else b


def std(
    x: Operand, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The standard deviation √var over the axes given (None: all)."""
    return elementwise.sqrt(var(x, axis, correction=correction, keepdims=keepdims))


def max(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The largest element over the axes given (None: all); equal ones share the gradient."""
    x = as_tensor(x)
    node = consume(x)
    axes = as_axes("max", axis, len(node.shape))
    return _finish(x, _largest(node, axes), axes, keepdims)


def _largest(node: Node, axes: tuple[int, ...]) -> Node:
    if node.dtype != bool_:
        return ops.max(node, axes)
    return ops.not_equal(found := ops.max(ops.cast(node, int64), axes), ops.full_like(found, 0))


def min(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The smallest element over the axes given (None: all); equal ones share the gradient."""
    x = as_tensor(x)
    node = consume(x)
    axes = as_axes("min", axis, len(node.shape))
    return _finish(x, _turned(_largest(_turned(node), axes)), axes, keepdims)


def _turned(node: Node) -> Node:
    """The same numbers in the opposite order: -x, or for integers every bit turned over."""
    if node.dtype == bool_:
        return ops.logical_not(node)
    return ops.negative(node) if node.dtype.kind == "f" else ops.bitwise_not(node)


def all(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Whether every element over the axes given (None: all) is true or not zero."""
    x = as_tensor(x)
    axes = as_axes("all", axis, x.ndim)
    return _finish(x, ops.logical_not(_any(ops.logical_not(_truth(x)), axes)), axes, keepdims)


def any(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Whether an element over the axes given (None: all) is true or not zero."""
    x = as_tensor(x)
    axes = as_axes("any", axis, x.ndim)
    return _finish(x, _any(_truth(x), axes), axes, keepdims)


def _truth(x: Tensor) -> Node:
    node = consume_value(x)
    return node if node.dtype == bool_ else ops.not_equal(node, ops.full_like(node, 0))


def _any(node: Node, axes: tuple[int, ...]) -> Node:
    # a sum, because of nothing at all no element is true
    total = ops.sum(ops.cast(node, int64), axes)
    return ops.not_equal(total, ops.full_like(total, 0))


def count_nonzero(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """How many elements over the axes given (None: all) are not zero (int64)."""
    x = as_tensor(x)
    axes = as_axes("count_nonzero", axis, x.ndim)
    return _finish(x, ops.sum(ops.cast(_truth(x), int64), axes), axes, keepdims)


def argmax(x: Operand, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """The index of the first largest element along an axis (None: of the flattened tensor)."""
    return _argument("argmax", x, axis, keepdims, False)


def argmin(x: Operand, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """The index of the first smallest element along an axis (None: of the flattened tensor)."""
    return _argument("argmin", x, axis, keepdims, True)


def _argument(name: str, x: Operand, axis: int | None, keepdims: bool, turn: bool) -> Tensor:
    x = as_tensor(x)
    node = consume_value(x)
    shape = node.shape
    if node.dtype == bool_:
        node = ops.cast(node, np.dtype(np.int8))
    if turn:
        node = _turned(node)
    if axis is None:
        found = ops.argmax(ops.reshape(node, (node.size,)), 0)
        return wrap(ops.reshape(found, (1,) * len(shape)) if keepdims else found)
    at = as_axis(name, axis, len(shape))
    found = ops.argmax(node, at)
    return wrap(ops.reshape(found, (*shape[:at], 1, *shape[at + 1 :])) if keepdims else found)


def logsumexp(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Ln Σ eˣ over the axes given (None: all), without overflow."""
    x = as_tensor(x)
    node = consume(x)
    if node.dtype.kind != "f":
        node = ops.cast(node, DEFAULT)
    axes = as_axes("logsumexp", axis, len(node.shape))
    largest = _shift(node, axes)
    total = ops.sum(ops.exp(ops.subtract(node, ops.restored(largest, axes, node.shape))), axes)
    return _finish(x, ops.add(ops.log(total), largest), axes, keepdims)


def _shift(node: Node, axes: tuple[int, ...]) -> Node:
    """What is subtracted before `exp`: the largest element (0 where that is infinite)."""
    largest = _largest_or_zero(node, axes)
    infinite = ops.equal(ops.absolute(largest), ops.full_like(largest, float("inf")))
    return ops.where(infinite, ops.full_like(largest, 0), largest)


def _largest_or_zero(node: Node, axes: tuple[int, ...]) -> Node:
    """The largest element, as a mere number for derivatives; 0 where there is none."""
    if 0 in [node.shape[axis] for axis in axes]:
        return ops.sum(node, axes)
    return ops.max(ops.detach(node), axes)


def softmax(x: Operand, axis: int = -1) -> Tensor:
    """eˣ / Σ eˣ along an axis: probabilities from logits."""
    x = as_tensor(x)
    node = consume(x)
    if node.dtype.kind != "f":
        node = ops.cast(node, DEFAULT)
    axes = (as_axis("softmax", axis, len(node.shape)),)
    largest = _largest_or_zero(node, axes)
    grown = ops.exp(ops.subtract(node, ops.restored(largest, axes, node.shape)))
    total = ops.sum(grown, axes)  # at least 1: its inverse is no worse than a division
    share = ops.restored(ops.divide(ops.full_like(total, 1), total), axes, node.shape)
    return wrap(ops.multiply(grown, share), mode.grad and x._requires_grad)


def log_softmax(x: Operand, axis: int = -1) -> Tensor:
    """`x` − ln Σ eˣ along an axis: the logarithms of `softmax`, exact for small ones."""
    x = as_tensor(x)
    node = consume(x)
    if node.dtype.kind != "f":
        node = ops.cast(node, DEFAULT)
    axes = (as_axis("log_softmax", axis, len(node.shape)),)
    largest = ops.restored(_largest_or_zero(node, axes), axes, node.shape)
    shifted = ops.subtract(node, largest)
    total = ops.log(ops.sum(ops.exp(shifted), axes))
    result = ops.subtract(shifted, ops.restored(total, axes, node.shape))
    return wrap(result, mode.grad and x._requires_grad)


def cumulative_sum(x: Operand, axis: int | None = None) -> Tensor:
    """The sums of the first 1, 2, ... elements along an axis (may be left out in one dimension).

    Computed by doubling: log₂ n additions of shifted copies.
    """
    x = as_tensor(x)
    node = _summed_type(consume(x), None)
    rank = len(node.shape)
    if axis is None:
        if rank != 1:
            raise ShapeError(f"cumulative_sum: name an axis of the shape {node.shape}")
        axis = 0
    at = as_axis("cumulative_sum", axis, rank)
    shift = 1
    while shift < node.shape[at]:
        low = tuple(shift if i == at else 0 for i in range(rank))
        longer = ops.pad(node, low, (0,) * rank)
        back = ops.slice(longer, (0,) * rank, node.shape, (1,) * rank)
        node = ops.add(node, back)
        shift *= 2
    return wrap(node, mode.grad and x._requires_grad and node.dtype.kind == "f")
