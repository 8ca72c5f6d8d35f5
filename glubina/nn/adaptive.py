"""Pooling to a given number of positions, and over all of them at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from glubina.graph import Node, ops
from glubina.graph.ops import Formula, WindowAttributes
from glubina.nn.architecture import register
from glubina.nn.checks import images
from glubina.nn.formula import apply, scaled
from glubina.nn.module import Module
from glubina.tensor import Tensor

Sizes = tuple[int | None, ...]


def _sizes(output_size: Any, rank: int) -> Sizes:
    """One number per spatial axis; None keeps the axis as it is."""
    single = output_size is None or isinstance(output_size, int)
    sizes = (output_size,) * rank if single else tuple(output_size)
    if len(sizes) != rank or any(n is not None and (int(n) != n or n < 1) for n in sizes):
        raise ValueError(
            f"output_size must be a whole number of at least 1 or None, or {rank} of them, "
            f"got {output_size!r}"
        )
    return tuple(None if n is None else int(n) for n in sizes)


@Formula
def _pooled(sizes: tuple[int, ...], largest: bool, x: Node) -> Node:
    """Windows from ⌊i n/m⌋ to ⌈(i + 1) n/m⌉ along an axis of n, for m outputs."""
    spatial = x.shape[1:-1]
    if set(sizes) == {1}:
        return _global(x, largest)
    if all(n % m == 0 for n, m in zip(spatial, sizes, strict=True)):
        window = tuple(n // m for n, m in zip(spatial, sizes))
        geometry = WindowAttributes(window, window, ((0, 0),) * len(window))
        if largest:
            return ops.pool_max(x, geometry)
        return scaled(ops.pool_sum(x, geometry), 1 / math.prod(window))
    for axis, (n, m) in enumerate(zip(spatial, sizes), start=1):
        if n != m:
            x = _along(x, axis, m, ops.max if largest else ops.mean)
    return x


def _global(x: Node, largest: bool) -> Node:
    axes = tuple(range(1, len(x.shape) - 1))
    y = ops.max(x, axes) if largest else ops.mean(x, axes)
    return ops.reshape(y, (x.shape[0], *(1,) * len(axes), x.shape[-1]))


def _along(x: Node, axis: int, count: int, reduce: Callable[[Node, tuple[int, ...]], Node]) -> Node:
    """One axis alone: windows are boxes, so the axes can be done one after the other."""
    extent = x.shape[axis]
    parts = []
    for i in range(count):
        first, last = i * extent // count, -(-(i + 1) * extent // count)
        starts, lengths = [0] * len(x.shape), list(x.shape)
        starts[axis], lengths[axis] = first, last - first
        part = ops.slice(x, tuple(starts), tuple(lengths), (1,) * len(x.shape))
        lengths[axis] = 1
        parts.append(ops.reshape(reduce(part, (axis,)), tuple(lengths)))
    return ops.concat(parts, axis)


def adaptive_pool(x: Tensor, output_size: Any, rank: int, largest: bool) -> Tensor:
    """To `output_size` windows along each spatial axis; None keeps an axis."""
    images(x, rank)
    sizes = _sizes(output_size, rank)
    whole = tuple(n if m is None else m for n, m in zip(x.shape[1:-1], sizes, strict=True))
    return apply(_pooled, x, settings=(whole, largest))


def adaptive_avg_pool1d(x: Tensor, output_size: int | None) -> Tensor:
    """The mean of windows of (N, L, C) so that L becomes `output_size`."""
    return adaptive_pool(x, output_size, 1, largest=False)


def adaptive_avg_pool2d(x: Tensor, output_size: int | Sizes | None) -> Tensor:
    """The mean of windows of (N, H, W, C) so that H and W become `output_size`.

    Output i of m looks at the elements from ⌊i n/m⌋ to before ⌈(i + 1) n/m⌉ of an axis of extent
    n; None keeps an axis as it is.
    """
    return adaptive_pool(x, output_size, 2, largest=False)


def adaptive_avg_pool3d(x: Tensor, output_size: int | Sizes | None) -> Tensor:
    """The mean of windows of (N, D, H, W, C); see `adaptive_avg_pool2d`."""
    return adaptive_pool(x, output_size, 3, largest=False)


def adaptive_max_pool1d(x: Tensor, output_size: int | None) -> Tensor:
    """The largest of windows of (N, L, C) so that L becomes `output_size`."""
    return adaptive_pool(x, output_size, 1, largest=True)


def adaptive_max_pool2d(x: Tensor, output_size: int | Sizes | None) -> Tensor:
    """The largest of windows of (N, H, W, C); the windows are those of `adaptive_avg_pool2d`."""
    return adaptive_pool(x, output_size, 2, largest=True)


def adaptive_max_pool3d(x: Tensor, output_size: int | Sizes | None) -> Tensor:
    """The largest of windows of (N, D, H, W, C); see `adaptive_avg_pool2d`."""
    return adaptive_pool(x, output_size, 3, largest=True)


class _Adaptive(Module):
    """What the layers share."""

    rank: ClassVar[int]
    largest: ClassVar[bool] = False

    def __init__(self, output_size: int | Sizes | None) -> None:
        _sizes(output_size, self.rank)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, *spatial, C) to (N, *output_size, C)."""
        return adaptive_pool(x, self.output_size, self.rank, self.largest)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


@register
class AdaptiveAvgPool1d(_Adaptive):
    """The mean of windows of (N, L, C) so that L becomes `output_size`."""

    rank = 1


@register
class AdaptiveAvgPool2d(_Adaptive):
    """The mean of windows of (N, H, W, C) so that H and W become `output_size`.

    `AdaptiveAvgPool2d(1)` is the mean over the whole image ("global average pooling", Lin et al.,
    2013, arXiv:1312.4400). See `adaptive_avg_pool2d` for the windows.
    """

    rank = 2


@register
class AdaptiveAvgPool3d(_Adaptive):
    """The mean of windows of (N, D, H, W, C) so that D, H and W become `output_size`."""

    rank = 3


@register
class AdaptiveMaxPool1d(_Adaptive):
    """The largest of windows of (N, L, C) so that L becomes `output_size`."""

    rank, largest = 1, True


@register
class AdaptiveMaxPool2d(_Adaptive):
    """The largest of windows of (N, H, W, C) so that H and W become `output_size`."""

    rank, largest = 2, True


@register
class AdaptiveMaxPool3d(_Adaptive):
    """The largest of windows of (N, D, H, W, C) so that D, H and W become `output_size`."""

    rank, largest = 3, True
