"""MobileNet: depthwise separable convolutions for small machines."""

from __future__ import annotations

from glubina.models.heads import draw_for_relu, pooled_classifier
from glubina.models.registry import add
from glubina.nn import Module, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import conv_norm
from glubina.tensor import Tensor

LAYERS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2),
    (1024, 1),
)  # fmt: skip
"""Table 1 of the paper: the channels and the stride of each separable convolution."""


@register
class MobileNet(Module):
    """MobileNet v1: a convolution and thirteen separable ones: images to (N, num_classes).

    (N, 224, 224, in_channels), or smaller. width: the multiplier α of all channels. Both steps of
    a separable convolution are followed by batch normalisation and ReLU. stride: of the first
    convolution (1 for images of 32 × 32).

    4.2 million parameters. Source: Howard et al., 2017, arXiv:1704.04861.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.0,
        stride: int = 2,
    ) -> None:
        if not width > 0:
            raise ValueError(f"width must be positive, got {width!r}")
        channels = max(1, int(32 * width))
        parts = [conv_norm(in_channels, channels, 3, stride)]
        for base, step in LAYERS:
            wide = max(1, int(base * width))
            depthwise = conv_norm(channels, channels, 3, step, groups=channels)
            pointwise = conv_norm(channels, wide, 1)
            parts.append(Sequential({"depthwise": depthwise, "pointwise": pointwise}))
            channels = wide
        self.features = Sequential(*parts)
        self.head = pooled_classifier(channels, num_classes, dropout)
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.features(x))
        return result


_SOURCE = "Howard et al., 2017, arXiv:1704.04861"
add("mobilenet", MobileNet, _SOURCE, (224, 224, 3))
for _width in (0.75, 0.5, 0.25):
    add(f"mobilenet-{_width}", MobileNet, _SOURCE, (224, 224, 3), width=_width)
