"""ResNet-9: the short, wide residual network that is trained on small images in minutes."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.registry import add
from glubina.nn import Linear, MaxPool2d, Module, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import conv_norm
from glubina.nn.checks import positive
from glubina.tensor import Tensor


@register
class ConvPair(Module):
    """x + F(x), F two times convolution 3 × 3, norm, ReLU: (N, H, W, C) to the same shape.

    Unlike the blocks of ResNet it ends with the sum, not with a ReLU of it.
    """

    def __init__(self, channels: int) -> None:
        self.first = conv_norm(channels, channels, 3)
        self.second = conv_norm(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """The input and the branch."""
        result: Tensor = x + self.second(self.first(x))
        return result


@register
class ResNet9(Module):
    """The residual network for quick training: (N, H, W, in_channels) to (N, num_classes).

    A convolution 3 × 3 to widths[0]; then for each further width a convolution 3 × 3 to it,
    max-pooling 2 × 2, norm, ReLU, and as many `ConvPair`s as `pairs` says for it; the maximum over
    the image, a linear layer, and the logits times `scale`, so that training begins gently.

    Source: Page, "How to Train Your ResNet", 2018, after Coleman et al., DAWNBench, 2017.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512),
        pairs: Sequence[int] = (1, 0, 1),
        scale: float = 0.125,
    ) -> None:
        if len(pairs) != len(widths) - 1:
            raise ValueError(
                f"pairs has a number for each width after the first, {len(widths) - 1}, got {pairs}"
            )
        for width in widths:
            positive("widths", width)
        self.stem = conv_norm(in_channels, widths[0], 3)
        stages: list[Module] = []
        for before, width, number in zip(widths, widths[1:], pairs):
            stages.append(_halved(before, width))
            stages += [ConvPair(width) for _ in range(number)]
        self.stages = Sequential(*stages)
        self.linear = Linear(widths[-1], positive("num_classes", num_classes), bias=False)
        self.scale = float(scale)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes); H and W at least 2^stages."""
        maps = self.stages(self.stem(x)).max(axis=(1, 2))
        result: Tensor = self.linear(maps) * self.scale
        return result


def _halved(before: int, after: int) -> Sequential:
    """Convolution, max-pooling 2 × 2, norm, ReLU: pooling comes first, as it is cheapest so."""
    unit = conv_norm(before, after, 3)
    parts = dict(unit.named_children())
    return Sequential({"conv": parts.pop("conv"), "pool": MaxPool2d(2), **parts})


add("resnet9", ResNet9, "Page, 2018, How to Train Your ResNet", (32, 32, 3))
