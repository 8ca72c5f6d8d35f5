"""Dropout: in training each element is zero with probability p."""

from __future__ import annotations

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating, probability
from glubina.nn.formula import scaled
from glubina.nn.module import Module
from glubina.tensor import Tensor
from glubina.tensor.base import consume, wrap
from glubina.tensor.mode import mode
from glubina.tensor.random import default_generator


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero with probability p, else x / (1 − p); without `training` x itself."""
    probability("p", p)
    floating(x)
    if not training or p == 0:
        return x
    chance = chance_of(p)
    scale = 0.0 if p == 1 else 1 / (1 - p)
    given, key = consume(x), default_generator.key()
    node = _dropout(given, key, settings=(chance, scale))
    return wrap(node, mode.grad and x.requires_grad)


def chance_of(p: float) -> int:
    """What a draw of 32 bits must be below, for an element to be kept."""
    return min(round((1 - p) * 2**32), 2**32 - 1)


@Formula
def _dropout(chance: int, scale: float, x: Node, key: Node) -> Node:
    """Compares the draw as the integer that the generator gives: no fraction is needed."""
    bits = ops.random_bits(key, 0, x.shape)
    keep = ops.less(bits, ops.full_like(bits, chance))
    return ops.where(keep, scaled(x, scale), ops.full_like(x, 0))


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
