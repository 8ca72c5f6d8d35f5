"""Pooling: the largest or the mean of each window, channels last."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import images, positive
from glubina.nn.formula import apply, scaled
from glubina.nn.module import Module
from glubina.nn.windows import Windows, gathered, geometry, windows
from glubina.tensor import Tensor

Extents = int | tuple[int, ...]


@Formula
def largest(w: Windows, x: Node) -> Node:
    """The largest of each window."""
    return ops.pool_max(*gathered(x, w))


def _max_pool(x: Tensor, w: Windows, return_indices: bool) -> Any:
    images(x, len(w.window))
    y = apply(largest, x, settings=(w,))
    if not return_indices:
        return y
    from glubina.nn.unpooling import places_of_largest  # which few networks need

    return y, places_of_largest(x, w)


@Formula
def average(w: Windows, count_padding: bool, divisor: int | None, x: Node) -> Node:
    """The sum of each window by its number of elements."""
    spatial = x.shape[1:-1]
    around = geometry(w, spatial)
    total = ops.pool_sum(x, around)
    if divisor is not None:
        return scaled(total, 1 / divisor)
    if count_padding:  # of the padding that was asked for, not of what the last window needs more
        spatial = tuple(n + 2 * p for n, p in zip(spatial, w.padding))
        more = tuple(max(high - p, 0) for (_, high), p in zip(around.padding, w.padding))
        around = around._replace(padding=tuple((0, n) for n in more))
    if not any(map(any, around.padding)):
        return scaled(total, 1 / math.prod(w.window))
    # How many elements lie inside depends on the position alone: one image with one channel.
    image = ops.broadcast(ops.constant(1, x.dtype), (1, *spatial, 1))
    return ops.divide(total, ops.broadcast(ops.pool_sum(image, around), total.shape))


def _avg_pool(x: Tensor, w: Windows, count_padding: bool, divisor: int | None) -> Tensor:
    images(x, len(w.window))
    divisor = None if divisor is None else positive("divisor_override", divisor)
    return apply(average, x, settings=(w, bool(count_padding), divisor))


def max_pool1d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window over L of (N, L, C); see `max_pool2d`."""
    return _max_pool(
        x, windows(1, kernel_size, stride, padding, dilation, ceil_mode), return_indices
    )


def max_pool2d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window over H and W of (N, H, W, C); padding never wins.

    An axis of extent n becomes ⌊(n + 2·padding − dilation·(kernel_size − 1) − 1) / stride⌋ + 1;
    with `ceil_mode` it is rounded up, though every window begins in the image or the padding before
    it. The gradient goes to the first largest element of the window. return_indices: a pair, the
    second of it says where in its image (row by row) each largest element stands: `max_unpool2d`.
    """
    return _max_pool(
        x, windows(2, kernel_size, stride, padding, dilation, ceil_mode), return_indices
    )


def max_pool3d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window over D, H and W of (N, D, H, W, C); see `max_pool2d`."""
    return _max_pool(
        x, windows(3, kernel_size, stride, padding, dilation, ceil_mode), return_indices
    )


def avg_pool1d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window over L of (N, L, C); see `avg_pool2d`."""
    w = windows(1, kernel_size, stride, padding, ceil=ceil_mode)
    return _avg_pool(x, w, count_include_pad, None)


def avg_pool2d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window over H and W of (N, H, W, C).

    count_include_pad: the zeros of the padding count as elements of the mean. ceil_mode: as in
    `max_pool2d`; what the last window has beyond the padding never counts. divisor_override: each
    sum is divided by this number.
    """
    w = windows(2, kernel_size, stride, padding, ceil=ceil_mode)
    return _avg_pool(x, w, count_include_pad, divisor_override)


def avg_pool3d(
    x: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window over D, H and W of (N, D, H, W, C); see `avg_pool2d`."""
    w = windows(3, kernel_size, stride, padding, ceil=ceil_mode)
    return _avg_pool(x, w, count_include_pad, divisor_override)


class _Pool(Module):
    """What the pooling layers share."""

    rank: ClassVar[int]

    def _set(self, w: Windows) -> None:
        self._windows = w
        self.kernel_size, self.stride, self.padding = w.window, w.stride, w.padding
        self.dilation, self.ceil_mode = w.dilation, w.ceil

    def extra_repr(self) -> str:
        """The window, and what is not the default."""
        parts = [f"kernel_size={self.kernel_size}"]
        if self.stride != self.kernel_size:
            parts.append(f"stride={self.stride}")
        if any(self.padding):
            parts.append(f"padding={self.padding}")
        if any(d != 1 for d in self.dilation):
            parts.append(f"dilation={self.dilation}")
        if self.ceil_mode:
            parts.append("ceil_mode=True")
        return ", ".join(parts)


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        dilation: Extents = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self._set(windows(self.rank, kernel_size, stride, padding, dilation, ceil_mode))
        self.return_indices = return_indices

    def forward(self, x: Tensor) -> Any:
        """The largest of each window; with `return_indices` a pair."""
        return _max_pool(x, self._windows, self.return_indices)


class _AvgPool(_Pool):
    divisor_override: int | None = None

    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set(windows(self.rank, kernel_size, stride, padding, ceil=ceil_mode))
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """The mean of each window."""
        return _avg_pool(x, self._windows, self.count_include_pad, self.divisor_override)


class _AvgPoolOfImages(_AvgPool):
    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None = None,
        padding: Extents = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        if divisor_override is not None:
            self.divisor_override = positive("divisor_override", divisor_override)


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
class AvgPool2d(_AvgPoolOfImages):
    """The mean of each window over H and W of (N, H, W, C); see `avg_pool2d`."""

    rank = 2


@register
class AvgPool3d(_AvgPoolOfImages):
    """The mean of each window over D, H and W of (N, D, H, W, C); see `avg_pool2d`."""

    rank = 3
