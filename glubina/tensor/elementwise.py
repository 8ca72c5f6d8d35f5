"""Arithmetic and functions of tensors, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from glubina.graph import ops
from glubina.graph.node import Node, Primitive, make
from glubina.graph.ops import elementwise as primitive
from glubina.tensor.base import TensorBase, consume, consume_value, wrap
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.mode import mode
from glubina.tensor.promotion import (
    DEFAULT,
    common,
    python_number,
    scalar_dtype,
    scalar_node,
)

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


# -- how operands meet --------------------------------------------------------------------------


def binary(op: Primitive, x: Operand, y: Operand) -> Tensor:
    """An operation with a derivative, of two operands of which one at least is a tensor."""
    if isinstance(x, TensorBase):
        a = consume(x)
        if isinstance(y, TensorBase):
            b = consume(y)
            if a.dtype is not b.dtype or a.shape != b.shape:
                a, b = common(op.name, a, b)
            tracked = mode.grad and (x._requires_grad or y._requires_grad)
            return wrap(make(op, (a, b)), tracked and a.dtype.kind == "f")
        number = python_number(y)
        if number is None:
            return binary(op, x, as_tensor(y))
        a, b = _with_number(op, a, number)
        return wrap(make(op, (a, b)), mode.grad and x._requires_grad)
    if isinstance(y, TensorBase):
        number = python_number(x)
        if number is None:
            return binary(op, as_tensor(x), y)
        b, a = _with_number(op, consume(y), number)
        return wrap(make(op, (a, b)), mode.grad and y._requires_grad)
    return binary(op, as_tensor(x), y)


def _with_number(op: Primitive, a: Node, number: float) -> tuple[Node, Node]:
    dtype = scalar_dtype(a.dtype, number)
    if dtype is not a.dtype:
        a = ops.cast(a, dtype)
    return a, scalar_node(number, dtype, a.shape)


def unary(op: Primitive, x: Operand) -> Tensor:
    """An operation with a derivative, of one tensor; integers become floating if it needs so."""
    if not isinstance(x, TensorBase):
        x = as_tensor(x)
    return wrap(make(op, (consume(x),)), mode.grad and x._requires_grad)


def _floating(op: Primitive, x: Operand) -> Tensor:
    if not isinstance(x, TensorBase):
        x = as_tensor(x)
    node = consume(x)
    if node.dtype.kind != "f":
        node = ops.cast(node, DEFAULT)
    return wrap(make(op, (node,)), mode.grad and x._requires_grad)


def pair(name: str, x: Operand, y: Operand) -> tuple[Node, Node]:
    """Two operands of an operation without a derivative, brought to one dtype and shape."""
    first, second = python_number(x), python_number(y)
    if first is not None and second is not None:
        return common(name, consume_value(as_tensor(x)), consume_value(as_tensor(y)))
    if second is not None:
        a = consume_value(as_tensor(x))
        dtype = scalar_dtype(a.dtype, second)
        return ops.cast(a, dtype), scalar_node(second, dtype, a.shape)
    if first is not None:
        b = consume_value(as_tensor(y))
        dtype = scalar_dtype(b.dtype, first)
        return scalar_node(first, dtype, b.shape), ops.cast(b, dtype)
    return common(name, consume_value(as_tensor(x)), consume_value(as_tensor(y)))


def value_binary(op: Primitive, x: Operand, y: Operand) -> Tensor:
    """An operation without a derivative, of two operands."""
    return wrap(make(op, pair(op.name, x, y)))


# -- arithmetic ---------------------------------------------------------------------------------


def add(x: Operand, y: Operand) -> Tensor:
    """`x` + y."""
    return binary(primitive.ADD, x, y)


def subtract(x: Operand, y: Operand) -> Tensor:
    """`x` − y."""
    return binary(primitive.SUBTRACT, x, y)


def multiply(x: Operand, y: Operand) -> Tensor:
    """`x` · y, element by element."""
    return binary(primitive.MULTIPLY, x, y)


def divide(x: Operand, y: Operand) -> Tensor:
    """`x` / y; integers are divided as floating numbers."""
    return binary(primitive.DIVIDE, _as_floating(x, y), y)


def _as_floating(x: Operand, y: Operand) -> Operand:
    """`x` itself, or as a floating tensor where neither operand would make the pair floating."""
    if isinstance(x, TensorBase):
        if x.dtype.kind == "f":
            return x
        other = y.dtype.kind == "f" if isinstance(y, TensorBase) else type(y) is float
        return x if other else x.astype(DEFAULT)
    if isinstance(y, TensorBase) and y.dtype.kind != "f":
        return as_tensor(x).astype(DEFAULT)
    return x


def floor_divide(x: Operand, y: Operand) -> Tensor:
    """⌊x / y⌋."""
    return value_binary(primitive.FLOOR_DIVIDE, x, y)


def remainder(x: Operand, y: Operand) -> Tensor:
    """`x` − y ⌊x / y⌋: the remainder with the sign of y."""
    return binary(primitive.REMAINDER, x, y)


def maximum(x: Operand, y: Operand) -> Tensor:
    """The larger of x and y; equal ones share the gradient."""
    return binary(primitive.MAXIMUM, x, y)


def minimum(x: Operand, y: Operand) -> Tensor:
    """The smaller of x and y; equal ones share the gradient."""
    return binary(primitive.MINIMUM, x, y)


def pow(x: Operand, y: Operand) -> Tensor:
    """`x` to the power y. Small whole exponents, ½ and −½ are multiplications and square roots."""
    exponent = python_number(y)
    if exponent is not None and isinstance(x, TensorBase):
        found = _power_by_number(x, exponent)
        if found is not None:
            return found
    return binary(primitive.POWER, x, y)


def _power_by_number(x: Tensor, exponent: float) -> Tensor | None:
    if x.dtype.kind == "f":
        if exponent == 0.5:
            return sqrt(x)
        if exponent == -0.5:
            return divide(1, sqrt(x))
        if exponent in (-1, -2):
            return divide(1, _repeated(x, -int(exponent)))
    if type(exponent) is float and x.dtype.kind != "f":
        return None
    return _repeated(x, int(exponent)) if exponent in (1, 2, 3, 4) else None


def _repeated(x: Tensor, times: int) -> Tensor:
    if times == 1:
        return multiply(x, 1)
    twice = multiply(x, x)
    return twice if times == 2 else multiply(twice, x if times == 3 else twice)


def square(x: Operand) -> Tensor:
    """x²."""
    return multiply(x, x)


def negative(x: Operand) -> Tensor:
    """−x."""
    return unary(primitive.NEGATIVE, x)


def positive(x: Operand) -> Tensor:
    """`x` itself."""
    return as_tensor(x)


# -- functions ----------------------------------------------------------------------------------


def exp(x: Operand) -> Tensor:
    """eˣ, the exponential of x."""
    return _floating(primitive.EXP, x)


def expm1(x: Operand) -> Tensor:
    """eˣ − 1; exact for small x."""
    return _floating(primitive.EXPM1, x)


def log(x: Operand) -> Tensor:
    """The natural logarithm of x."""
    return _floating(primitive.LOG, x)


def log1p(x: Operand) -> Tensor:
    """The logarithm ln(1 + x); exact for small x."""
    return _floating(primitive.LOG1P, x)


def log2(x: Operand) -> Tensor:
    """The logarithm of x to the base 2."""
    return multiply(log(x), 1.4426950408889634)


def log10(x: Operand) -> Tensor:
    """The logarithm of x to the base 10."""
    return multiply(log(x), 0.4342944819032518)


def sqrt(x: Operand) -> Tensor:
    """The square root of x."""
    return _floating(primitive.SQRT, x)


def rsqrt(x: Operand) -> Tensor:
    """1 / √x."""
    return divide(1, sqrt(x))


def reciprocal(x: Operand) -> Tensor:
    """1 / x."""
    return divide(1, x)


def sin(x: Operand) -> Tensor:
    """The sine of x (radians)."""
    return _floating(primitive.SIN, x)


def cos(x: Operand) -> Tensor:
    """The cosine of x (radians)."""
    return _floating(primitive.COS, x)


def tan(x: Operand) -> Tensor:
    """The tangent of x (radians)."""
    return divide(sin(x), cos(x))


def tanh(x: Operand) -> Tensor:
    """The hyperbolic tangent of x."""
    return _floating(primitive.TANH, x)


def sinh(x: Operand) -> Tensor:
    """The hyperbolic sine (eˣ − e⁻ˣ) / 2."""
    from glubina.tensor.comparison import less_equal, where

    near = less_equal(absolute(x), _FAR)
    grown = expm1(where(near, x, 0))
    small = multiply(add(grown, divide(grown, add(grown, 1))), 0.5)
    return where(near, small, multiply(_half_of_exp(x), sign(x)))


def cosh(x: Operand) -> Tensor:
    """The hyperbolic cosine (eˣ + e⁻ˣ) / 2."""
    from glubina.tensor.comparison import less_equal, where

    near = less_equal(absolute(x), _FAR)
    inner = where(near, x, 0)
    small = multiply(add(exp(inner), exp(negative(inner))), 0.5)
    return where(near, small, _half_of_exp(x))


def _half_of_exp(x: Operand) -> Tensor:
    """e^|x| / 2, in two steps: the first would overflow before the second makes up for it."""
    root = exp(multiply(absolute(x), 0.5))
    return multiply(multiply(root, 0.5), root)


_FAR = 20  # from here on the smaller of eˣ and e⁻ˣ is nothing beside the larger one


def erf(x: Operand) -> Tensor:
    """The error function 2/√π ∫₀ˣ e^(−t²) dt."""
    return _floating(primitive.ERF, x)


def sigmoid(x: Operand) -> Tensor:
    """1 / (1 + e⁻ˣ)."""
    return _floating(primitive.SIGMOID, x)


def relu(x: Operand) -> Tensor:
    """The rectifier max(0, x)."""
    return unary(primitive.RELU, x)


def absolute(x: Operand) -> Tensor:
    """|x|; its derivative at 0 is 0."""
    return unary(primitive.ABSOLUTE, x)


def sign(x: Operand) -> Tensor:
    """−1, 0 or 1."""
    return wrap(ops.sign(consume_value(as_tensor(x))))


def _rounding(op: Callable[[Node], Node], x: Operand) -> Tensor:
    node = consume_value(as_tensor(x))
    return wrap(op(node) if node.dtype.kind == "f" else node)


def floor(x: Operand) -> Tensor:
    """The largest whole number not above x."""
    return _rounding(ops.floor, x)


def ceil(x: Operand) -> Tensor:
    """The smallest whole number not below x."""
    return _rounding(ops.ceil, x)


def round(x: Operand) -> Tensor:
    """The nearest whole number; halves go to the even one."""
    return _rounding(ops.round, x)


def trunc(x: Operand) -> Tensor:
    """The whole number next to x towards zero."""
    node = consume_value(as_tensor(x))
    if node.dtype.kind != "f":
        return wrap(node)
    down = ops.floor(node)
    return wrap(ops.where(ops.less(node, ops.full_like(node, 0)), ops.ceil(node), down))


def logaddexp(x: Operand, y: Operand) -> Tensor:
    """The logarithm ln(eˣ + e^y), without overflow."""
    from glubina.tensor.comparison import equal, where

    apart = where(equal(x, y), 0, subtract(x, y))  # of two equal infinities there is no difference
    return add(maximum(x, y), log1p(exp(negative(absolute(apart)))))


def softplus(x: Operand) -> Tensor:
    """The logarithm ln(1 + eˣ), without overflow."""
    return add(maximum(x, 0.0), log1p(exp(negative(absolute(x)))))
