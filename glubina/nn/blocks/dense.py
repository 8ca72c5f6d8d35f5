"""Dense blocks: each layer sees the maps of all layers before it."""

from __future__ import annotations

from glubina.nn.architecture import register
from glubina.nn.blocks.convolutional import norm_conv
from glubina.nn.checks import positive, probability
from glubina.nn.containers import ModuleList
from glubina.nn.dropout import Dropout
from glubina.nn.module import Module
from glubina.nn.pooling import AvgPool2d
from glubina.tensor import Tensor, concat


@register
class DenseLayer(Module):
    """`growth` new maps beside the input's: (N, H, W, C) to (N, H, W, C + growth).

    The maps come from norm, ReLU, 1 × 1 to bottleneck · growth channels, norm, ReLU, 3 × 3
    (bottleneck=0: from norm, ReLU, 3 × 3 alone). dropout: of the new maps.
    """

    def __init__(
        self, in_channels: int, growth: int, bottleneck: int = 4, dropout: float = 0.0
    ) -> None:
        between = bottleneck * positive("growth", growth)
        self.first = norm_conv(in_channels, between, 1) if bottleneck else None
        self.second = norm_conv(between if bottleneck else in_channels, growth, 3)
        self.dropout = Dropout(probability("dropout", dropout)) if dropout else None

    def forward(self, x: Tensor) -> Tensor:
        """The input's maps, then the new ones."""
        new = self.second(x if self.first is None else self.first(x))
        return concat([x, new if self.dropout is None else self.dropout(new)], axis=-1)


@register
class DenseBlock(Module):
    """`layers` dense layers: (N, H, W, C) to (N, H, W, C + layers · growth).

    The arguments are those of `DenseLayer`. Source: Huang et al., 2016, arXiv:1608.06993.
    """

    def __init__(
        self, in_channels: int, layers: int, growth: int, bottleneck: int = 4, dropout: float = 0.0
    ) -> None:
        self.layers = ModuleList(
            [
                DenseLayer(in_channels + i * growth, growth, bottleneck, dropout)
                for i in range(positive("layers", layers))
            ]
        )
        self.out_channels = in_channels + layers * growth

    def forward(self, x: Tensor) -> Tensor:
        """The input's maps, then those of each layer."""
        for layer in self.layers:
            x = layer(x)
        return x


@register
class DenseTransition(Module):
    """Between dense blocks: norm, ReLU, 1 × 1 to `out_channels`, mean of 2 × 2 windows."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        self.reduce = norm_conv(in_channels, out_channels, 1)
        self.pool = AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, in_channels) to (N, H/2, W/2, out_channels)."""
        result: Tensor = self.pool(self.reduce(x))
        return result
