"""The windows of an image as rows, and rows added back; channels shuffled between groups."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import axis_of, extents, floating, images, positive
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.tensor import Tensor

Extents = int | tuple[int, ...]


class Steps(NamedTuple):
    """A window's geometry, one number per spatial axis; padding: (before, after)."""

    window: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    stride: tuple[int, ...]


def steps(rank: int, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Steps:
    """The arguments, checked."""
    around = tuple((p, p) for p in extents("padding", padding, rank, 0))
    window, spread = (
        extents("kernel_size", kernel_size, rank), extents("dilation", dilation, rank)
    )  # fmt: skip
    return Steps(window, spread, around, extents("stride", stride, rank))


def places(s: Steps, spatial: tuple[int, ...]) -> tuple[int, ...]:
    """How many windows fit along each axis; ShapeError where none does."""
    found = zip(spatial, s.window, s.dilation, s.padding, s.stride, strict=True)
    counts = tuple((n + a + b - d * (k - 1) - 1) // t + 1 for n, k, d, (a, b), t in found)
    if min(counts) < 1:
        raise ShapeError(
            f"the window {s.window} does not fit the input {spatial} with padding {s.padding}"
        )
    return counts


def columns(s: Steps, x: Node) -> Node:
    """(N, *spatial, C) to (N, *places, taps, C)."""
    counts, rank = places(s, x.shape[1:-1]), len(s.window)
    if any(map(any, s.padding)):
        low, high = ((0, *(p[i] for p in s.padding), 0) for i in (0, 1))
        x = ops.pad(x, tuple(low), tuple(high), (0,) * (rank + 2))
    parts = []
    for tap in itertools.product(*map(range, s.window)):
        starts = tuple(i * d for i, d in zip(tap, s.dilation))
        shape = (x.shape[0], *counts, x.shape[-1])
        part = ops.slice(x, (0, *starts, 0), shape, (1, *s.stride, 1))
        parts.append(ops.reshape(part, (*part.shape[:-1], 1, part.shape[-1])))
    return ops.concat(parts, rank + 1)


@Formula
def _unfolded(s: Steps, x: Node) -> Node:
    y = columns(s, x)
    n, *counts, taps, channels = y.shape
    return ops.reshape(y, (n, math.prod(counts), taps * channels))


@Formula
def _folded(s: Steps, spatial: tuple[int, ...], x: Node) -> Node:
    """Each tap's numbers with zeros between them, added where the tap lies."""
    counts, rank, taps = places(s, spatial), len(s.window), math.prod(s.window)
    n, channels = x.shape[0], x.shape[-1] // taps
    apart = ops.reshape(x, (n, *counts, taps, channels))
    whole = tuple(m + a + b for m, (a, b) in zip(spatial, s.padding))
    total = None
    for number, tap in enumerate(itertools.product(*map(range, s.window))):
        starts = (*(0,) * (rank + 1), number, 0)
        part = ops.slice(apart, starts, (n, *counts, 1, channels), (1,) * (rank + 3))
        part = ops.reshape(part, (n, *counts, channels))
        low = tuple(i * d for i, d in zip(tap, s.dilation))
        reach = (a + (m - 1) * t + 1 for a, m, t in zip(low, counts, s.stride))
        high = tuple(w - r for w, r in zip(whole, reach))
        between = (0, *(t - 1 for t in s.stride), 0)
        part = ops.pad(part, (0, *low, 0), (0, *high, 0), between)
        total = part if total is None else ops.add(total, part)
    assert total is not None
    if not any(map(any, s.padding)):
        return total
    start = (0, *(a for a, _ in s.padding), 0)
    return ops.slice(total, start, (n, *spatial, channels), (1,) * (rank + 2))


def unfold(
    x: Tensor, kernel_size: Extents, dilation: Extents = 1, padding: Extents = 0,
    stride: Extents = 1,
) -> Tensor:  # fmt: skip
    """The windows of images (N, H, W, C) as rows: (N, positions, KH · KW · C).

    A row times a convolution's weight, reshaped to (KH · KW · C, out), is that convolution at its
    position ("im2col").
    """
    images(x, 2)
    s = steps(2, kernel_size, dilation, padding, stride)
    return apply(_unfolded, x, settings=(s,))


def fold(
    x: Tensor, output_size: Extents, kernel_size: Extents, dilation: Extents = 1,
    padding: Extents = 0, stride: Extents = 1,
) -> Tensor:  # fmt: skip
    """Rows (N, positions, KH · KW · C) added where their windows lie: (N, H, W, C).

    The transpose of `unfold`, so its derivative; where windows overlap the numbers are summed.
    """
    s, spatial = (
        steps(2, kernel_size, dilation, padding, stride), extents("output_size", output_size, 2)
    )  # fmt: skip
    (rows, columns_), taps = places(s, spatial), s.window[0] * s.window[1]
    shape = floating(x).shape
    if len(shape) != 3 or shape[1] != rows * columns_ or shape[2] % taps:
        raise ShapeError(
            f"fold: expected (N, {rows * columns_}, C · {taps}) for images of {spatial}, got "
            f"{x.shape}"
        )
    return apply(_folded, x, settings=(s, spatial))


class _Folding(Module):
    def _set(self, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> None:
        steps(2, kernel_size, dilation, padding, stride)
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def extra_repr(self) -> str:
        """The arguments."""
        return ", ".join(f"{name}={value}" for name, value in self.config().items())


@register
class Unfold(_Folding):
    """The windows of images as rows; see `unfold`."""

    def __init__(
        self, kernel_size: Extents, dilation: Extents = 1, padding: Extents = 0,
        stride: Extents = 1,
    ) -> None:  # fmt: skip
        self._set(kernel_size, dilation, padding, stride)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, C) to (N, positions, KH · KW · C)."""
        return unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)


@register
class Fold(_Folding):
    """Rows added where their windows lie; see `fold`."""

    def __init__(
        self, output_size: Extents, kernel_size: Extents, dilation: Extents = 1,
        padding: Extents = 0, stride: Extents = 1,
    ) -> None:  # fmt: skip
        self.output_size = extents("output_size", output_size, 2)
        self._set(kernel_size, dilation, padding, stride)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, positions, KH · KW · C) to (N, H, W, C)."""
        return fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)


def channel_shuffle(x: Tensor, groups: int, axis: int = -1) -> Tensor:
    """The channels dealt out anew: c = g · (C/groups) + i becomes i · groups + g.

    axis: where the channels are. Source: Zhang et al., 2017, arXiv:1707.01083 (ShuffleNet).
    """
    count, place = positive("groups", groups), axis_of("channel_shuffle", floating(x), axis)
    if x.shape[place] % count:
        raise ShapeError(f"channel_shuffle: {count} groups do not divide {x.shape[place]} channels")

    def formula(node: Node) -> Node:
        before, after = node.shape[:place], node.shape[place + 1 :]
        apart = ops.reshape(node, (*before, count, node.shape[place] // count, *after))
        order = list(range(len(apart.shape)))
        order[place], order[place + 1] = place + 1, place
        return ops.reshape(ops.transpose(apart, tuple(order)), node.shape)

    return apply(formula, x)


@register
class ChannelShuffle(Module):
    """The channels (last axis) dealt out anew between groups; see `channel_shuffle`."""

    def __init__(self, groups: int) -> None:
        self.groups = positive("groups", groups)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        """The groups."""
        return f"groups={self.groups}"
