"""The convolutional layers and pooling windows that the kernel benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A convolutional layer: images x spatial extents x channels -> filters.

    window, stride, dilation and padding hold for every spatial axis; causal: all zeros before.
    """

    name: str
    images: int
    spatial: tuple[int, ...]
    channels: int
    filters: int
    window: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    causal: bool = False

    @property
    def title(self) -> str:
        """How a table names the layer."""
        sides = "x".join(map(str, self.spatial))
        return f"{self.name} {sides}x{self.channels}->{self.filters}"


@dataclass(frozen=True)
class Pool:
    """A pooling layer over square windows."""

    name: str
    images: int
    side: int
    channels: int
    window: int
    stride: int
    padding: int = 0


LAYERS = (
    Layer("first", 128, (28, 28), 1, 32),
    Layer("second", 128, (26, 26), 32, 64),
    Layer("colour", 64, (32, 32), 3, 16, padding=1),
    Layer("residual", 64, (32, 32), 16, 16, padding=1),
    Layer("residual", 64, (8, 8), 64, 64, padding=1),
    Layer("strided", 64, (32, 32), 16, 32, stride=2, padding=1),
    Layer("deep", 8, (14, 14), 256, 256, padding=1),
    Layer("deepest", 8, (7, 7), 512, 512, padding=1),
    Layer("pointwise", 64, (16, 16), 64, 128, window=1),
    Layer("depthwise", 64, (16, 16), 64, 64, padding=1, groups=64),
    Layer("one image", 1, (56, 56), 64, 64, padding=1),
)

TILES = (
    Layer("same", 64, (16, 16), 32, 32, padding=1),
    Layer("same", 64, (16, 16), 24, 24, padding=1),
    Layer("same", 64, (8, 8), 128, 128, padding=1),
    Layer("same", 64, (16, 16), 128, 128, padding=1),
    Layer("odd", 64, (9, 9), 40, 40, padding=1),
    Layer("small", 64, (6, 6), 64, 64, padding=1),
    Layer("small", 64, (2, 2), 64, 64, padding=1),
    Layer("five", 64, (14, 14), 32, 32, window=5),
    Layer("sequence", 64, (128,), 64, 64, padding=1),
    Layer("one image", 1, (28, 28), 128, 128, padding=1),
    Layer("one image", 1, (14, 14), 256, 256, padding=1),
    Layer("one image", 1, (7, 7), 512, 512, padding=1),
    Layer("one image", 1, (8, 8), 64, 64, padding=1),
)

AWKWARD = (
    Layer("lenet", 64, (28, 28), 1, 6, window=5, padding=2),
    Layer("lenet", 64, (14, 14), 6, 16, window=5),
    Layer("lenet", 64, (5, 5), 16, 120, window=5),
    Layer("alexnet", 4, (227, 227), 3, 64, window=11, stride=4),
    Layer("stem", 4, (224, 224), 3, 64, window=7, stride=2, padding=3),
    Layer("narrow", 64, (32, 32), 3, 32, padding=1),
    Layer("narrow", 16, (64, 64), 32, 1, padding=1),
    Layer("narrow", 16, (64, 64), 32, 3, padding=1),
    Layer("narrow", 16, (64, 64), 16, 10, padding=1),
    Layer("head", 16, (64, 64), 64, 4, window=1),
    Layer("tiny", 32, (28, 28), 4, 4, padding=1),
    Layer("shortcut", 32, (32, 32), 32, 64, window=1, stride=2),
    Layer("strided", 32, (16, 16), 64, 128, stride=2, padding=1),
    Layer("dilated", 16, (32, 32), 32, 32, padding=2, dilation=2),
    Layer("grouped", 16, (28, 28), 128, 128, padding=1, groups=32),
    Layer("grouped", 16, (28, 28), 128, 128, padding=1, groups=4),
    Layer("depthwise", 16, (56, 56), 96, 96, window=5, padding=2, groups=96),
    Layer("depthwise", 16, (56, 56), 96, 96, stride=2, padding=1, groups=96),
    Layer("pointwise", 16, (28, 28), 128, 64, window=1),
    Layer("small", 32, (4, 4), 256, 256, padding=1),
    Layer("small", 32, (2, 2), 256, 256, padding=1),
    Layer("one image", 1, (7, 7), 512, 512, padding=1),
    Layer("one image", 1, (28, 28), 1, 32),
    Layer("one image", 1, (14, 14), 256, 64, window=1),
    Layer("wave", 8, (2000,), 64, 64, window=2, dilation=64, causal=True),
    Layer("wave", 8, (2000,), 1, 32, window=16, padding=8),
    Layer("volume", 4, (16, 16, 16), 8, 16, padding=1),
)

POOLS = (
    Pool("pool", 128, 24, 64, 2, 2),
    Pool("pool", 64, 28, 6, 2, 2),
    Pool("pool", 16, 112, 64, 3, 2, padding=1),
    Pool("global", 64, 8, 256, 8, 8),
)
