"""MobileNetV2: inverted residual blocks, wide inside and narrow between."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.heads import draw_for_relu, pooled_classifier
from glubina.models.inverted import InvertedResidual, divisible, unit
from glubina.models.registry import add
from glubina.nn import Linear, Module, Sequential, init
from glubina.nn.architecture import register
from glubina.tensor import Tensor

STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
"""Table 2 of the paper: expansion, channels, number of blocks, stride of the first."""


@register
class MobileNetV2(Module):
    """A convolution, seventeen inverted residual blocks, a convolution 1 × 1, one linear layer.

    (N, 224, 224, in_channels) to (N, num_classes), 3,504,872 parameters. width: the multiplier of
    all channels (the last convolution has at least 1,280), which are rounded to multiples of 8.
    stride: of the first convolution (1 for images of 32 × 32). stages: rows of the paper's table.

    Source: Sandler et al., 2018, arXiv:1801.04381.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.2,
        stride: int = 2,
        stages: Sequence[tuple[int, int, int, int]] = STAGES,
    ) -> None:
        if not width > 0:
            raise ValueError(f"width must be positive, got {width!r}")
        channels = divisible(32 * width)
        parts: list[Module] = [unit(in_channels, channels, 3, stride)]
        for expansion, base, number, step in stages:
            wide = divisible(base * width)
            for i in range(number):
                inner = expansion * channels
                parts.append(InvertedResidual(channels, wide, inner, 1 if i else step))
                channels = wide
        last = divisible(1280 * max(1.0, width))
        self.features = Sequential(*parts, unit(channels, last, 1))
        self.head = pooled_classifier(last, num_classes, dropout)
        draw_for_relu(self)
        for module in self.head.modules():
            if isinstance(module, Linear) and module.bias is not None:
                init.normal_(module.weight, 0, 0.01)
                init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.features(x))
        return result


add("mobilenet-v2", MobileNetV2, "Sandler et al., 2018, arXiv:1801.04381", (224, 224, 3))
