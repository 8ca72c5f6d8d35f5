"""Activation functions: the formulas and their layers."""

from __future__ import annotations

from typing import ClassVar

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import axis_of
from glubina.nn.formula import apply, largest, scaled, spread
from glubina.nn.module import Module
from glubina.tensor import Tensor
from glubina.tensor.arguments import between


def relu(x: Tensor, slope_at_zero: float = 0.0) -> Tensor:
    """max(0, x), element by element; its derivative at 0 is `slope_at_zero`.

    Any number from 0 to 1 is a subgradient there; PyTorch's is 0.
    """
    if slope_at_zero:
        return apply(_relu, x, settings=(between("slope_at_zero", slope_at_zero, 0, 1),))
    return apply(ops.relu, x)


@Formula
def _relu(slope: float, x: Node) -> Node:
    zero = ops.full_like(x, 0)
    above = ops.where(ops.equal(x, zero), scaled(x, slope), x)
    return ops.where(ops.less(x, zero), zero, above)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), element by element, without overflow."""
    return apply(ops.sigmoid, x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, element by element."""
    return apply(ops.tanh, x)


@Formula
def _softmax(axis: int, z: Node) -> Node:
    exponential = ops.exp(ops.subtract(z, largest(z, axis)))
    total = ops.sum(exponential, (axis,))  # at least 1: its inverse is no worse than a division
    share = ops.divide(ops.full_like(total, 1), total)
    return ops.multiply(exponential, spread(share, axis, z.shape))


@Formula
def _log_softmax(axis: int, z: Node) -> Node:
    shifted = ops.subtract(z, largest(z, axis))
    total = ops.sum(ops.exp(shifted), (axis,))
    return ops.subtract(shifted, spread(ops.log(total), axis, z.shape))


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x_i / Σ_j e^x_j along an axis: positive numbers that sum to 1.

    The largest x is subtracted first, so that nothing overflows.
    """
    return apply(_softmax, x, settings=(axis_of("softmax", x, axis),))


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of softmax(x), without the loss of digits of `log(softmax(x))`."""
    return apply(_log_softmax, x, settings=(axis_of("log_softmax", x, axis),))


def softmin(x: Tensor, axis: int = -1) -> Tensor:
    """softmax(−x): the smallest gets the most."""
    return softmax(-x, axis)


class Activation(Module):
    """A function of each element; `formula` and `derivative` are LaTeX, for tables and pages."""

    formula: ClassVar[str]
    derivative: ClassVar[str]

    def extra_repr(self) -> str:
        """The arguments that were given."""
        return ", ".join(f"{name}={value}" for name, value in self.config().items())


@register
class ReLU(Activation):
    """max(0, x), element by element (Nair and Hinton, 2010).

    slope_at_zero: what counts as the derivative at 0, where there is none.
    """

    formula = r"\max(0, x)"
    derivative = "[x > 0]"

    def __init__(self, slope_at_zero: float = 0.0) -> None:
        self.slope_at_zero = between("slope_at_zero", slope_at_zero, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return relu(x, self.slope_at_zero)

    def extra_repr(self) -> str:
        """The slope, where it is not the default."""
        return f"slope_at_zero={self.slope_at_zero}" if self.slope_at_zero else ""


@register
class Sigmoid(Activation):
    """1 / (1 + e^-x), element by element."""

    formula = r"\sigma(x) = 1 / (1 + e^{-x})"
    derivative = r"\sigma(x) (1 - \sigma(x))"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return sigmoid(x)


@register
class Tanh(Activation):
    """tanh x, element by element."""

    formula = r"\tanh x"
    derivative = r"1 - \tanh^2 x"

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return tanh(x)


class _AlongAxis(Module):
    """A function along one axis (the last one unless told)."""

    formula: ClassVar[str]
    derivative: ClassVar[str]

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


@register
class Softmax(_AlongAxis):
    """e^x_i / Σ_j e^x_j along an axis. Losses take logits: it has no place before them."""

    formula = r"p_i = e^{x_i} / \sum_j e^{x_j}"
    derivative = r"\partial p_i / \partial x_j = p_i ([i = j] - p_j)"

    def forward(self, x: Tensor) -> Tensor:
        """The function along the axis; the shape stays."""
        return softmax(x, self.axis)


@register
class LogSoftmax(_AlongAxis):
    """ln softmax(x) along an axis."""

    formula = r"x_i - \ln \sum_j e^{x_j}"
    derivative = r"[i = j] - p_j"

    def forward(self, x: Tensor) -> Tensor:
        """The function along the axis; the shape stays."""
        return log_softmax(x, self.axis)


@register
class Softmin(_AlongAxis):
    """softmax(−x) along an axis."""

    formula = r"p_i = e^{-x_i} / \sum_j e^{-x_j}"
    derivative = r"\partial p_i / \partial x_j = -p_i ([i = j] - p_j)"

    def forward(self, x: Tensor) -> Tensor:
        """The function along the axis; the shape stays."""
        return softmin(x, self.axis)
