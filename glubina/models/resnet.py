"""Residual networks, for ImageNet and for CIFAR, in their first and second version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glubina.models.heads import draw_for_relu, imagenet_stem, pooled_classifier
from glubina.models.registry import add
from glubina.nn import BatchNorm2d, Conv2d, Module, ReLU, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import (
    BottleneckBlock,
    PreActivationBlock,
    PreActivationBottleneck,
    ResidualBlock,
    conv_norm,
)
from glubina.nn.checks import positive
from glubina.tensor import Tensor

KINDS: dict[tuple[int, bool], Any] = {
    (1, False): ResidualBlock,
    (1, True): BottleneckBlock,
    (2, False): PreActivationBlock,
    (2, True): PreActivationBottleneck,
}


def _kind(version: int, bottleneck: bool) -> Any:
    if version not in (1, 2):
        raise ValueError(f"version is 1 or 2 (pre-activation), got {version!r}")
    return KINDS[version, bool(bottleneck)]


def _grouped(kind: Any, groups: int, width_per_group: int) -> Any:
    """Bottlenecks whose 3 × 3 convolutions have groups and a width of their own."""
    if kind is not BottleneckBlock:
        raise ValueError(
            "groups and width_per_group are of bottlenecks of version 1: give bottleneck=True and "
            f"version=1, or leave them at 1 and 64 (got {groups!r} and {width_per_group!r})"
        )
    each, number = positive("width_per_group", width_per_group), positive("groups", groups)

    def block(in_channels: int, channels: int, stride: int, shortcut: str) -> BottleneckBlock:
        inner = max(1, channels * each // 64) * number
        return BottleneckBlock(in_channels, channels, stride, shortcut, inner, number)

    return block


def stages(
    kind: Any, in_channels: int, width: int, blocks: Sequence[int], shortcut: str
) -> tuple[list[Sequential], int]:
    """Stages of residual blocks, each after the first with half the size and twice the width.

    Returns the stages and the channels of the last.
    """
    found = []
    channels = in_channels
    for level, number in enumerate(blocks):
        parts = []
        for i in range(positive("blocks", number)):
            stride = 2 if level and not i else 1
            block = kind(channels, width * 2**level, stride, shortcut)
            channels = block.out_channels
            parts.append(block)
        found.append(Sequential(*parts))
    return found, channels


class _ResNet(Module):
    """Stem, stages, in the second version a last normalisation, head."""

    def _assemble(
        self, kind: Any, stem_channels: int, width: int, blocks: Sequence[int], shortcut: str,
        num_classes: int,
    ) -> None:  # fmt: skip
        found, channels = stages(kind, stem_channels, width, blocks, shortcut)
        self.stages = Sequential(*found)
        last = kind in (PreActivationBlock, PreActivationBottleneck)
        self.last = Sequential(BatchNorm2d(channels), ReLU()) if last else None
        self.head = pooled_classifier(channels, num_classes)
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        x = self.stages(self.stem(x))
        result: Tensor = self.head(x if self.last is None else self.last(x))
        return result

    stem: Module


@register
class ResNet(_ResNet):
    """The residual network for large images: (N, 224, 224, in_channels) to (N, num_classes).

    blocks: of each stage; bottleneck: blocks of three convolutions instead of two. The number of
    convolutions names the networks: (2, 2, 2, 2) is ResNet-18, (3, 4, 6, 3) ResNet-34 and, with
    bottlenecks, 50, (3, 4, 23, 3) 101, (3, 8, 36, 3) 152. version: 2 is the pre-activation form.
    width: channels of the first stage.

    groups, width_per_group: of the 3 × 3 convolutions in bottlenecks of version 1, which have
    groups · width_per_group channels for each 64 of the block. groups=32 and width_per_group=4
    make ResNeXt-50 (32 × 4d), 25,028,904 parameters, of ResNet-50; width_per_group=128 makes
    Wide ResNet-50-2, 68,883,240.

    Source: He et al., 2015, arXiv:1512.03385; version 2: He et al., 2016, arXiv:1603.05027;
    groups: Xie et al., 2016, arXiv:1611.05431; wide: Zagoruyko and Komodakis, 2016,
    arXiv:1605.07146.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (3, 4, 6, 3),
        bottleneck: bool = True,
        num_classes: int = 1000,
        in_channels: int = 3,
        version: int = 1,
        width: int = 64,
        groups: int = 1,
        width_per_group: int = 64,
    ) -> None:
        kind = _kind(version, bottleneck)
        if (groups, width_per_group) != (1, 64):
            kind = _grouped(kind, groups, width_per_group)
        self.stem = imagenet_stem(in_channels, width)
        self._assemble(kind, width, width, blocks, "projection", num_classes)


@register
class CifarResNet(_ResNet):
    """The residual network for small images: (N, 32, 32, in_channels) to (N, num_classes).

    A convolution 3 × 3 and three stages of equal numbers of blocks, `width`, 2 · width and
    4 · width wide. depth: the number of layers, 6n + 2 (with bottleneck 9n + 2). shortcut: "pad"
    (no parameters, as in the paper) or "projection". version: 2 is the pre-activation form.

    Source: He et al., 2015, arXiv:1512.03385; version 2: He et al., 2016, arXiv:1603.05027.
    """

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        in_channels: int = 3,
        version: int = 1,
        bottleneck: bool = False,
        shortcut: str = "pad",
        width: int = 16,
    ) -> None:
        kind = _kind(version, bottleneck)
        number = blocks_of_depth(depth, 9 if bottleneck else 6)
        self.stem: Module = conv_norm(in_channels, width, 3)
        if version == 2:  # its first block begins with the normalisation
            self.stem = Conv2d(in_channels, width, 3, padding=1, bias=False)
        self._assemble(kind, width, width, (number,) * 3, shortcut, num_classes)


def blocks_of_depth(depth: int, layers: int) -> int:
    """n of a depth of layers · n + 2."""
    if positive("depth", depth) < layers + 2 or (depth - 2) % layers:
        first = ", ".join(str(layers * n + 2) for n in (1, 2, 3))
        raise ValueError(f"depth is {layers}n + 2 ({first}, ...), got {depth}")
    return (depth - 2) // layers


_V1 = "He et al., 2015, arXiv:1512.03385"
_V2 = "He et al., 2016, arXiv:1603.05027"

for _depth in (20, 32, 44, 56, 110):
    add(f"resnet{_depth}", CifarResNet, _V1, (32, 32, 3), depth=_depth)
for _depth, _bottleneck in ((20, False), (110, False), (164, True)):
    add(
        f"resnet{_depth}-v2", CifarResNet, _V2, (32, 32, 3), depth=_depth, version=2,
        bottleneck=_bottleneck, shortcut="projection" if _bottleneck else "pad",
    )  # fmt: skip
for _depth, _blocks, _bottleneck in (
    (18, (2, 2, 2, 2), False),
    (34, (3, 4, 6, 3), False),
    (50, (3, 4, 6, 3), True),
    (101, (3, 4, 23, 3), True),
    (152, (3, 8, 36, 3), True),
):
    add(f"resnet{_depth}", ResNet, _V1, (224, 224, 3), blocks=_blocks, bottleneck=_bottleneck)
add("resnet50-v2", ResNet, _V2, (224, 224, 3), blocks=(3, 4, 6, 3), bottleneck=True, version=2)
_DEEP = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_RESNEXT, _WIDE = "Xie et al., 2016, arXiv:1611.05431", "Zagoruyko et al., 2016, arXiv:1605.07146"
for _name, _depth, _source, _groups, _each in (
    ("resnext50-32x4d", 50, _RESNEXT, 32, 4),
    ("resnext101-32x8d", 101, _RESNEXT, 32, 8),
    ("wide-resnet50-2", 50, _WIDE, 1, 128),
):
    add(
        _name, ResNet, _source, (224, 224, 3), blocks=_DEEP[_depth], groups=_groups,
        width_per_group=_each,
    )  # fmt: skip
