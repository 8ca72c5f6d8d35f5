"""The Inception block: windows of several sizes side by side."""

from __future__ import annotations

from glubina.nn.activation import ReLU
from glubina.nn.architecture import register
from glubina.nn.blocks.convolutional import conv_norm
from glubina.nn.checks import positive
from glubina.nn.containers import Sequential
from glubina.nn.convolution import Conv2d
from glubina.nn.module import Module
from glubina.nn.pooling import MaxPool2d
from glubina.tensor import Tensor, concat


def _unit(batch_norm: bool, inputs: int, outputs: int, window: int) -> list[Module]:
    """A convolution that keeps the size, and ReLU; with batch normalisation between if wanted."""
    if batch_norm:
        return [conv_norm(inputs, outputs, window)]
    return [Conv2d(inputs, outputs, window, padding=window // 2), ReLU()]


@register
class Inception(Module):
    """Four branches over the same images, their maps side by side: (N, H, W, C) to (N, H, W, C').

    - 1 × 1, `one` maps;
    - 1 × 1, then 3 × 3: `three` maps each;
    - 1 × 1, then 5 × 5: `five` maps each (`five_size` says another window than 5);
    - max-pooling 3 × 3 with stride 1 and padding 'same', then 1 × 1, `pool` maps.

    Each convolution keeps the size and is followed by ReLU (with batch_norm: by batch
    normalisation first, and it has no bias). The default widths give 4 · 64 = 256 maps.
    Source: Szegedy et al., 2014, arXiv:1409.4842.
    """

    def __init__(
        self,
        in_channels: int,
        one: int = 64,
        three: tuple[int, int] = (64, 64),
        five: tuple[int, int] = (64, 64),
        pool: int = 64,
        batch_norm: bool = False,
        five_size: int = 5,
    ) -> None:
        positive("in_channels", in_channels)
        self.out_channels = one + three[1] + five[1] + pool
        norm = batch_norm
        self.one = Sequential(*_unit(norm, in_channels, one, 1))
        self.three = Sequential(*_unit(norm, in_channels, three[0], 1), *_unit(norm, *three, 3))
        self.five = Sequential(
            *_unit(norm, in_channels, five[0], 1), *_unit(norm, *five, five_size)
        )
        self.pool = Sequential(MaxPool2d(3, 1, 1), *_unit(norm, in_channels, pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The branches' maps in the order 1 × 1, 3 × 3, 5 × 5, pooling."""
        return concat([self.one(x), self.three(x), self.five(x), self.pool(x)], axis=-1)
