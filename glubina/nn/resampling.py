"""Images of another size by weighted means of neighbours: where to read, and how much of each."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.tensor import Tensor
from glubina.tensor.creation import tensor as held

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
"""How many spatial axes the images of a mode have."""

_CUBIC = -0.75
"""Keys's parameter, as in PyTorch and OpenCV."""


def positions(n: int, m: int, scale: float | None, align_corners: bool) -> Any:
    """Where each of m outputs lies among n inputs (0 is the first one's centre)."""
    places = np.arange(m, dtype=np.float64)
    if align_corners:
        return places * ((n - 1) / (m - 1) if m > 1 else 0.0)
    return (places + 0.5) * (n / m if scale is None else 1 / scale) - 0.5


@lru_cache(maxsize=256)
def taps(
    mode: str, n: int, m: int, scale: float | None, align_corners: bool, dtype: Any
) -> tuple[Tensor, Tensor]:
    """For each output of an axis the inputs that it is made of, and their weights: (m, taps)."""
    at = positions(n, m, scale, align_corners)
    if mode == "bicubic":
        first = np.floor(at)
        whole = first[:, None] + np.arange(-1, 3)
        weights = _cubic(np.abs(at[:, None] - whole))
    else:
        at = np.maximum(at, 0)
        first = np.minimum(np.floor(at), n - 1)
        part = np.clip(at - first, 0, 1)
        whole = np.stack([first, first + 1], 1)
        weights = np.stack([1 - part, part], 1)
    return held(np.clip(whole, 0, n - 1).astype(np.int64)), held(weights.astype(dtype))


def _cubic(distance: Any) -> Any:
    """Keys's cubic convolution kernel (1981) at distances of up to 2."""
    d, a = distance, _CUBIC
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


@lru_cache(maxsize=256)
def nearest_indices(n: int, m: int, scale: float | None, exact: bool) -> Tensor:
    """Of m outputs each one's input among n: ⌊i / scale⌋; exact: ⌊(i + ½) / scale⌋."""
    step = np.float32(n / m if scale is None else 1 / scale)
    places = np.arange(m, dtype=np.float32) + np.float32(0.5 if exact else 0)
    return held(np.minimum(np.floor(places * step), n - 1).astype(np.int64))


@Formula
def mixed(axes: tuple[int, ...], x: Node, *tables: Node) -> Node:
    """Along each axis: the sum of its taps times their weights; tables: taps, weights per axis."""
    for axis, indices, weights in zip(axes, tables[::2], tables[1::2], strict=True):
        x = _mixed(x, axis, indices, weights)
    return x


def _mixed(x: Node, axis: int, indices: Node, weights: Node) -> Node:
    total = None
    m, count = indices.shape
    for tap in range(count):
        column = ops.reshape(ops.slice(indices, (0, tap), (m, 1), (1, 1)), (m,))
        weight = ops.reshape(ops.slice(weights, (0, tap), (m, 1), (1, 1)), (m,))
        part = ops.take(x, column, axis)
        others = tuple(i for i in range(len(x.shape)) if i != axis)
        part = ops.multiply(part, ops.restored(weight, others, part.shape))
        total = part if total is None else ops.add(total, part)
    assert total is not None
    return total


@Formula
def phased(mode: str, factors: tuple[int, ...], x: Node) -> Node:
    """Larger by whole factors: every s-th output has the same weights, so nothing is looked up."""
    for axis, factor in enumerate(factors, start=1):
        if factor > 1:
            x = _phases(x, axis, factor, mode)
    return x


def _cut(x: Node, axis: int, start: int, length: int) -> Node:
    starts, lengths = [0] * len(x.shape), list(x.shape)
    starts[axis], lengths[axis] = start, length
    return ops.slice(x, tuple(starts), tuple(lengths), (1,) * len(x.shape))


def _phases(x: Node, axis: int, factor: int, mode: str) -> Node:
    """The outputs i·s + r for each r apart, then in their order; the edges are repeated."""
    n, reach = x.shape[axis], 2 if mode == "bicubic" else 1
    first, last = _cut(x, axis, 0, 1), _cut(x, axis, n - 1, 1)
    wide = ops.concat([*[first] * reach, x, *[last] * reach], axis)
    parts = []
    for r in range(factor):
        at = (r + 0.5) / factor - 0.5
        low = math.floor(at)
        if mode == "bicubic":
            weights = [float(_cubic(np.abs(at - (low + k)))) for k in range(-1, 3)]
            low -= 1
        else:
            weights = [1 - (at - low), at - low]
        y = None
        for tap, weight in enumerate(weights):
            part = _cut(wide, axis, reach + low + tap, n)
            part = ops.multiply(part, ops.full_like(part, weight))
            y = part if y is None else ops.add(y, part)
        assert y is not None
        parts.append(ops.reshape(y, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])))
    beside = ops.concat(parts, axis + 1)
    return ops.reshape(beside, (*x.shape[:axis], n * factor, *x.shape[axis + 1 :]))
