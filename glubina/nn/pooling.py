"""Pooling: the largest or the mean of each window, channels last."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from glubina.graph import Node, ops
from glubina.graph.ops import Formula, WindowAttributes
from glubina.nn.architecture import register
from glubina.nn.checks import extents, images
from glubina.nn.formula import apply, scaled
from glubina.nn.module import Module
from glubina.tensor import Tensor

Extents = int | tuple[int, ...]


def _geometry(rank: int, kernel_size: Any, stride: Any, padding: Any) -> WindowAttributes:
    window = extents("kernel_size", kernel_size, rank)
    steps = window if stride is None else extents("stride", stride, rank)
    around = extents("padding", padding, rank, 0)
    if any(2 * p > k for p, k in zip(around, window)):
        raise ValueError(f"padding may be at most half of kernel_size: {around} and {window}")
    return WindowAttributes(window, steps, tuple((p, p) for p in around))


def _largest(x: Tensor, geometry: WindowAttributes) -> Tensor:
    images(x, len(geometry.window))
    return apply(lambda node: ops.pool_max(node, geometry), x)


def _mean(x: Tensor, geometry: WindowAttributes, count_include_pad: bool) -> Tensor:
    images(x, len(geometry.window))
    padded = any(sum(p) for p in geometry.padding)
    return apply(_average, x, settings=(geometry, padded and not count_include_pad))


@Formula
def _average(geometry: WindowAttributes, count: bool, x: Node) -> Node:
    """The sum of each window by its number of elements, which `count` says to count."""
    total = ops.pool_sum(x, geometry)
    if not count:
        return scaled(total, 1 / math.prod(geometry.window))
    # How many elements lie inside depends on the position alone: one image with one channel.
    image = (1, *x.shape[1:-1], 1)
    counts = ops.pool_sum(ops.broadcast(ops.constant(1, x.dtype), image), geometry)
    return ops.divide(total, ops.broadcast(counts, total.shape))


def max_pool1d(
    x: Tensor, kernel_size: Extents, stride: Extents | None = None, padding: Extents = 0
) -> Tensor:
    """The largest of each window over L of (N, L, C)."""
    return _largest(x, _geometry(1, kernel_size, stride, padding))


def max_pool2d(
    x: Tensor, kernel_size: Extents, stride: Extents | None = None, padding: Extents = 0
) -> Tensor:
    """The largest of each window over H and W of (N, H, W, C); padding never wins.

    An axis of extent n becomes ⌊(n + 2·padding − kernel_size) / stride⌋ + 1. The gradient goes to
    the first largest element of the window.
    """
    return _largest(x, _geometry(2, kernel_size, stride, padding))


def max_pool3d(
    x: Tensor, kernel_size: Extents, stride: Extents | None = None, padding: Extents = 0
) -> Tensor:
    """The largest of each window over D, H and W of (N, D, H, W, C); see `max_pool2d`."""
    return _largest(x, _geometry(3, kernel_size, stride, padding))


def avg_pool1d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window over L of (N, L, C)."""
    return _mean(x, _geometry(1, kernel_size, stride, padding), count_include_pad)


def avg_pool2d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window over H and W of (N, H, W, C).

    `count_include_pad` tells whether the zeros of the padding count as elements of the mean.
    """
    return _mean(x, _geometry(2, kernel_size, stride, padding), count_include_pad)


def avg_pool3d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window over D, H and W of (N, D, H, W, C); see `avg_pool2d`."""
    return _mean(x, _geometry(3, kernel_size, stride, padding), count_include_pad)


class _Pool(Module):
    """What the pooling layers share."""

    rank: ClassVar[int]

    def __init__(
        self, kernel_size: Extents, stride: Extents | None = None, padding: Extents = 0
    ) -> None:
        self._geometry = _geometry(self.rank, kernel_size, stride, padding)
        self.kernel_size = self._geometry.window
        self.stride = self._geometry.stride
        self.padding = tuple(low for low, _ in self._geometry.padding)

    def extra_repr(self) -> str:
        """The window, and what is not the default."""
        parts = [f"kernel_size={self.kernel_size}"]
        if self.stride != self.kernel_size:
            parts.append(f"stride={self.stride}")
        if any(self.padding):
            parts.append(f"padding={self.padding}")
        return ", ".join(parts)


class _MaxPool(_Pool):
    def forward(self, x: Tensor) -> Tensor:
        """The largest of each window."""
        return _largest(x, self._geometry)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """The mean of each window."""
        return _mean(x, self._geometry, self.count_include_pad)


@register
class MaxPool1d(_MaxPool):
    """The largest of each window over L of (N, L, C); see `max_pool2d`."""

    rank = 1


@register
class MaxPool2d(_MaxPool):
    """The largest of each window over H and W of (N, H, W, C); see `max_pool2d`.

    `stride` is `kernel_size` unless given: windows side by side.
    """

    rank = 2


@register
class MaxPool3d(_MaxPool):
    """The largest of each window over D, H and W of (N, D, H, W, C); see `max_pool2d`."""

    rank = 3


@register
class AvgPool1d(_AvgPool):
    """The mean of each window over L of (N, L, C); see `avg_pool2d`."""

    rank = 1


@register
class AvgPool2d(_AvgPool):
    """The mean of each window over H and W of (N, H, W, C); see `avg_pool2d`."""

    rank = 2


@register
class AvgPool3d(_AvgPool):
    """The mean of each window over D, H and W of (N, D, H, W, C); see `avg_pool2d`."""

    rank = 3
