"""Smooth activation functions."""

from __future__ import annotations

import math

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.activation import Activation
from glubina.nn.architecture import register
from glubina.nn.checks import axis_of, floating
from glubina.nn.formula import apply, number, scaled
from glubina.nn.module import Module
from glubina.tensor import Tensor
from glubina.tensor.arguments import real


def softplus_of(x: Node) -> Node:
    """ln(1 + e^x) = max(x, 0) + ln(1 + e^−|x|), by comparing, so that the derivative is σ(x)."""
    below = ops.less(x, number(x, 0))
    distance = ops.where(below, ops.negative(x), x)
    tail = ops.log1p(ops.exp(ops.negative(distance)))
    return ops.add(ops.where(below, number(x, 0), x), tail)


def part_of(weight: Node, loss: Node) -> Node:
    """weight · loss; a weight of 0 of an infinite loss is 0, and so are its derivatives."""
    endless = ops.equal(loss, number(loss, math.inf))
    none = ops.logical_and(endless, ops.equal(weight, number(weight, 0)))
    return ops.multiply(weight, ops.where(none, number(loss, 0), loss))


@Formula
def _softplus(beta: float, threshold: float, x: Node) -> Node:
    steep = scaled(x, beta) if beta != 1 else x
    curve = softplus_of(steep)
    curve = scaled(curve, 1 / beta) if beta != 1 else curve
    return ops.where(ops.less(number(x, threshold), steep), x, curve)


@Formula
def _log_sigmoid(x: Node) -> Node:
    return ops.negative(softplus_of(ops.negative(x)))


@Formula
def _softsign(x: Node) -> Node:
    return ops.divide(x, ops.add(ops.absolute(x), number(x, 1)))


@Formula
def _mish(x: Node) -> Node:
    return ops.multiply(x, ops.tanh(softplus_of(x)))


@Formula
def _silu(x: Node) -> Node:
    return ops.multiply(x, ops.sigmoid(x))


@Formula
def _gelu(x: Node) -> Node:
    return ops.multiply(scaled(x, 0.5), ops.add(ops.erf(scaled(x, math.sqrt(0.5))), number(x, 1)))


@Formula
def _gelu_tanh(x: Node) -> Node:
    """x σ(2 z) = x (1 + tanh z) / 2, z = √(2/π) (x + 0.044715 x³)."""
    cubic = ops.add(scaled(ops.multiply(x, x), 0.044715), number(x, 1))
    double = scaled(ops.multiply(x, cubic), 2 * math.sqrt(2 / math.pi))
    return ops.multiply(x, ops.sigmoid(double))


@Formula
def _tanhshrink(x: Node) -> Node:
    return ops.subtract(x, ops.tanh(x))


@Formula
def _glu(axis: int, x: Node) -> Node:
    half = x.shape[axis] // 2
    shape = (*x.shape[:axis], half, *x.shape[axis + 1 :])
    ones, start = (1,) * len(shape), [0] * len(shape)
    first = ops.slice(x, tuple(start), shape, ones)
    start[axis] = half
    second = ops.slice(x, tuple(start), shape, ones)
    return ops.multiply(first, ops.sigmoid(second))


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(βx)) / β; where βx > threshold x itself."""
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta!r}")
    return apply(
        _softplus, floating(x), settings=(real("beta", beta), real("threshold", threshold))
    )


def logsigmoid(x: Tensor) -> Tensor:
    """ln σ(x) = −ln(1 + e^−x), without overflow."""
    return apply(_log_sigmoid, floating(x))


def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return apply(_softsign, floating(x))


def mish(x: Tensor) -> Tensor:
    """x · tanh(ln(1 + e^x))."""
    return apply(_mish, floating(x))


def silu(x: Tensor) -> Tensor:
    """x · σ(x), also named swish."""
    return apply(_silu, floating(x))


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ the normal distribution: x/2 · (1 + erf(x/√2)).

    approximate="tanh": x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is 'none' or 'tanh', got {approximate!r}")
    return apply(_gelu if approximate == "none" else _gelu_tanh, floating(x))


def tanhshrink(x: Tensor) -> Tensor:
    """x − tanh x."""
    return apply(_tanhshrink, floating(x))


def glu(x: Tensor, axis: int = -1) -> Tensor:
    """a · σ(b), where a and b are the halves of x along an axis."""
    place = axis_of("glu", floating(x), axis)
    if x.shape[place] % 2:
        raise ShapeError(f"glu: axis {axis} of shape {x.shape} cannot be halved: it is odd")
    return apply(_glu, x, settings=(place,))


@register
class Softplus(Activation):
    """ln(1 + e^(βx)) / β, a smooth ReLU; above threshold / β it is x itself."""

    formula = r"\ln(1 + e^{\beta x}) / \beta"
    derivative = r"\sigma(\beta x)"

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        if not beta > 0:
            raise ValueError(f"beta must be positive, got {beta!r}")
        self.beta, self.threshold = real("beta", beta), real("threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return softplus(x, self.beta, self.threshold)


@register
class LogSigmoid(Activation):
    """ln σ(x)."""

    formula = r"\ln \sigma(x)"
    derivative = r"\sigma(-x)"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return logsigmoid(x)


@register
class Softsign(Activation):
    """x / (1 + |x|): like tanh, but it nears ±1 slowly (Bergstra et al., 2009)."""

    formula = r"x / (1 + |x|)"
    derivative = r"1 / (1 + |x|)^2"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return softsign(x)


@register
class Mish(Activation):
    """x · tanh(softplus(x)) (Misra, 2019, arXiv:1908.08681)."""

    formula = r"x \tanh(\ln(1 + e^x))"
    derivative = r"\tanh s + x \sigma(x) (1 - \tanh^2 s), \; s = \ln(1 + e^x)"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return mish(x)


@register
class SiLU(Activation):
    """x · σ(x) (Elfwing et al., 2017, arXiv:1702.03118)."""

    formula = r"x \sigma(x)"
    derivative = r"\sigma(x) (1 + x (1 - \sigma(x)))"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return silu(x)


@register
class GELU(Activation):
    """x Φ(x), Φ the normal distribution (Hendrycks and Gimpel, 2016, arXiv:1606.08415).

    approximate: "none", or "tanh" for the approximation that GPT-2 uses.
    """

    formula = r"x \Phi(x)"
    derivative = r"\Phi(x) + x \varphi(x)"

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate is 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return gelu(x, self.approximate)


@register
class Tanhshrink(Activation):
    """x − tanh x."""

    formula = r"x - \tanh x"
    derivative = r"\tanh^2 x"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return tanhshrink(x)


@register
class GLU(Module):
    """a · σ(b), where a and b are the halves of x along an axis.

    Source: Dauphin et al., 2017, arXiv:1612.08083.
    """

    formula = r"a \, \sigma(b)"
    derivative = r"\sigma(b) \text{ by } a, \; a \sigma(b) (1 - \sigma(b)) \text{ by } b"

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Half as long along the axis."""
        return glu(x, self.axis)

    def extra_repr(self) -> str:
        """The axis."""
        return f"axis={self.axis}"
