"""PolyNet: residual blocks with powers of their branch."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.heads import draw_for_relu, pooled_classifier
from glubina.models.registry import add
from glubina.nn import Module, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import PolyBlock, conv_norm
from glubina.nn.checks import positive
from glubina.tensor import Tensor


@register
class PolyNet(Module):
    """Stages of `PolyBlock`s, a small network of the family: images to (N, num_classes).

    kinds: of the blocks of each stage, "2-way", "poly-2" or "mpoly-2"; every stage after the first
    halves the size and doubles the channels, beginning with `width`. blocks: of each stage. The
    paper's own network ("very deep PolyNet") has the three kinds in this order, with blocks of
    Inception-ResNet-v2.

    Source: Zhang et al., 2016, arXiv:1611.05725.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 64,
        blocks: int = 3,
        kinds: Sequence[str] = ("2-way", "mpoly-2", "poly-2"),
    ) -> None:
        parts: list[Module] = []
        channels = in_channels
        for level, kind in enumerate(kinds):
            parts.append(conv_norm(channels, width * 2**level, 3, stride=2 if level else 1))
            channels = width * 2**level
            parts += [PolyBlock(channels, kind) for _ in range(positive("blocks", blocks))]
        self.blocks = Sequential(*parts)
        self.head = pooled_classifier(channels, num_classes)
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.blocks(x))
        return result


add("polynet-small", PolyNet, "Zhang et al., 2016, arXiv:1611.05725", (32, 32, 3))
