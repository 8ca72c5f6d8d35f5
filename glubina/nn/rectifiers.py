"""Activation functions made of straight pieces and of exponentials below zero."""

from __future__ import annotations

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.activation import Activation
from glubina.nn.architecture import register
from glubina.nn.checks import channels_last, floating, positive, same_dtype
from glubina.nn.formula import apply, number, scaled
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter, filled
from glubina.tensor import Tensor
from glubina.tensor.arguments import real

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def _above(x: Node, bound: float) -> Node:
    return ops.less(number(x, bound), x)


def _below(x: Node, bound: float) -> Node:
    return ops.less(x, number(x, bound))


@Formula
def _leaky_relu(slope: float, x: Node) -> Node:
    return ops.where(_above(x, 0), x, scaled(x, slope))


@Formula
def _prelu(x: Node, slope: Node) -> Node:
    spread = ops.broadcast(slope, x.shape)
    return ops.where(_above(x, 0), x, ops.multiply(spread, x))


@Formula
def _elu(alpha: float, scale: float, stretch: float, x: Node) -> Node:
    """λ x above 0, λ α (e^(x / stretch) − 1) below; no overflow where it is not used."""
    down = ops.where(_above(x, 0), number(x, 0), x)
    down = scaled(down, 1 / stretch) if stretch != 1 else down
    return ops.where(_above(x, 0), scaled(x, scale), scaled(ops.expm1(down), scale * alpha))


@Formula
def _clipped(low: float, high: float, x: Node) -> Node:
    """The derivative is 1 strictly between the bounds and 0 elsewhere, also in NaN's company."""
    inner = ops.where(_below(x, high), x, number(x, high))
    inner = ops.where(_above(x, low), inner, number(x, low))
    return ops.where(ops.isnan(x), x, inner)


@Formula
def _hardsigmoid(x: Node) -> Node:
    line = ops.add(scaled(x, 1 / 6), number(x, 0.5))
    inner = ops.where(ops.less_equal(number(x, 3), x), number(x, 1), line)
    return ops.where(ops.less_equal(x, number(x, -3)), number(x, 0), inner)


@Formula
def _hardswish(x: Node) -> Node:
    above, below = ops.less_equal(number(x, 3), x), ops.less_equal(x, number(x, -3))
    # outside the square may be infinite, and so may be its derivative
    near = ops.where(ops.logical_or(above, below), number(x, 0), x)
    curve = scaled(ops.multiply(near, ops.add(near, number(x, 3))), 1 / 6)
    return ops.where(below, number(x, 0), ops.where(above, x, curve))


@Formula
def _hardshrink(bound: float, x: Node) -> Node:
    keep = ops.logical_or(_above(x, bound), _below(x, -bound))
    return ops.where(ops.logical_or(keep, ops.isnan(x)), x, number(x, 0))


@Formula
def _softshrink(bound: float, x: Node) -> Node:
    down = ops.subtract(x, number(x, bound))
    up = ops.add(x, number(x, bound))
    inner = ops.where(_below(x, -bound), up, scaled(x, 0))
    return ops.where(_above(x, bound), down, inner)


@Formula
def _threshold(threshold: float, value: float, x: Node) -> Node:
    return ops.where(ops.less_equal(x, number(x, threshold)), number(x, value), x)


@Formula
def _heaviside(at_zero: float, x: Node) -> Node:
    step = ops.where(_above(x, 0), number(x, 1), number(x, at_zero))
    step = ops.where(_below(x, 0), number(x, 0), step)
    return ops.where(ops.isnan(x), ops.detach(x), step)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x above 0, negative_slope · x elsewhere."""
    return apply(_leaky_relu, floating(x), settings=(real("negative_slope", negative_slope),))


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x above 0, weight · x elsewhere; weight has one element, or one for each channel (last)."""
    if weight.shape != (1,):
        channels_last("prelu", x, weight.shape)
    same_dtype(x, weight)
    return apply(_prelu, x, weight)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, α (e^x − 1) elsewhere."""
    return apply(_elu, floating(x), settings=(real("alpha", alpha), 1.0, 1.0))


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, x) + min(0, α (e^(x/α) − 1)): its derivative is continuous for every α."""
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, got {alpha!r}")
    return apply(_elu, floating(x), settings=(real("alpha", alpha), 1.0, real("alpha", alpha)))


def selu(x: Tensor) -> Tensor:
    """λ x above 0, λ α (e^x − 1) elsewhere, with λ ≈ 1.0507 and α ≈ 1.6733."""
    return apply(_elu, floating(x), settings=(SELU_ALPHA, SELU_SCALE, 1.0))


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to min_val ... max_val; the derivative at the limits is 0."""
    if not min_val < max_val:
        raise ValueError(f"min_val must be below max_val, got {min_val!r} and {max_val!r}")
    return apply(_clipped, floating(x), settings=(float(min_val), float(max_val)))


def relu6(x: Tensor) -> Tensor:
    """min(max(0, x), 6)."""
    return hardtanh(x, 0.0, 6.0)


def hardsigmoid(x: Tensor) -> Tensor:
    """x / 6 + 1/2 limited to 0 ... 1."""
    return apply(_hardsigmoid, floating(x))


def hardswish(x: Tensor) -> Tensor:
    """x · hardsigmoid(x)."""
    return apply(_hardswish, floating(x))


def hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > λ, else 0."""
    return apply(_hardshrink, floating(x), settings=(_not_negative(lambd),))


def softshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved by λ towards 0, and 0 where |x| ≤ λ."""
    return apply(_softshrink, floating(x), settings=(_not_negative(lambd),))


def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else `value`."""
    return apply(_threshold, floating(x), settings=(float(threshold), float(value)))


def heaviside(x: Tensor, at_zero: float = 1.0) -> Tensor:
    """0 below 0, `at_zero` at 0, 1 above; the derivative is 0 everywhere."""
    return apply(_heaviside, floating(x), settings=(float(at_zero),))


def _not_negative(lambd: float) -> float:
    if not lambd >= 0:
        raise ValueError(f"lambd must not be negative, got {lambd!r}")
    return float(lambd)


@register
class LeakyReLU(Activation):
    """x above 0, negative_slope · x elsewhere (Maas et al., 2013)."""

    formula = r"\max(0, x) + a \min(0, x)"
    derivative = r"1 \text{ if } x > 0 \text{ else } a"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = real("negative_slope", negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return leaky_relu(x, self.negative_slope)


@register
class PReLU(Module):
    """x above 0, weight · x elsewhere; the slope is learned (He et al., 2015, arXiv:1502.01852).

    num_parameters: 1 slope for all, or one for each channel (the last axis).
    """

    formula = r"\max(0, x) + w \min(0, x)"
    derivative = r"1 \text{ if } x > 0 \text{ else } w"

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = positive("num_parameters", num_parameters)
        self.init = float(init)
        self.weight = Parameter(filled((self.num_parameters,), self.init))

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"


@register
class ELU(Activation):
    """x above 0, α (e^x − 1) elsewhere (Clevert et al., 2016, arXiv:1511.07289)."""

    formula = r"x \text{ if } x > 0 \text{ else } \alpha (e^x - 1)"
    derivative = r"1 \text{ if } x > 0 \text{ else } \alpha e^x"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = real("alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return elu(x, self.alpha)


@register
class CELU(Activation):
    """ELU with e^(x/α), so that its derivative is continuous (Barron, 2017, arXiv:1704.07483)."""

    formula = r"x \text{ if } x > 0 \text{ else } \alpha (e^{x/\alpha} - 1)"
    derivative = r"1 \text{ if } x > 0 \text{ else } e^{x/\alpha}"

    def __init__(self, alpha: float = 1.0) -> None:
        if not alpha > 0:
            raise ValueError(f"alpha must be positive, got {alpha!r}")
        self.alpha = real("alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return celu(x, self.alpha)


@register
class SELU(Activation):
    """λ · ELU, with the λ and α that keep mean 0 and variance 1 through the layers.

    Source: Klambauer et al., 2017, arXiv:1706.02515.
    """

    formula = r"\lambda x \text{ if } x > 0 \text{ else } \lambda \alpha (e^x - 1)"
    derivative = r"\lambda \text{ if } x > 0 \text{ else } \lambda \alpha e^x"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return selu(x)


@register
class Hardtanh(Activation):
    """x limited to min_val ... max_val."""

    formula = r"\min(\max(x, a), b)"
    derivative = r"1 \text{ if } a < x < b \text{ else } 0"

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        if not min_val < max_val:
            raise ValueError(f"min_val must be below max_val, got {min_val!r} and {max_val!r}")
        self.min_val, self.max_val = float(min_val), float(max_val)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return hardtanh(x, self.min_val, self.max_val)


@register
class ReLU6(Activation):
    """min(max(0, x), 6) (Krizhevsky, 2010)."""

    formula = r"\min(\max(0, x), 6)"
    derivative = r"1 \text{ if } 0 < x < 6 \text{ else } 0"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return relu6(x)


@register
class Hardsigmoid(Activation):
    """x / 6 + 1/2 limited to 0 ... 1."""

    formula = r"\min(\max(x / 6 + 1/2, 0), 1)"
    derivative = r"1/6 \text{ if } |x| < 3 \text{ else } 0"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return hardsigmoid(x)


@register
class Hardswish(Activation):
    """x · hardsigmoid(x) (Howard et al., 2019, arXiv:1905.02244)."""

    formula = r"x \min(\max(x / 6 + 1/2, 0), 1)"
    derivative = r"x/3 + 1/2 \text{ if } |x| < 3 \text{ else } [x > 0]"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return hardswish(x)


class _Shrink(Activation):
    """What the two shrinking functions share: the threshold λ."""

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = _not_negative(lambd)


@register
class Hardshrink(_Shrink):
    """x where |x| > λ, else 0."""

    formula = r"x \, [|x| > \lambda]"
    derivative = r"[|x| > \lambda]"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return hardshrink(x, self.lambd)


@register
class Softshrink(_Shrink):
    """x moved by λ towards 0, and 0 where |x| ≤ λ."""

    formula = r"\operatorname{sign}(x) \max(|x| - \lambda, 0)"
    derivative = r"[|x| > \lambda]"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return softshrink(x, self.lambd)


@register
class Threshold(Activation):
    """x where x > threshold, else `value`."""

    formula = r"x \text{ if } x > t \text{ else } v"
    derivative = r"[x > t]"

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold, self.value = float(threshold), float(value)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return threshold(x, self.threshold, self.value)


@register
class Heaviside(Activation):
    """The step of the first artificial neuron: 0 below 0, 1 above (McCulloch and Pitts, 1943).

    Its derivative is 0, so nothing before it can be learned by descent.
    """

    formula = r"[x \ge 0]"
    derivative = "0"

    def __init__(self, at_zero: float = 1.0) -> None:
        self.at_zero = float(at_zero)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return heaviside(x, self.at_zero)
