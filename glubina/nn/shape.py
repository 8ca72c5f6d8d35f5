"""Layers that change the shape, or nothing."""

from __future__ import annotations

import math

from glubina.graph import ops
from glubina.nn.architecture import register
from glubina.nn.checks import axis_of
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.tensor import Tensor


def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from `start_axis` to `end_axis` made one, in row-major order."""
    first, last = axis_of("flatten", x, start_axis), axis_of("flatten", x, end_axis)
    merged = math.prod(x.shape[first : last + 1])
    shape = (*x.shape[:first], merged, *x.shape[last + 1 :])
    return apply(lambda node: ops.reshape(node, shape), x)


@register
class Flatten(Module):
    """(N, a, b, ...) to (N, a·b·...): the axes from `start_axis` to `end_axis` made one.

    Images lie channels last, so the order of the features is height, width, channel.
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis = start_axis
        self.end_axis = end_axis

    def forward(self, x: Tensor) -> Tensor:
        """The same elements with fewer axes."""
        return flatten(x, self.start_axis, self.end_axis)


@register
class Identity(Module):
    """Gives back its input: a place holder for a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """The input itself."""
        return x
