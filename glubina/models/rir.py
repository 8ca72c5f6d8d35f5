"""ResNet in ResNet: every layer has a residual and a transient stream."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.heads import draw_for_relu
from glubina.models.registry import add
from glubina.nn import AdaptiveAvgPool2d, Flatten, Module, ModuleList, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import TwoStreamBlock, conv_norm
from glubina.tensor import Tensor, concat


@register
class ResNetInResNet(Module):
    """Two streams through stages of `TwoStreamBlock`s: (N, 32, 32, in_channels) to logits.

    Each stage after the first halves the size and doubles the width. At the end a 1 × 1
    convolution of both streams, averaged over the image, gives (N, num_classes). The paper's
    network of 18 layers has 10.3 million parameters, this one, with 48 channels for each stream
    of the first stage, 9.5.

    Source: Targ, Almeida and Lyman, 2016, arXiv:1603.08029.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6),
    ) -> None:
        self.residual = conv_norm(in_channels, width, 3)
        self.transient = conv_norm(in_channels, width, 3)
        self.blocks = ModuleList()
        channels = width
        for level, number in enumerate(blocks):
            for i in range(number):
                stride = 2 if level and not i else 1
                self.blocks.append(TwoStreamBlock(channels, width * 2**level, stride))
                channels = width * 2**level
        self.head = Sequential(
            conv_norm(2 * channels, num_classes, 1, activation=False),
            *(AdaptiveAvgPool2d(1), Flatten()),
        )
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        streams = self.residual(x), self.transient(x)
        for block in self.blocks:
            streams = block(*streams)
        result: Tensor = self.head(concat(list(streams), axis=-1))
        return result


add("resnet-in-resnet", ResNetInResNet, "Targ et al., 2016, arXiv:1603.08029", (32, 32, 3))
