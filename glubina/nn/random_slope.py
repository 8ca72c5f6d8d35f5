"""The rectifier whose slope below zero is drawn anew for each element in training."""

from __future__ import annotations

from typing import Any

from glubina.nn.activation import Activation
from glubina.nn.architecture import register
from glubina.nn.checks import floating
from glubina.nn.rectifiers import leaky_relu
from glubina.tensor import Tensor, where
from glubina.tensor.random import rand_like


def _bounds(lower: float, upper: float) -> tuple[float, float]:
    if not lower <= upper:
        raise ValueError(f"lower must be at most upper, got {lower!r} and {upper!r}")
    return float(lower), float(upper)


def rrelu(x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """x above 0, a·x elsewhere: a uniform in lower ... upper in training, else their mean.

    Source: Xu et al., 2015, arXiv:1505.00853.
    """
    low, high = _bounds(lower, upper)
    if not training:
        return leaky_relu(x, (low + high) / 2)
    slope = rand_like(floating(x)) * (high - low) + low
    drawn: Any = where(x > 0, x, slope * x)
    return drawn  # type: ignore[no-any-return]


@register
class RReLU(Activation):
    """x above 0, a·x elsewhere with a drawn slope a; see `rrelu`."""

    formula = r"x \text{ if } x > 0 \text{ else } a x, \; a \sim U(l, u)"
    derivative = r"1 \text{ if } x > 0 \text{ else } a"

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3) -> None:
        self.lower, self.upper = _bounds(lower, upper)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every element; the shape stays."""
        return rrelu(x, self.lower, self.upper, self.training)
