"""EfficientNet: depth, width and resolution scaled together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glubina.models.heads import draw_for_relu, pooled_classifier
from glubina.models.inverted import InvertedResidual, divisible, unit
from glubina.models.registry import add
from glubina.nn import Linear, Module, Sequential, init
from glubina.nn.architecture import register
from glubina.nn.checks import MANY
from glubina.tensor import Tensor

STAGES = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip
"""Table 1 of the paper: expansion, window, stride of the first block, channels, blocks."""


@register
class EfficientNet(Module):
    """A convolution, seven stages of inverted residual blocks, a convolution, one linear layer.

    (N, 224, 224, in_channels) to (N, num_classes). width and depth multiply the channels (rounded
    to multiples of 8) and the blocks of each stage (rounded up): B0 is (1, 1), 5,288,548
    parameters; B1 (1, 1.1), 7,794,184; B2 (1.1, 1.2), B3 (1.2, 1.4), B4 (1.4, 1.8). drop_path: of
    the last block, less before it. stride: of the first convolution (1 for images of 32 × 32).
    stages: rows of the paper's table.

    Source: Tan and Le, 2019, arXiv:1905.11946.
    """

    def __init__(
        self,
        width: float = 1.0,
        depth: float = 1.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        dropout: float = 0.2,
        drop_path: float = 0.2,
        stride: int = 2,
        stages: Sequence[tuple[int, int, int, int, int]] = STAGES,
    ) -> None:
        for name, value in (("width", width), ("depth", depth)):
            if not 0 < value <= MANY:
                raise ValueError(f"{name} must be above 0 and at most {MANY}, got {value!r}")
        channels = divisible(32 * width)
        parts: list[Module] = [unit(in_channels, channels, 3, stride, activation="silu")]
        total = sum(math.ceil(number * depth) for *_, number in stages)
        for expansion, window, step, base, number in stages:
            wide = divisible(base * width)
            for i in range(math.ceil(number * depth)):
                parts.append(
                    InvertedResidual(
                        channels, wide, divisible(expansion * channels), 1 if i else step, window,
                        "silu", max(1, channels // 4),
                        drop_path=drop_path * (len(parts) - 1) / total,
                    )
                )  # fmt: skip
                channels = wide
        self.features = Sequential(*parts, unit(channels, 4 * channels, 1, activation="silu"))
        self.head = pooled_classifier(4 * channels, num_classes, dropout)
        draw_for_relu(self)
        for module in self.head.modules():
            if isinstance(module, Linear) and module.bias is not None:
                bound = 1 / math.sqrt(num_classes)
                init.uniform_(module.weight, -bound, bound)
                init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.features(x))
        return result


add("efficientnet-b0", EfficientNet, "Tan and Le, 2019, arXiv:1905.11946", (224, 224, 3))
