"""VGG: nothing but convolutions 3 × 3, and three linear layers."""

from __future__ import annotations

from glubina.models.heads import draw_for_relu
from glubina.models.registry import add
from glubina.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from glubina.nn.architecture import register
from glubina.nn.checks import positive
from glubina.tensor import Tensor

STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Table 1 of the paper (A, B, D, E): the convolutions of each stage, by the number of layers."""


@register
class VGG(Module):
    """Five stages of convolutions 3 × 3, each ended by max-pooling, then three linear layers.

    (N, 224, 224, in_channels) to (N, num_classes). depth: 11, 13, 16 or 19 layers with weights,
    132,863,336 to 143,667,240 parameters. batch_norm: after each convolution. width: channels of
    the first stage, the others have 2, 4, 8 and 8 times as many; hidden: features of the linear
    layers. Images of other sizes, at least 32, are brought to 7 × 7 before these.

    Source: Simonyan and Zisserman, 2014, arXiv:1409.1556.
    """

    def __init__(
        self,
        depth: int = 16,
        num_classes: int = 1000,
        in_channels: int = 3,
        batch_norm: bool = False,
        dropout: float = 0.5,
        width: int = 64,
        hidden: int = 4096,
    ) -> None:
        if depth not in STAGES:
            raise ValueError(f"depth is one of {', '.join(map(str, STAGES))}, got {depth!r}")
        parts: list[Module] = []
        channels = in_channels
        for convolutions, factor in zip(STAGES[depth], (1, 2, 4, 8, 8)):
            for _ in range(convolutions):
                wide = positive("width", width) * factor
                parts.append(Conv2d(channels, wide, 3, padding=1))
                parts += [BatchNorm2d(wide), ReLU()] if batch_norm else [ReLU()]
                channels = wide
            parts.append(MaxPool2d(2))
        self.features = Sequential(*parts)
        self.pool = AdaptiveAvgPool2d(7)
        self.classifier = Sequential(
            *(Flatten(), Linear(channels * 49, hidden), ReLU(), Dropout(dropout)),
            *(Linear(hidden, hidden), ReLU(), Dropout(dropout), Linear(hidden, num_classes)),
        )
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels), sides of at least 32, to (N, num_classes)."""
        result: Tensor = self.classifier(self.pool(self.features(x)))
        return result


for _depth in STAGES:
    add(f"vgg{_depth}", VGG, "Simonyan et al., 2014, arXiv:1409.1556", (224, 224, 3), depth=_depth)
