"""A convolution with what usually stands beside it, and the separable convolution."""

from __future__ import annotations

from typing import Any

from glubina.nn.activation import ReLU
from glubina.nn.architecture import register
from glubina.nn.containers import Sequential
from glubina.nn.convolution import Conv2d
from glubina.nn.module import Module
from glubina.nn.normalisation import BatchNorm2d
from glubina.tensor import Tensor


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    activation: bool = True,
) -> Sequential:
    """Convolution (no bias), batch normalisation, ReLU: the children conv, norm, relu.

    padding: half of the window unless given, so that stride 1 keeps the size.
    """
    around = kernel_size // 2 if padding is None else padding
    parts: dict[str, Module] = {
        "conv": Conv2d(
            in_channels, out_channels, kernel_size, stride, around, groups=groups, bias=False
        ),
        "norm": BatchNorm2d(out_channels),
    }
    if activation:
        parts["relu"] = ReLU()
    return Sequential(parts)


def norm_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> Sequential:
    """Batch normalisation, ReLU, convolution (no bias): "pre-activation" order."""
    return Sequential(
        {
            "norm": BatchNorm2d(in_channels),
            "relu": ReLU(),
            "conv": Conv2d(
                in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False
            ),
        }
    )


@register
class SeparableConv2d(Module):
    """A convolution in two steps: each channel by itself, then the channels at each pixel.

    (N, H, W, in_channels) to (N, H', W', out_channels). depthwise: `depth_multiplier` filters of
    k × k per input channel, no bias; pointwise: 1 × 1, with bias. Where a full 3 × 3 convolution
    from 4 to 10 channels has 370 parameters, this has 86. The arguments between are `Conv2d`'s.
    Source: Sifre, "Rigid-motion scattering for image classification", 2014; Chollet, 2016,
    arXiv:1610.02357.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, ...] = 1,
        bias: bool = True,
        depth_multiplier: int = 1,
    ) -> None:
        between = in_channels * depth_multiplier
        self.depthwise = Conv2d(
            in_channels, between, kernel_size, stride, padding, dilation, in_channels, bias=False
        )
        self.pointwise = Conv2d(between, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, H', W', out_channels)."""
        result: Tensor = self.pointwise(self.depthwise(x))
        return result
