"""Residual networks of residual networks: shortcuts around stages and around everything."""

from __future__ import annotations

from glubina.models.heads import draw_for_relu, pooled_classifier
from glubina.models.registry import add
from glubina.models.resnet import blocks_of_depth, stages
from glubina.nn import Module, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import ResidualBlock, Shortcut, conv_norm
from glubina.tensor import Tensor


@register
class MultilevelResNet(Module):
    """RoR-3: shortcuts around each block, around each stage, and around all stages at once.

    (N, 32, 32, in_channels) to logits (N, num_classes). depth is 6n + 2, as in `CifarResNet`. The
    last block of a stage adds the stage's shortcut before its ReLU, the last one of all the root
    shortcut too. Shortcuts around blocks add channels of zeros, the others are 1 × 1
    convolutions. With levels=1 it is a residual network, with 2 it has the root shortcut only.

    Source: Zhang et al., "Residual networks of residual networks: multilevel residual networks",
    2016, arXiv:1608.02908.
    """

    def __init__(
        self,
        depth: int = 56,
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 16,
        levels: int = 3,
    ) -> None:
        if levels not in (1, 2, 3):
            raise ValueError(f"levels is 1, 2 or 3, got {levels!r}")
        number = blocks_of_depth(depth, 6)
        self.stem = conv_norm(in_channels, width, 3)
        found, channels = stages(ResidualBlock, width, width, (number,) * 3, "pad")
        self.stages = Sequential(*found)
        self.around: Module | None = None
        if levels == 3:
            sizes = ((width, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2))
            self.around = Sequential(*(Shortcut(*size) for size in sizes))
        self.root = Shortcut(width, channels, 4) if levels > 1 else None
        self.head = pooled_classifier(channels, num_classes)
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        x = self.stem(x)
        more = [] if self.root is None else [self.root(x)]
        around = [None] * 3 if self.around is None else list(self.around.children())
        for level, stage in enumerate(self.stages.children()):
            outer = around[level]
            added = [] if outer is None else [outer(x)]
            blocks = list(stage.children())
            for block in blocks[:-1]:
                x = block(x)
            x = blocks[-1](x, *added, *(more if level == 2 else []))
        result: Tensor = self.head(x)
        return result


_SOURCE = "Zhang et al., 2016, arXiv:1608.02908"
add("multilevel-resnet56", MultilevelResNet, _SOURCE, (32, 32, 3))
add("multilevel-resnet110", MultilevelResNet, _SOURCE, (32, 32, 3), depth=110)
