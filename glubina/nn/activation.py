"""Activation functions: the formulas and their layers."""

from __future__ import annotations

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import axis_of
from glubina.nn.formula import apply, largest, spread
from glubina.nn.module import Module
from glubina.tensor import Tensor


def relu(x: Tensor) -> Tensor:
    """max(0, x), element by element; its derivative at 0 is 0."""
    return apply(ops.relu, x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), element by element, without overflow."""
    return apply(ops.sigmoid, x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, element by element."""
    return apply(ops.tanh, x)


@Formula
def _softmax(axis: int, z: Node) -> Node:
    exponential = ops.exp(ops.subtract(z, largest(z, axis)))
    total = ops.sum(exponential, (axis,))
    return ops.divide(exponential, spread(total, axis, z.shape))


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


@register
class ReLU(Module):
    """max(0, x), element by element (Nair and Hinton, 2010)."""

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return relu(x)


@register
class Sigmoid(Module):
    """1 / (1 + e^-x), element by element."""

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return sigmoid(x)


@register
class Tanh(Module):
    """tanh x, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return tanh(x)


class _AlongAxis(Module):
    """A function along one axis (the last one unless told)."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


@register
class Softmax(_AlongAxis):
    """e^x_i / Σ_j e^x_j along an axis. Losses take logits: it has no place before them."""

    def forward(self, x: Tensor) -> Tensor:
        """The function along the axis; the shape stays."""
        return softmax(x, self.axis)


@register
class LogSoftmax(_AlongAxis):
    """ln softmax(x) along an axis."""

    def forward(self, x: Tensor) -> Tensor:
        """The function along the axis; the shape stays."""
        return log_softmax(x, self.axis)
