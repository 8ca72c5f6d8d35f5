"""Comparisons, logic, and choosing between tensors, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glubina.graph import ops
from glubina.graph.errors import DTypeError
from glubina.graph.node import DType, Node, Primitive, make
from glubina.graph.ops import elementwise as primitive
from glubina.graph.ops.movement import broadcast
from glubina.tensor.base import consume, consume_value, wrap
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.elementwise import pair, value_binary
from glubina.tensor.mode import mode
from glubina.tensor.promotion import (
    bool_,
    broadcast_shapes,
    common,
    python_number,
    result_type,
    scalar_dtype,
    scalar_node,
)

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


# -- comparisons and logic ----------------------------------------------------------------------


def equal(x: Operand, y: Operand) -> Tensor:
    """Where x equals y (boolean)."""
    return value_binary(primitive.EQUAL, x, y)


def not_equal(x: Operand, y: Operand) -> Tensor:
    """Where x differs from y (boolean)."""
    return value_binary(primitive.NOT_EQUAL, x, y)


def less(x: Operand, y: Operand) -> Tensor:
    """Where x is below y (boolean)."""
    return value_binary(primitive.LESS, x, y)


def less_equal(x: Operand, y: Operand) -> Tensor:
    """Where x is at most y (boolean)."""
    return value_binary(primitive.LESS_EQUAL, x, y)


def greater(x: Operand, y: Operand) -> Tensor:
    """Where x is above y (boolean)."""
    return value_binary(primitive.LESS, y, x)


def greater_equal(x: Operand, y: Operand) -> Tensor:
    """Where x is at least y (boolean)."""
    return value_binary(primitive.LESS_EQUAL, y, x)


def isnan(x: Operand) -> Tensor:
    """Where x is not a number (boolean)."""
    node = consume_value(as_tensor(x))
    if node.dtype.kind != "f":
        return wrap(broadcast(ops.constant(False, bool_), node.shape))
    return wrap(ops.isnan(node))


def isinf(x: Operand) -> Tensor:
    """Where x is infinite (boolean)."""
    node = consume_value(as_tensor(x))
    if node.dtype.kind != "f":
        return wrap(broadcast(ops.constant(False, bool_), node.shape))
    return wrap(ops.equal(ops.absolute(node), ops.full_like(node, float("inf"))))


def isfinite(x: Operand) -> Tensor:
    """Where x is a number and not infinite (boolean)."""
    node = consume_value(as_tensor(x))
    if node.dtype.kind != "f":
        return wrap(broadcast(ops.constant(True, bool_), node.shape))
    return wrap(ops.less(ops.absolute(node), ops.full_like(node, float("inf"))))


def _truth(x: Operand) -> Node:
    node = consume_value(as_tensor(x))
    return node if node.dtype == bool_ else ops.not_equal(node, ops.full_like(node, 0))


def logical_not(x: Operand) -> Tensor:
    """Where x is false or zero."""
    return wrap(ops.logical_not(_truth(x)))


def _logical(op: Primitive, x: Operand, y: Operand) -> Tensor:
    return wrap(make(op, common(op.name, _truth(x), _truth(y))))


def logical_and(x: Operand, y: Operand) -> Tensor:
    """Where both hold."""
    return _logical(primitive.LOGICAL_AND, x, y)


def logical_or(x: Operand, y: Operand) -> Tensor:
    """Where at least one holds."""
    return _logical(primitive.LOGICAL_OR, x, y)


def logical_xor(x: Operand, y: Operand) -> Tensor:
    """Where exactly one holds."""
    return _logical(primitive.LOGICAL_XOR, x, y)


def _bitwise(integer: Primitive, boolean: Primitive, x: Operand, y: Operand) -> Tensor:
    a, b = pair(integer.name, x, y)
    if a.dtype.kind == "f":
        raise DTypeError(f"{integer.name}: needs integers or booleans, got {a.dtype}")
    return wrap(make(boolean if a.dtype == bool_ else integer, (a, b)))


def bitwise_and(x: Operand, y: Operand) -> Tensor:
    """Bit by bit, or of booleans: both."""
    return _bitwise(primitive.BITWISE_AND, primitive.LOGICAL_AND, x, y)


def bitwise_or(x: Operand, y: Operand) -> Tensor:
    """Bit by bit, or of booleans: at least one."""
    return _bitwise(primitive.BITWISE_OR, primitive.LOGICAL_OR, x, y)


def bitwise_xor(x: Operand, y: Operand) -> Tensor:
    """Bit by bit, or of booleans: exactly one."""
    return _bitwise(primitive.BITWISE_XOR, primitive.LOGICAL_XOR, x, y)


def bitwise_invert(x: Operand) -> Tensor:
    """Every bit turned over, or of booleans: not."""
    node = consume_value(as_tensor(x))
    return wrap(ops.logical_not(node) if node.dtype == bool_ else ops.bitwise_not(node))


def bitwise_left_shift(x: Operand, y: Operand) -> Tensor:
    """`x` · 2^y for integers."""
    return value_binary(primitive.SHIFT_LEFT, x, y)


def bitwise_right_shift(x: Operand, y: Operand) -> Tensor:
    """⌊x / 2^y⌋ for integers."""
    return value_binary(primitive.SHIFT_RIGHT, x, y)


# -- choice -------------------------------------------------------------------------------------


def where(condition: Operand, x: Operand, y: Operand) -> Tensor:
    """`x` where the condition holds, else y; all three broadcast."""
    chosen = as_tensor(condition)
    if chosen.dtype != bool_:
        raise DTypeError(f"where: the condition must be boolean, got {chosen.dtype}")
    numbers = python_number(x), python_number(y)
    tensors = [as_tensor(v) for v, n in zip((x, y), numbers, strict=True) if n is None]
    if tensors:
        dtype = result_type(*(t.dtype for t in tensors))
        for number in numbers:
            dtype = dtype if number is None else scalar_dtype(dtype, number)
    else:
        dtype = _number_dtype(numbers)
    nodes = [
        consume(as_tensor(v)) if n is None else scalar_node(n, dtype, ())
        for v, n in zip((x, y), numbers, strict=True)
    ]
    shape = broadcast_shapes("where", chosen.shape, *(n.shape for n in nodes))
    a, b = (broadcast(ops.cast(n, dtype), shape) for n in nodes)
    tracked = mode.grad and any(t._requires_grad for t in tensors)
    return wrap(ops.where(broadcast(consume_value(chosen), shape), a, b), tracked)


def _number_dtype(numbers: Any) -> DType:
    return result_type(*(as_tensor(n).dtype for n in numbers))


def clip(x: Operand, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """`x`, but at least `min` and at most `max` (either may be None).

    At a bound the derivative by `x` is 1, as in PyTorch.
    """
    result = as_tensor(x)
    if min is not None:
        result = where(less(result, min), min, result)
    if max is not None:
        result = where(greater(result, max), max, result)
    return result
