"""Larger (or smaller) images by repeating the nearest element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import extents, images
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.tensor import Tensor

INDEX = np.dtype(np.int64)


def _nearest_indices(n: int, m: int, scale: float | None) -> list[int]:
    """Of m outputs each one's input among n: ⌊i / scale⌋, where scale is m / n unless given."""
    step = np.float32(n / m if scale is None else 1 / scale)
    return [min(int(np.float32(i) * step), n - 1) for i in range(m)]


@Formula
def _resized(sizes: tuple[int, ...], scales: tuple[float | None, ...], x: Node) -> Node:
    for axis, (m, scale) in enumerate(zip(sizes, scales, strict=True), start=1):
        n = x.shape[axis]
        if m % n == 0 and (scale is None or scale == m // n):
            x = _repeated(x, axis, m // n)
        else:
            x = _chosen(x, axis, _nearest_indices(n, m, scale))
    return x


def _repeated(x: Node, axis: int, times: int) -> Node:
    """Each element so many times, one copy after the other."""
    if times == 1:
        return x
    before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    apart = ops.reshape(x, (*before, n, 1, *after))
    return ops.reshape(
        ops.broadcast(apart, (*before, n, times, *after)), (*before, n * times, *after)
    )


def _chosen(x: Node, axis: int, indices: list[int]) -> Node:
    """The elements at these places of an axis, as slices side by side."""
    parts = []
    for index in indices:
        starts, lengths = [0] * len(x.shape), list(x.shape)
        starts[axis], lengths[axis] = index, 1
        parts.append(ops.slice(x, tuple(starts), tuple(lengths), (1,) * len(x.shape)))
    return ops.concat(parts, axis)


def interpolate(
    x: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
) -> Tensor:
    """Images (N, *spatial, C) of another size: element i takes that at ⌊i · old / new⌋.

    Either `size`, or `scale_factor`, by which the extents are multiplied and rounded down. mode:
    "nearest" is the only one yet.
    """
    if mode != "nearest":
        raise ValueError(f"mode is 'nearest', got {mode!r}")
    rank = min(max(len(x.shape) - 2, 1), 3)
    images(x, rank)
    scales = _scales(size, scale_factor, rank)
    if size is not None:
        sizes = extents("size", size, rank)
    else:
        sizes = tuple(math.floor(n * (s or 1)) for n, s in zip(x.shape[1:-1], scales))
        extents("the new size", sizes, rank)
    return apply(_resized, x, settings=(sizes, scales))


def _scales(size: Any, scale_factor: Any, rank: int) -> tuple[float | None, ...]:
    """The factor of each axis that decides the places; None where the sizes do."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"either size or scale_factor, got {size!r} and {scale_factor!r}")
    if scale_factor is None:
        return (None,) * rank
    single = isinstance(scale_factor, (int, float))
    factors = (scale_factor,) * rank if single else tuple(scale_factor)
    if len(factors) != rank or any(not f > 0 for f in factors):
        raise ValueError(
            f"scale_factor must be a positive number or {rank} of them, got {scale_factor!r}"
        )
    return tuple(float(f) for f in factors)


@register
class Upsample(Module):
    """Images (N, *spatial, C) made larger by repeating elements; see `interpolate`."""

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError(f"either size or scale_factor, got {size!r} and {scale_factor!r}")
        if mode != "nearest":
            raise ValueError(f"mode is 'nearest', got {mode!r}")
        self.size, self.scale_factor, self.mode = size, scale_factor, mode

    def forward(self, x: Tensor) -> Tensor:
        """The larger image."""
        return interpolate(x, self.size, self.scale_factor, self.mode)

    def extra_repr(self) -> str:
        """The size or the factor, and the mode."""
        of = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        return f"{of}, mode={self.mode!r}"
