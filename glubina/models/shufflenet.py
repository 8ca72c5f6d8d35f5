"""ShuffleNetV2: half of the channels pass by, and then they are shuffled."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.heads import draw_for_relu, pooled_classifier
from glubina.models.registry import add
from glubina.nn import MaxPool2d, Module, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import conv_norm
from glubina.nn.checks import positive
from glubina.tensor import Tensor, concat

CHANNELS = {
    0.5: (24, 48, 96, 192, 1024),
    1.0: (24, 116, 232, 464, 1024),
    1.5: (24, 176, 352, 704, 1024),
    2.0: (24, 244, 488, 976, 2048),
}
"""Table 5 of the paper: the channels of the stem, the three stages and the last convolution."""


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """The first channel of each group, then the second of each, ...: (N, H, W, C) to the same."""
    n, h, w, c = x.shape
    if c % groups:
        raise ValueError(f"{c} channels do not make {groups} equal groups")
    parts = x.reshape((n, h, w, groups, c // groups))
    return parts.permute_dims((0, 1, 2, 4, 3)).reshape((n, h, w, c))


def _branch(in_channels: int, channels: int, stride: int) -> Sequential:
    """1 × 1, depthwise 3 × 3 without activation, 1 × 1."""
    return Sequential(
        conv_norm(in_channels, channels, 1),
        conv_norm(channels, channels, 3, stride, groups=channels, activation=False),
        conv_norm(channels, channels, 1),
    )


@register
class ShuffleBlock(Module):
    """Half of the channels as they are, the other half through a branch, then shuffled.

    With stride 2 all channels go through both: the branch, and a depthwise 3 × 3 with 1 × 1.
    (N, H, W, in_channels) to (N, H/stride, W/stride, out_channels). Source: Ma et al., 2018,
    arXiv:1807.11164.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        if (
            stride not in (1, 2)
            or out_channels % 2
            or (stride == 1 and in_channels != out_channels)
        ):
            raise ValueError(
                "a shuffle block has stride 1 and as many channels out as in, or stride 2, and an "
                f"even number of channels out; got {in_channels}, {out_channels}, stride {stride}"
            )
        half = out_channels // 2
        self.half = half
        self.around: Module | None = None
        if stride == 2:
            self.around = Sequential(
                conv_norm(in_channels, in_channels, 3, 2, groups=in_channels, activation=False),
                conv_norm(in_channels, half, 1),
            )
        self.branch = _branch(half if stride == 1 else in_channels, half, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H/stride, W/stride, out_channels)."""
        if self.around is None:
            halves = [x[..., : self.half], self.branch(x[..., self.half :])]
        else:
            halves = [self.around(x), self.branch(x)]
        return channel_shuffle(concat(halves, axis=-1), 2)


@register
class ShuffleNetV2(Module):
    """A convolution, three stages of shuffle blocks, a convolution 1 × 1, one linear layer.

    (N, 224, 224, in_channels) to (N, num_classes). width: 0.5, 1.0 (2,278,604 parameters), 1.5 or
    2.0; or the five numbers of channels themselves. blocks: of each stage.

    Source: Ma et al., 2018, arXiv:1807.11164.
    """

    def __init__(
        self,
        width: float | Sequence[int] = 1.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        blocks: Sequence[int] = (4, 8, 4),
    ) -> None:
        known = isinstance(width, (int, float)) and width in CHANNELS
        if isinstance(width, (int, float)):
            if not known:
                raise ValueError(f"width is {', '.join(map(str, CHANNELS))}, got {width!r}")
            width = CHANNELS[width]
        stem, *wide, last = width
        self.stem = Sequential(conv_norm(in_channels, stem, 3, 2), MaxPool2d(3, 2, 1))
        parts: list[Module] = []
        channels = stem
        for out_channels, number in zip(wide, blocks, strict=True):
            for i in range(positive("blocks", number)):
                parts.append(ShuffleBlock(channels, out_channels, 1 if i else 2))
                channels = out_channels
        self.stages = Sequential(*parts, conv_norm(channels, last, 1))
        self.head = pooled_classifier(last, num_classes)
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.stages(self.stem(x)))
        return result


add("shufflenet-v2", ShuffleNetV2, "Ma et al., 2018, arXiv:1807.11164", (224, 224, 3))
