"""GoogLeNet: nine Inception blocks."""

from __future__ import annotations

from typing import Any

from glubina.models.heads import pooled_classifier
from glubina.models.registry import add
from glubina.nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    ModuleList,
    ReLU,
    Sequential,
)
from glubina.nn.architecture import register
from glubina.nn.blocks import Inception, conv_norm
from glubina.tensor import Tensor

BLOCKS = (
    (64, (96, 128), (16, 32), 32),
    (128, (128, 192), (32, 96), 64),
    None,
    (192, (96, 208), (16, 48), 64),
    (160, (112, 224), (24, 64), 64),
    (128, (128, 256), (24, 64), 64),
    (112, (144, 288), (32, 64), 64),
    (256, (160, 320), (32, 128), 128),
    None,
    (256, (160, 320), (32, 128), 128),
    (384, (192, 384), (48, 128), 128),
)
"""Table 1 of the paper: the widths of each block, see `Inception`; None stands for pooling."""

AUXILIARY = (3, 6)
"""Auxiliary classifiers look at the maps of these blocks: the paper's 4a and 4d."""


@register
class GoogLeNet(Module):
    """A stem of three convolutions, nine Inception blocks, the mean over the image, one layer.

    (N, 224, 224, in_channels) to logits (N, num_classes). Local response normalisation stands in
    the stem if response_norm=True: 6,998,552 parameters. With batch_norm=True and five_size=3 it is
    the network that torchvision has under this name, 6,624,904. width: scales all channels.

    auxiliary: two more classifiers, half-way up. In training the network then returns three
    logits: (the last, the second's, the first's); the paper adds 0.3 times the losses of the
    latter two to the loss. In evaluation it returns the last alone. With these torchvision's
    network has 13,004,888 parameters.

    Source: Szegedy et al., 2014, arXiv:1409.4842.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        dropout: float = 0.4,
        batch_norm: bool = False,
        five_size: int = 5,
        width: float = 1.0,
        auxiliary: bool = False,
        response_norm: bool = False,
    ) -> None:
        def scaled(n: int) -> int:
            return max(1, round(n * width))

        def unit(inputs: int, outputs: int, window: int, stride: int = 1) -> Module:
            if batch_norm:
                return conv_norm(inputs, outputs, window, stride)
            conv = Conv2d(inputs, outputs, window, stride, window // 2)
            return Sequential(conv, ReLU())

        narrow, channels = scaled(64), scaled(192)

        def norm() -> list[Module]:
            return [LocalResponseNorm(5, 5e-4, 0.75, 2.0)] if response_norm else []

        self.stem = Sequential(
            *(unit(in_channels, narrow, 7, 2), MaxPool2d(3, 2, 1), *norm()),
            *(unit(narrow, narrow, 1), unit(narrow, channels, 3), *norm(), MaxPool2d(3, 2, 1)),
        )
        parts: list[Module] = []
        others: list[Module] = []
        for place, widths in enumerate(BLOCKS):
            if widths is None:
                parts.append(MaxPool2d(3, 2, 1))
                continue
            one, three, five, pool = widths
            block = Inception(
                channels, scaled(one), (scaled(three[0]), scaled(three[1])),
                (scaled(five[0]), scaled(five[1])), scaled(pool), batch_norm, five_size,
            )  # fmt: skip
            parts.append(block)
            channels = block.out_channels
            if auxiliary and place in AUXILIARY:
                few, hidden = scaled(128), scaled(1024)
                others.append(
                    Sequential(
                        *(AdaptiveAvgPool2d(4), unit(channels, few, 1), Flatten()),
                        *(Linear(16 * few, hidden), ReLU(), Dropout(0.7)),
                        Linear(hidden, num_classes),
                    )
                )
        self.auxiliary = ModuleList(others) if auxiliary else None
        self.blocks = Sequential(*parts)
        self.head = pooled_classifier(channels, num_classes, dropout)

    def forward(self, x: Tensor) -> Any:
        """From (N, H, W, in_channels) to (N, num_classes); three of them, see above."""
        if self.auxiliary is None or not self.training:
            return self.head(self.blocks(self.stem(x)))
        x = self.stem(x)
        found: list[Tensor] = []
        for place, block in enumerate(self.blocks.children()):
            x = block(x)
            if place in AUXILIARY:
                found.insert(0, self.auxiliary[len(found)](x))
        return (self.head(x), *found)


add("googlenet", GoogLeNet, "Szegedy et al., 2014, arXiv:1409.4842", (224, 224, 3))
