"""DenseNet: every layer of a block sees all before it."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.heads import draw_for_relu, imagenet_stem, pooled_classifier
from glubina.models.registry import add
from glubina.nn import BatchNorm2d, Conv2d, Module, ReLU, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import DenseBlock, DenseTransition
from glubina.tensor import Tensor


@register
class DenseNet(Module):
    """Dense blocks with transitions between them (DenseNet-BC): images to (N, num_classes).

    blocks: the layers of each block. growth: the maps that each layer adds. stem: "cifar", one
    convolution 3 × 3, or "imagenet", 7 × 7 and pooling, a quarter of the size; both give
    2 · growth maps. compression: the share of the channels that a transition keeps. bottleneck: see
    `DenseLayer`. dropout: of each layer's new maps.

    With the defaults the network of 100 layers and growth 12 for CIFAR: 0.8 million parameters.
    Source: Huang et al., 2016, arXiv:1608.06993.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (16, 16, 16),
        growth: int = 12,
        num_classes: int = 10,
        in_channels: int = 3,
        stem: str = "cifar",
        compression: float = 0.5,
        bottleneck: int = 4,
        dropout: float = 0.0,
    ) -> None:
        if stem not in ("cifar", "imagenet"):
            raise ValueError(f"stem is 'cifar' or 'imagenet', got {stem!r}")
        if not 0 < compression <= 1:
            raise ValueError(f"compression must be above 0 and at most 1, got {compression!r}")
        channels = 2 * growth
        self.stem: Module = imagenet_stem(in_channels, channels)
        if stem == "cifar":
            self.stem = Conv2d(in_channels, channels, 3, padding=1, bias=False)
        parts: list[Module] = []
        for i, layers in enumerate(blocks):
            if i:
                parts.append(DenseTransition(channels, int(channels * compression)))
                channels = int(channels * compression)
            block = DenseBlock(channels, layers, growth, bottleneck, dropout)
            parts.append(block)
            channels = block.out_channels
        self.blocks = Sequential(*parts, BatchNorm2d(channels), ReLU())
        self.head = pooled_classifier(channels, num_classes)
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.blocks(self.stem(x)))
        return result


_SOURCE = "Huang et al., 2016, arXiv:1608.06993"
add("densenet100-12", DenseNet, _SOURCE, (32, 32, 3))
add(
    "densenet121", DenseNet, _SOURCE, (224, 224, 3), blocks=(6, 12, 24, 16), growth=32,
    num_classes=1000, stem="imagenet",
)  # fmt: skip
