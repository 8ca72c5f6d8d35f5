"""Inverses of the trigonometric and hyperbolic functions and of erf, with exact derivatives.

They are made of the primitives: a polynomial or a logarithm for the value, and the formula of the
derivative for `backward`, which has derivatives itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glubina.tensor import elementwise
from glubina.tensor.comparison import less, logical_and, where
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.function import Function
from glubina.tensor.promotion import DEFAULT

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor

# of tensors, whose operators with numbers on the left are made later
absolute: Any = elementwise.absolute
erf: Any = elementwise.erf
exp: Any = elementwise.exp
log: Any = elementwise.log
log1p: Any = elementwise.log1p
sign: Any = elementwise.sign
sqrt: Any = elementwise.sqrt

# Cephes' atan for |x| <= 0.66: x + x z P(z) / Q(z), z = x²
_P = (-0.8750608600031904, -16.157537187333652, -75.00855792314705, -122.88666844901361,
      -64.85021904942025)  # fmt: skip
_Q = (1.0, 24.858464901423062, 165.02700983169885, 432.88106049129027, 485.3903996359137,
      194.5506571482614)  # fmt: skip
_TAN_3PI_8 = 2.414213562373095

# Giles, 2010, "Approximating the erfinv function": polynomials in w = −ln(1 − x²), near 0 and far
_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
         -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
        -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def _polynomial(factors: Sequence[float], x: Any) -> Any:
    """Horner's rule, the highest power first."""
    total: Any = factors[0]
    for factor in factors[1:]:
        total = total * x + factor
    return total


def _atan(x: Any) -> Any:
    size = absolute(x)
    far, middle = less(_TAN_3PI_8, size), less(0.66, size)
    turned = where(far, -1.0 / where(far, size, 1.0), (size - 1.0) / (size + 1.0))
    small = where(middle, turned, size)
    start = where(far, math.pi / 2, where(middle, math.pi / 4, small * 0.0))
    z = small * small
    bent = small + small * (z * (_polynomial(_P, z) / _polynomial(_Q, z)))
    return where(less(x, 0.0), -(start + bent), start + bent)


def _asin(x: Any) -> Any:
    inside = sqrt((1.0 - x) * (1.0 + x))
    edge = less(1.0 - absolute(x), 1e-300)
    angle = _atan(x / where(edge, 1.0, inside))
    outside = less(1.0, absolute(x))
    return where(outside, math.nan, where(edge, sign(x) * (math.pi / 2), angle))


def _acos(x: Any) -> Any:
    low = less(x, -0.5)
    # 2 atan(√((1 − x) / (1 + x))), and π less that of −x, so that nothing is divided by 0
    y = where(low, -x, x)
    angle = 2.0 * _atan(sqrt((1.0 - y) / (1.0 + y)))
    return where(low, math.pi - angle, angle)


def _asinh(x: Any) -> Any:
    size = absolute(x)
    large = less(1e8, size)
    held = where(large, 1.0, size)
    near = log1p(held + held * held / (1.0 + sqrt(held * held + 1.0)))
    return sign(x) * where(large, log(where(large, size, 1.0)) + math.log(2), near)


def _acosh(x: Any) -> Any:
    large = less(1e8, x)
    held = where(large, 1.0, x) - 1.0
    near = log1p(held + sqrt(held * (held + 2.0)))
    return where(large, log(where(large, x, 1.0)) + math.log(2), near)


def _atanh(x: Any) -> Any:
    size = absolute(x)
    return sign(x) * (0.5 * log1p(2.0 * size / (1.0 - size)))


def _erfinv(x: Any) -> Any:
    inside = logical_and(less(-1.0, x), less(x, 1.0))
    held = where(inside, x, 0.0)
    w = -log((1.0 - held) * (1.0 + held))
    near, far = _polynomial(_NEAR, w - 2.5), _polynomial(_FAR, sqrt(w) - 3.0)
    z = where(less(w, 5.0), near, far) * held
    for _ in range(2):  # Newton's steps
        z = z - (erf(z) - held) / (2 / math.sqrt(math.pi) * exp(-(z * z)))
    edge = where(less(1.0, absolute(x)), math.nan, sign(x) * math.inf)
    return where(inside, z, edge)


def _made(
    name: str,
    value: Callable[[Any], Any],
    slope: Callable[[Any, Any], Any],
    text: str,
) -> Callable[[Operand], Tensor]:
    """A function of tensors from its value and its derivative (of the argument and the value)."""

    def forward(ctx: Any, x: Any) -> Any:
        result = value(x)
        ctx.save_for_backward(x, result)
        return result

    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient * slope(*ctx.saved_tensors)

    kind: Any = type(
        name, (Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    )

    def function(x: Operand) -> Tensor:
        given = as_tensor(x)
        if given.dtype.kind != "f":
            given = given.astype(DEFAULT)
        with np.errstate(all="ignore"):
            result: Tensor = kind.apply(given)
        return result

    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


atan = _made("atan", _atan, lambda x, y: 1.0 / (1.0 + x * x), "The angle whose tangent is x.")
asin = _made(
    "asin",
    _asin,
    lambda x, y: 1.0 / sqrt((1.0 - x) * (1.0 + x)),
    "The angle whose sine is x, from -π/2 to π/2.",
)
acos = _made(
    "acos",
    _acos,
    lambda x, y: -1.0 / sqrt((1.0 - x) * (1.0 + x)),
    "The angle whose cosine is x, from 0 to π.",
)
asinh = _made("asinh", _asinh, lambda x, y: 1.0 / sqrt(x * x + 1.0), "The number whose sinh is x.")
acosh = _made(
    "acosh",
    _acosh,
    lambda x, y: 1.0 / sqrt((x - 1.0) * (x + 1.0)),
    "The number of at least 0 whose cosh is x.",
)
atanh = _made(
    "atanh", _atanh, lambda x, y: 1.0 / ((1.0 - x) * (1.0 + x)), "The number whose tanh is x."
)
erfinv = _made(
    "erfinv",
    _erfinv,
    lambda x, y: (math.sqrt(math.pi) / 2) * exp(y * y),
    "The number whose erf is x (Giles, 2010, with two steps of Newton's).",
)


def atan2(y: Operand, x: Operand) -> Tensor:
    """The angle of the point (x, y), from −π to π; 0 for the origin."""
    high, wide = as_tensor(y), as_tensor(x)
    dtype = next((t.dtype for t in (high, wide) if t.dtype.kind == "f"), DEFAULT)
    high, wide = (t if t.dtype.kind == "f" else t.astype(dtype) for t in (high, wide))
    steep = less(absolute(wide), absolute(high))
    bottom = where(steep, high, wide)
    ratio = where(steep, wide, high) / where(bottom == 0, 1.0, bottom)
    angle = atan(ratio)
    below = less(high, 0.0)
    flat = where(less(wide, 0.0), where(below, angle - math.pi, angle + math.pi), angle)
    return where(steep, where(below, -(math.pi / 2) - angle, math.pi / 2 - angle), flat)
