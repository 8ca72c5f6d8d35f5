"""Squeeze and excitation: channels weighed by what the whole image shows."""

from __future__ import annotations

from glubina.nn.activation import relu, sigmoid
from glubina.nn.architecture import register
from glubina.nn.checks import images, positive
from glubina.nn.linear import Linear
from glubina.nn.module import Module
from glubina.tensor import Tensor


@register
class SqueezeExcite(Module):
    """x · σ(W₂ relu(W₁ mean(x))): (N, H, W, C) to the same shape, a weight for each channel.

    reduction: the layer between has C / reduction features, at least one. Source: Hu et al.,
    2017, arXiv:1709.01507.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        between = max(1, positive("channels", channels) // positive("reduction", reduction))
        self.squeeze = Linear(channels, between)
        self.excite = Linear(between, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, each channel scaled by its weight from 0 to 1."""
        images(x, 2, self.squeeze.in_features)
        weights = sigmoid(self.excite(relu(self.squeeze(x.mean(axis=(1, 2))))))
        result: Tensor = x * weights.reshape((x.shape[0], 1, 1, x.shape[3]))
        return result
