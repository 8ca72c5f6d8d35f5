"""Dropout: in training each element is zero with probability p."""

from __future__ import annotations

from glubina.graph import Node, ops
from glubina.nn.architecture import register
from glubina.nn.checks import floating, probability
from glubina.nn.formula import apply, scaled
from glubina.nn.module import Module
from glubina.tensor import Tensor
from glubina.tensor.random import default_generator


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """X / (1 − p) where a draw is kept, 0 with probability p; x itself without `training`.

    The draw is compared as the integer that the generator gives, without becoming a fraction.
    """
    probability("p", p)
    floating(x)
    if not training or p == 0:
        return x
    bits = default_generator.bits(x.shape)
    kept = min(round((1 - p) * 2**32), 2**32 - 1)

    def formula(x: Node) -> Node:
        if p == 1:
            return ops.full_like(x, 0)
        keep = ops.less(bits, ops.full_like(bits, kept))
        return ops.where(keep, scaled(x, 1 / (1 - p)), ops.full_like(x, 0))

    return apply(formula, x)


@register
class Dropout(Module):
    """In training, zero with probability p and scaled by 1 / (1 − p) otherwise; in use nothing.

    Source: Srivastava et al., "Dropout", 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability("p", p)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with elements dropped in training."""
        return dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
