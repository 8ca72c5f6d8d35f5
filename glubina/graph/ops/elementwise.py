"""Element-wise operations: one number of each source gives one number of the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Array, DType, Node, Primitive, Typed, make
from glubina.graph.ops.movement import broadcast
from glubina.graph.ops.source import constant

Derivative = Callable[[Node, Node], Sequence[Node | None]]
Unary = Callable[[Node], Node]
Binary = Callable[[Node, Node], Node]
BOOL = np.dtype(np.bool_)


def full_like(node: Node, value: float) -> Node:
    """The constant in the shape and dtype of a node."""
    return broadcast(constant(value, node.dtype), node.shape)


def _same(name: str, sources: tuple[Node, ...]) -> None:
    first = sources[0]
    for other in sources[1:]:
        if other.shape != first.shape:
            raise ShapeError(f"{name}: shapes {first.shape} and {other.shape} differ")
        if other.dtype != first.dtype:
            raise DTypeError(f"{name}: dtypes {first.dtype} and {other.dtype} differ")


def _check_kind(name: str, node: Node, kinds: str) -> None:
    if node.dtype.kind not in kinds:
        names = {"f": "floating", "i": "integer", "u": "unsigned", "b": "boolean"}
        wanted = " or ".join(names[k] for k in kinds)
        raise DTypeError(f"{name}: needs {wanted} numbers, got {node.dtype}")


def _declare(
    name: str,
    formula: str,
    numpy: Callable[..., Any],
    derivative: Derivative | None,
    kinds: str = "fiu",
    result: DType | None = None,
    cost: int = 1,
) -> Primitive:
    def infer(sources: tuple[Node, ...], attributes: Any) -> Typed:
        _same(name, sources)
        _check_kind(name, sources[0], kinds)
        return sources[0].shape, result or sources[0].dtype

    def value(attributes: Any, *arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(numpy(*arrays), dtype=result or arrays[0].dtype)

    def none(node: Node, gradient: Node) -> Sequence[Node | None]:
        return (None,) * len(node.sources)

    return Primitive(name, "elementwise", formula, infer, value, derivative or none, cost)


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, small, x.dtype.type(1)) / (1 + small))


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype) if x.size else x.copy()


def _unary(x: Node) -> Node:
    return x.sources[0]


NEGATIVE = _declare("negative", "-x", np.negative, lambda y, g: (negative(g),))
EXP = _declare("exp", r"e^{x}", np.exp, lambda y, g: (multiply(g, y),), "f", cost=12)
LOG = _declare("log", r"\ln x", np.log, lambda y, g: (divide(g, _unary(y)),), "f", cost=15)
LOG1P = _declare(
    "log1p",
    r"\ln(1 + x)",
    np.log1p,
    lambda y, g: (divide(g, add(_unary(y), full_like(g, 1))),),
    "f",
    cost=18,
)
EXPM1 = _declare(
    "expm1",
    r"e^{x} - 1",
    np.expm1,
    lambda y, g: (multiply(g, add(y, full_like(g, 1))),),
    "f",
    cost=15,
)
SIN = _declare("sin", r"\sin x", np.sin, lambda y, g: (multiply(g, cos(_unary(y))),), "f", cost=20)
COS = _declare(
    "cos", r"\cos x", np.cos, lambda y, g: (negative(multiply(g, sin(_unary(y)))),), "f", cost=20
)
TANH = _declare(
    "tanh",
    r"\tanh x",
    np.tanh,
    lambda y, g: (multiply(g, subtract(full_like(y, 1), multiply(y, y))),),
    "f",
    cost=15,
)
SQRT = _declare(
    "sqrt",
    r"\sqrt{x}",
    np.sqrt,
    lambda y, g: (divide(multiply(g, full_like(y, 0.5)), y),),
    "f",
    cost=8,
)
ERF = _declare(
    "erf",
    r"\mathrm{erf}(x)",
    _erf,
    lambda y, g: (
        multiply(
            g,
            multiply(
                full_like(y, 2 / np.sqrt(np.pi)), exp(negative(multiply(_unary(y), _unary(y))))
            ),
        ),
    ),
    "f",
    cost=20,
)
SIGMOID = _declare(
    "sigmoid",
    r"\frac{1}{1 + e^{-x}}",
    _sigmoid,
    lambda y, g: (multiply(g, multiply(y, subtract(full_like(y, 1), y))),),
    "f",
    cost=15,
)
RELU = _declare(
    "relu",
    r"\max(0, x)",
    lambda x: np.maximum(x, x.dtype.type(0)),
    lambda y, g: (where(less(full_like(y, 0), y), g, full_like(g, 0)),),
)
ABSOLUTE = _declare(
    "absolute", "|x|", np.absolute, lambda y, g: (multiply(g, sign(_unary(y))),), "fiu"
)
SIGN = _declare("sign", r"\mathrm{sgn}\,x", np.sign, None)
FLOOR = _declare("floor", r"\lfloor x \rfloor", np.floor, None, "f")
CEIL = _declare("ceil", r"\lceil x \rceil", np.ceil, None, "f")
ROUND = _declare("round", r"\mathrm{round}(x)", np.rint, None, "f")
LOGICAL_NOT = _declare("logical_not", r"\neg x", np.logical_not, None, "b")
BITWISE_NOT = _declare("bitwise_not", r"\sim x", np.invert, None, "iu")
ISNAN = _declare("isnan", r"x \ne x", np.isnan, None, "f", BOOL)

ADD = _declare("add", "x + y", np.add, lambda z, g: (g, g))
SUBTRACT = _declare("subtract", "x - y", np.subtract, lambda z, g: (g, negative(g)))
MULTIPLY = _declare(
    "multiply",
    r"x \cdot y",
    np.multiply,
    lambda z, g: (multiply(g, z.sources[1]), multiply(g, z.sources[0])),
)
DIVIDE = _declare(
    "divide",
    r"\frac{x}{y}",
    np.divide,
    lambda z, g: (
        divide(g, z.sources[1]),
        negative(divide(multiply(g, z), z.sources[1])),
    ),
    "f",
    cost=5,
)


def _power_derivative(z: Node, g: Node) -> Sequence[Node | None]:
    x, y = z.sources
    if z.dtype.kind != "f":
        return (None, None)
    zero, one = full_like(x, 0), full_like(x, 1)
    # Only at 0^0 would y x^(y-1) be 0 / 0. The base is replaced rather than the result, so that
    # the derivatives of this derivative are finite there too.
    flat = logical_and(equal(y, zero), equal(x, zero))
    slope = multiply(y, power(where(flat, one, x), subtract(y, one)))
    growth = where(less(zero, x), multiply(z, log(where(less(zero, x), x, one))), zero)
    return multiply(g, slope), multiply(g, growth)


POWER = _declare("power", r"x^{y}", np.power, _power_derivative, cost=40)


def _choose_derivative(pick: Callable[[Node, Node], Node]) -> Derivative:
    def derivative(z: Node, g: Node) -> Sequence[Node | None]:
        x, y = z.sources
        half = multiply(g, full_like(g, 0.5))
        zero = full_like(g, 0)
        tie = equal(x, y)
        return (
            where(tie, half, where(pick(x, y), g, zero)),
            where(tie, half, where(pick(y, x), g, zero)),
        )

    return derivative


MAXIMUM = _declare(
    "maximum", r"\max(x, y)", np.maximum, _choose_derivative(lambda a, b: less(b, a))
)
MINIMUM = _declare(
    "minimum", r"\min(x, y)", np.minimum, _choose_derivative(lambda a, b: less(a, b))
)
REMAINDER = _declare(
    "remainder",
    r"x - y \lfloor x / y \rfloor",
    np.remainder,
    lambda z, g: (g, negative(multiply(g, floor(divide(z.sources[0], z.sources[1]))))),
    cost=10,
)
FLOOR_DIVIDE = _declare("floor_divide", r"\lfloor x / y \rfloor", np.floor_divide, None, cost=10)
LESS = _declare("less", "x < y", np.less, None, "fiub", BOOL)
LESS_EQUAL = _declare("less_equal", r"x \le y", np.less_equal, None, "fiub", BOOL)
EQUAL = _declare("equal", "x = y", np.equal, None, "fiub", BOOL)
NOT_EQUAL = _declare("not_equal", r"x \ne y", np.not_equal, None, "fiub", BOOL)
LOGICAL_AND = _declare("logical_and", r"x \wedge y", np.logical_and, None, "b")
LOGICAL_OR = _declare("logical_or", r"x \vee y", np.logical_or, None, "b")
LOGICAL_XOR = _declare("logical_xor", r"x \oplus y", np.logical_xor, None, "b")
BITWISE_AND = _declare("bitwise_and", r"x \mathbin{\&} y", np.bitwise_and, None, "iu")
BITWISE_OR = _declare("bitwise_or", r"x \mathbin{|} y", np.bitwise_or, None, "iu")
BITWISE_XOR = _declare("bitwise_xor", r"x \oplus y", np.bitwise_xor, None, "iu")
SHIFT_LEFT = _declare("shift_left", r"x \ll y", np.left_shift, None, "iu")
SHIFT_RIGHT = _declare("shift_right", r"x \gg y", np.right_shift, None, "iu")


def _where_infer(sources: tuple[Node, ...], attributes: Any) -> Typed:
    condition, x, y = sources
    _check_kind("where's condition", condition, "b")
    _same("where", (x, y))
    if condition.shape != x.shape:
        raise ShapeError(f"where: shapes {condition.shape} and {x.shape} differ")
    return x.shape, x.dtype


def _where_value(attributes: Any, condition: Array, x: Array, y: Array) -> Array:
    return np.asarray(np.where(condition, x, y))


def _where_derivative(z: Node, g: Node) -> Sequence[Node | None]:
    zero = full_like(g, 0)
    return None, where(z.sources[0], g, zero), where(z.sources[0], zero, g)


WHERE = Primitive(
    "where",
    "elementwise",
    r"c \mathbin{?} x : y",
    _where_infer,
    _where_value,
    _where_derivative,
)


class CastAttributes(NamedTuple):
    """The dtype that a cast gives."""

    dtype: str


def _cast_infer(sources: tuple[Node, ...], a: CastAttributes) -> Typed:
    dtype = np.dtype(a.dtype)
    if dtype.kind not in "fiub":
        raise DTypeError(f"cast: {dtype} is neither floating nor integer nor boolean")
    return sources[0].shape, dtype


def _cast_value(a: CastAttributes, x: Array) -> Array:
    dtype = np.dtype(a.dtype)
    with np.errstate(all="ignore"):
        return (
            _saturated(x, dtype) if x.dtype.kind == "f" and dtype.kind in "iu" else x.astype(dtype)
        )


def _saturated(x: Array, dtype: DType) -> Array:
    """Toward zero, and to the nearest integer that there is; NumPy leaves it to the machine."""
    limits = np.iinfo(dtype)
    whole = np.trunc(x)
    # the largest integer may not be a floating number: then the next one above stands for it
    above, below = whole >= x.dtype.type(limits.max), whole <= x.dtype.type(limits.min)
    inside = np.where(above | below | np.isnan(x), 0, whole).astype(dtype)
    return np.where(above, limits.max, np.where(below, limits.min, inside)).astype(dtype)


def _cast_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    x = y.sources[0]
    return (cast(g, x.dtype) if x.dtype.kind == "f" and y.dtype.kind == "f" else None,)


CAST = Primitive(
    "cast",
    "elementwise",
    r"\mathrm{dtype}(x)",
    _cast_infer,
    _cast_value,
    _cast_derivative,
)


def cast(x: Node, dtype: DType) -> Node:
    """The same numbers in another dtype.

    From floating to integer toward zero; what lies beyond the integers becomes the nearest of
    them, and NaN zero. From integer to integer the low bits are kept.
    """
    return x if x.dtype == dtype else make(CAST, (x,), CastAttributes(dtype.name))


def where(condition: Node, x: Node, y: Node) -> Node:
    """`x` where the condition holds, else `y`."""
    return make(WHERE, (condition, x, y))


def _one(op: Primitive) -> Unary:
    def apply(x: Node) -> Node:
        return make(op, (x,))

    apply.__doc__ = f"`{op.formula}`, element by element."
    return apply


def _two(op: Primitive) -> Binary:
    def apply(x: Node, y: Node) -> Node:
        return make(op, (x, y))

    apply.__doc__ = f"`{op.formula}`, element by element; equal shapes and dtypes."
    return apply


negative: Unary = _one(NEGATIVE)
exp: Unary = _one(EXP)
log: Unary = _one(LOG)
log1p: Unary = _one(LOG1P)
expm1: Unary = _one(EXPM1)
sin: Unary = _one(SIN)
cos: Unary = _one(COS)
tanh: Unary = _one(TANH)
sqrt: Unary = _one(SQRT)
erf: Unary = _one(ERF)
sigmoid: Unary = _one(SIGMOID)
relu: Unary = _one(RELU)
absolute: Unary = _one(ABSOLUTE)
sign: Unary = _one(SIGN)
floor: Unary = _one(FLOOR)
ceil: Unary = _one(CEIL)
round: Unary = _one(ROUND)
isnan: Unary = _one(ISNAN)
logical_not: Unary = _one(LOGICAL_NOT)
bitwise_not: Unary = _one(BITWISE_NOT)
add: Binary = _two(ADD)
subtract: Binary = _two(SUBTRACT)
multiply: Binary = _two(MULTIPLY)
divide: Binary = _two(DIVIDE)
power: Binary = _two(POWER)
maximum: Binary = _two(MAXIMUM)
minimum: Binary = _two(MINIMUM)
remainder: Binary = _two(REMAINDER)
floor_divide: Binary = _two(FLOOR_DIVIDE)
less: Binary = _two(LESS)
less_equal: Binary = _two(LESS_EQUAL)
equal: Binary = _two(EQUAL)
not_equal: Binary = _two(NOT_EQUAL)
logical_and: Binary = _two(LOGICAL_AND)
logical_or: Binary = _two(LOGICAL_OR)
logical_xor: Binary = _two(LOGICAL_XOR)
bitwise_and: Binary = _two(BITWISE_AND)
bitwise_or: Binary = _two(BITWISE_OR)
bitwise_xor: Binary = _two(BITWISE_XOR)
shift_left: Binary = _two(SHIFT_LEFT)
shift_right: Binary = _two(SHIFT_RIGHT)
