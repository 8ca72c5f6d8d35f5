"""Layers that change the shape, or nothing."""

from __future__ import annotations

import math

from glubina.graph import Node, ShapeError, ops
from glubina.nn.architecture import register
from glubina.nn.checks import axis_of, images, positive
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.tensor import Tensor


def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from `start_axis` to `end_axis` made one, in row-major order."""
    first, last = axis_of("flatten", x, start_axis), axis_of("flatten", x, end_axis)
    merged = math.prod(x.shape[first : last + 1])
    shape = (*x.shape[:first], merged, *x.shape[last + 1 :])
    return apply(lambda node: ops.reshape(node, shape), x)


@register
class Flatten(Module):
    """(N, a, b, ...) to (N, a·b·...): the axes from `start_axis` to `end_axis` made one.

    Images lie channels last, so the order of the features is height, width, channel.
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis = start_axis
        self.end_axis = end_axis

    def forward(self, x: Tensor) -> Tensor:
        """The same elements with fewer axes."""
        return flatten(x, self.start_axis, self.end_axis)


@register
class Identity(Module):
    """Gives back its input: a place holder for a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """The input itself."""
        return x


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """(N, H, W, C·r²) to (N, H·r, W·r, C): channels become pixels (Shi et al., 2016).

    Channel c·r² + i·r + j becomes channel c of the pixel (i, j) of its block, as in PyTorch.
    """
    r = positive("upscale_factor", upscale_factor)
    images(x, 2)
    n, h, w, channels = x.shape
    if channels % (r * r):
        raise ShapeError(
            f"pixel_shuffle by {r} needs a multiple of {r * r} channels, got {x.shape}"
        )

    def formula(node: Node) -> Node:
        apart = ops.reshape(node, (n, h, w, channels // (r * r), r, r))
        return ops.reshape(
            ops.transpose(apart, (0, 1, 4, 2, 5, 3)), (n, h * r, w * r, channels // (r * r))
        )

    return apply(formula, x)


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """(N, H·r, W·r, C) to (N, H, W, C·r²): the reverse of `pixel_shuffle`."""
    r = positive("downscale_factor", downscale_factor)
    images(x, 2)
    n, h, w, channels = x.shape
    if h % r or w % r:
        raise ShapeError(f"pixel_unshuffle by {r} needs sides that {r} divides, got {x.shape}")

    def formula(node: Node) -> Node:
        apart = ops.reshape(node, (n, h // r, r, w // r, r, channels))
        return ops.reshape(
            ops.transpose(apart, (0, 1, 3, 5, 2, 4)), (n, h // r, w // r, channels * r * r)
        )

    return apply(formula, x)


@register
class Unflatten(Module):
    """One axis made several again: (N, 12) with axis 1 and (3, 4) gives (N, 3, 4)."""

    def __init__(self, axis: int, unflattened_size: tuple[int, ...]) -> None:
        self.axis = axis
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        """The same elements with more axes."""
        place = axis_of("unflatten", x, self.axis)
        if math.prod(self.unflattened_size) != x.shape[place]:
            raise ShapeError(
                f"unflatten: axis {self.axis} of {x.shape} cannot be made {self.unflattened_size}"
            )
        shape = (*x.shape[:place], *self.unflattened_size, *x.shape[place + 1 :])
        return apply(lambda node: ops.reshape(node, shape), x)

    def extra_repr(self) -> str:
        """The axis and its new extents."""
        return f"axis={self.axis}, unflattened_size={self.unflattened_size}"


@register
class PixelShuffle(Module):
    """(N, H, W, C·r²) to (N, H·r, W·r, C); see `pixel_shuffle`."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = positive("upscale_factor", upscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        """The larger image with fewer channels."""
        return pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


@register
class PixelUnshuffle(Module):
    """(N, H·r, W·r, C) to (N, H, W, C·r²); see `pixel_unshuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = positive("downscale_factor", downscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        """The smaller image with more channels."""
        return pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"
