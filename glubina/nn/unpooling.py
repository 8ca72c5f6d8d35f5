"""Where max-pooling found its elements, and the way back: each put where it was found."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import extents, images, whole_numbers
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.windows import Windows, gathered, windows
from glubina.tensor import Tensor

INT = np.dtype(np.int64)
Extents = int | tuple[int, ...]


@Formula
def _places(w: Windows, x: Node) -> Node:
    """Of each window's first largest element: its number in the image, row by row."""
    spatial = x.shape[1:-1]
    within = ops.cast(ops.pool_index(*gathered(x, w)), INT)
    place = ops.full_like(within, 0)
    for axis, n in enumerate(spatial):
        after = math.prod(w.window[axis + 1 :])
        tap = ops.floor_divide(within, ops.full_like(within, after))
        tap = ops.remainder(tap, ops.full_like(within, w.window[axis]))
        window = ops.iota(within.shape, axis + 1, INT)
        start = _linear(window, w.stride[axis], -w.padding[axis])
        spot = ops.add(start, _linear(tap, w.dilation[axis], 0))
        place = ops.add(_linear(place, n, 0), spot)
    return place


def _linear(x: Node, factor: int, more: int) -> Node:
    return ops.add(ops.multiply(x, ops.full_like(x, factor)), ops.full_like(x, more))


def places_of_largest(x: Tensor, w: Windows) -> Tensor:
    """For each window, which element of its image (counted row by row) is the first largest."""
    return apply(_places, x.detach(), settings=(w,))


@Formula
def _unpooled(spatial: tuple[int, ...], x: Node, places: Node) -> Node:
    """Zeros, and each element at its place; where several meet, their mean."""
    n, channels, positions = x.shape[0], x.shape[-1], math.prod(spatial)
    whole = ops.cast(places, INT)
    image = _linear(ops.iota(x.shape, 0, INT), positions, 0)
    spot = _linear(ops.add(image, whole), channels, 0)
    spot = ops.reshape(ops.add(spot, ops.iota(x.shape, len(x.shape) - 1, INT)), (x.size,))
    flat = (n * positions * channels,)
    total = ops.scatter_add(spot, ops.reshape(x, (x.size,)), flat, 0)
    one = ops.broadcast(ops.constant(1, x.dtype), (x.size,))
    met = ops.scatter_add(spot, one, flat, 0)
    mean = ops.divide(total, ops.maximum(met, ops.full_like(met, 1)))
    return ops.reshape(mean, (n, *spatial, channels))


def _max_unpool(x: Tensor, indices: Tensor, w: Windows, output_size: Any) -> Tensor:
    rank = len(w.window)
    images(x, rank)
    whole_numbers(indices)
    if indices.shape != x.shape:
        raise ShapeError(
            f"expected indices of the input's shape {x.shape}, got {indices.shape}: those that "
            "max-pooling returned"
        )
    found = zip(x.shape[1:-1], w.window, w.stride, w.padding, strict=True)
    usual = tuple((n - 1) * s - 2 * p + k for n, k, s, p in found)
    spatial = usual if output_size is None else _size(output_size, rank, usual, w.stride)
    return apply(_unpooled, x, indices, settings=(spatial,))


def _size(given: Any, rank: int, usual: tuple[int, ...], stride: tuple[int, ...]) -> Any:
    """The spatial extents that were asked for; a whole shape is taken too."""
    numbers = given if isinstance(given, int) else tuple(given)[1 if len(given) > rank else 0 :]
    size = extents("output_size", numbers if isinstance(numbers, int) else numbers[:rank], rank)
    if any(abs(n - m) >= s for n, m, s in zip(size, usual, stride)):
        raise ValueError(
            f"output_size must be less than stride {stride} away from {usual}, got {given!r}"
        )
    return size


def max_unpool1d(
    x: Tensor, indices: Tensor, kernel_size: Extents, stride: Extents | None = None,
    padding: Extents = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """(N, L', C) to (N, L, C); see `max_unpool2d`."""
    return _max_unpool(x, indices, windows(1, kernel_size, stride, padding), output_size)


def max_unpool2d(
    x: Tensor, indices: Tensor, kernel_size: Extents, stride: Extents | None = None,
    padding: Extents = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """(N, H', W', C) to (N, H, W, C): zeros, and each element where max-pooling found it.

    indices: what `max_pool2d(..., return_indices=True)` gave. An axis of n becomes
    (n − 1)·stride − 2·padding + kernel_size, or what `output_size` says (several extents may have
    been pooled to the same). Where windows overlapped and several elements meet: their mean.
    Source: Zeiler et al., 2011, "Adaptive deconvolutional networks".
    """
    return _max_unpool(x, indices, windows(2, kernel_size, stride, padding), output_size)


def max_unpool3d(
    x: Tensor, indices: Tensor, kernel_size: Extents, stride: Extents | None = None,
    padding: Extents = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """(N, D', H', W', C) to (N, D, H, W, C); see `max_unpool2d`."""
    return _max_unpool(x, indices, windows(3, kernel_size, stride, padding), output_size)


class _MaxUnpool(Module):
    rank: ClassVar[int]

    def __init__(
        self, kernel_size: Extents, stride: Extents | None = None, padding: Extents = 0
    ) -> None:
        self._windows = windows(self.rank, kernel_size, stride, padding)
        self.kernel_size, self.stride = self._windows.window, self._windows.stride
        self.padding = self._windows.padding

    def forward(self, x: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Zeros, and each element where it was found."""
        return _max_unpool(x, indices, self._windows, output_size)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@register
class MaxUnpool1d(_MaxUnpool):
    """The way back from `MaxPool1d(..., return_indices=True)`; see `max_unpool2d`."""

    rank = 1


@register
class MaxUnpool2d(_MaxUnpool):
    """The way back from `MaxPool2d(..., return_indices=True)`; see `max_unpool2d`."""

    rank = 2


@register
class MaxUnpool3d(_MaxUnpool):
    """The way back from `MaxPool3d(..., return_indices=True)`; see `max_unpool2d`."""

    rank = 3
