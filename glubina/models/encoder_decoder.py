"""Fully convolutional networks from images to images: encoder-decoder and U-Net."""

from __future__ import annotations

from glubina.models.heads import draw_for_relu
from glubina.models.registry import add
from glubina.nn import Conv2d, ConvTranspose2d, MaxPool2d, Module, ModuleList, ReLU, Sequential
from glubina.nn.architecture import register
from glubina.nn.blocks import conv_norm
from glubina.nn.checks import DOUBLED, images, positive
from glubina.tensor import Tensor, concat


def _check_sides(network: Module, x: Tensor, depth: int) -> None:
    images(x, 2)
    if x.shape[1] % 2**depth or x.shape[2] % 2**depth:
        raise ValueError(
            f"{type(network).__name__} halves the image {depth} times: both sides must be "
            f"multiples of {2**depth}, got {x.shape[1]} × {x.shape[2]}"
        )


@register
class EncoderDecoder(Module):
    """Convolutions that halve the image, transposed ones that bring it back, `depth` of each.

    (N, H, W, in_channels) to (N, H, W, num_classes), logits for each pixel (or, as an
    autoencoder, pixels). H and W are multiples of 2^depth. width: channels of the first
    convolution; each next one has twice as many.

    Source: Long, Shelhamer and Darrell, 2014, arXiv:1411.4038; Noh et al., 2015,
    arXiv:1505.04366.
    """

    def __init__(
        self, num_classes: int = 21, in_channels: int = 3, width: int = 32, depth: int = 3
    ) -> None:
        self.depth = positive("depth", depth, DOUBLED)
        wide = [width * 2**i for i in range(depth)]
        encoder: list[Module] = []
        decoder: list[Module] = []
        for inputs, outputs in zip([in_channels, *wide], wide):
            encoder += [Conv2d(inputs, outputs, 3, stride=2, padding=1), ReLU()]
        for inputs, outputs in zip(wide[::-1], [*wide[-2::-1], num_classes]):
            decoder += [ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), ReLU()]
        self.encoder = Sequential(*encoder)
        self.decoder = Sequential(*decoder[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, H, W, num_classes)."""
        _check_sides(self, x, self.depth)
        result: Tensor = self.decoder(self.encoder(x))
        return result


def _double(inputs: int, outputs: int) -> Sequential:
    return Sequential(conv_norm(inputs, outputs, 3), conv_norm(outputs, outputs, 3))


@register
class UNet(Module):
    """An encoder-decoder whose halves are joined at every size: segmentation of images.

    (N, H, W, in_channels) to logits (N, H, W, num_classes); H and W are multiples of 2^depth. At
    each size two convolutions 3 × 3; max-pooling on the way down, transposed convolutions 2 × 2 on
    the way up, after which the maps of the way down stand beside the others. `width` channels at
    the full size, twice as many at each next. With batch normalisation and padding, which the
    paper has not: the result is as large as the image. 31 million parameters with width 64.

    Source: Ronneberger, Fischer and Brox, 2015, arXiv:1505.04597.
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 1, width: int = 64, depth: int = 4
    ) -> None:
        self.depth = positive("depth", depth, DOUBLED)
        wide = [width * 2**i for i in range(depth + 1)]
        self.down = ModuleList([_double(i, o) for i, o in zip([in_channels, *wide], wide)])
        self.pool = MaxPool2d(2)
        steps = list(zip(wide[:0:-1], wide[-2::-1]))
        self.up = ModuleList([ConvTranspose2d(i, o, 2, stride=2) for i, o in steps])
        self.joined = ModuleList([_double(2 * o, o) for _, o in steps])
        self.head = Conv2d(width, num_classes, 1)
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, H, W, num_classes)."""
        _check_sides(self, x, self.depth)
        kept: list[Tensor] = []
        for level, convs in enumerate(self.down):
            x = convs(self.pool(x) if level else x)
            kept.append(x)
        for up, joined, other in zip(self.up, self.joined, kept[-2::-1], strict=True):
            x = joined(concat([other, up(x)], axis=-1))
        result: Tensor = self.head(x)
        return result


add("encoder-decoder", EncoderDecoder, "Long et al., 2014, arXiv:1411.4038", (128, 128, 3))
_UNET = "Ronneberger et al., 2015, arXiv:1505.04597"
add("unet", UNet, _UNET, (256, 256, 1))
add("unet-small", UNet, _UNET, (64, 64, 1), width=8, depth=3)
