"""Windows that slide over images: pooling, and the operations that its derivatives need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Array, Node, Primitive, Shape, Typed, make
from glubina.graph.ops.movement import broadcast, pad, reshape
from glubina.graph.ops.movement import slice as slice_


class WindowAttributes(NamedTuple):
    """Window extents, steps and padding, all per spatial axis of [N, *S, C]."""

    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


class ScatterAttributes(NamedTuple):
    """A window's geometry and the spatial extents that it slid over."""

    geometry: WindowAttributes
    spatial: Shape


def pooled_extents(name: str, spatial: Shape, a: WindowAttributes) -> Shape:
    """How many windows fit along each spatial axis; ShapeError where none does."""
    if not len(spatial) == len(a.window) == len(a.stride) == len(a.padding):
        raise ShapeError(f"{name}: a window of {len(a.window)} axes over {len(spatial)}")
    if not spatial or min(spatial) < 1:
        raise ShapeError(f"{name}: nothing lies under the windows of an input {spatial}")
    if min((*a.window, *a.stride)) < 1:
        raise ShapeError(f"{name}: window {a.window} and stride {a.stride} must be at least 1")
    extents = []
    for n, k, s, (low, high) in zip(spatial, a.window, a.stride, a.padding, strict=True):
        if not (0 <= low < k and 0 <= high < k):
            raise ShapeError(f"{name}: padding {(low, high)} must be below the window {k}")
        if n + low + high < k:
            raise ShapeError(f"{name}: the window {a.window} is larger than the input {spatial}")
        extents.append((n + low + high - k) // s + 1)
    return tuple(extents)


def _infer(name: str, x: Node, a: WindowAttributes) -> Shape:
    if len(x.shape) < 3:
        raise ShapeError(f"{name}: needs [N, *spatial, C], got {x.shape}")
    if x.dtype.kind == "b":
        raise DTypeError(f"{name}: booleans are cast to numbers first")
    return (x.shape[0], *pooled_extents(name, x.shape[1:-1], a), x.shape[-1])


def _windows(a: WindowAttributes, x: Array, fill: float) -> Array:
    """[N, *O, C, *window] as a view of a padded copy."""
    widths = [(0, 0), *a.padding, (0, 0)]
    padded = np.pad(x, widths, constant_values=fill)
    axes = tuple(range(1, x.ndim - 1))
    view = np.lib.stride_tricks.sliding_window_view(padded, a.window, axis=axes)
    steps = tuple(np.s_[::s] for s in a.stride)
    return view[(np.s_[:], *steps)]


def _lowest(x: Array) -> float:
    return -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min


def _flat(a: WindowAttributes, x: Array, fill: float) -> Array:
    view = _windows(a, x, fill)
    return view.reshape(*view.shape[: x.ndim], -1)


def _first_largest(a: WindowAttributes, x: Array) -> Array:
    """Where the first largest element stands; the padding never, however low the elements."""
    values = _flat(a, x, _lowest(x))
    inside = _flat(a, np.ones(x.shape, np.bool_), False)
    largest = values.max(axis=-1, keepdims=True)
    found = (values == largest) | (np.isnan(largest) & np.isnan(values))
    return np.asarray((found & inside).argmax(axis=-1), np.int32)


POOL_MAX = Primitive(
    "pool_max",
    "window",
    r"\max_{k} x_{s i + k}",
    lambda sources, a: (_infer("pool_max", sources[0], a), sources[0].dtype),
    lambda a, x: _flat(a, x, _lowest(x)).max(axis=-1),
    lambda y, g: (
        pool_scatter(
            g,
            pool_index(y.sources[0], y.attributes),
            y.attributes,
            y.sources[0].shape[1:-1],
        ),
    ),
)


def pool_max(x: Node, geometry: WindowAttributes) -> Node:
    """The largest element of each window; padding never wins."""
    return make(POOL_MAX, (x,), geometry)


POOL_INDEX = Primitive(
    "pool_index",
    "window",
    r"\mathrm{argmax}_{k}\, x_{s i + k}",
    lambda sources, a: (_infer("pool_index", sources[0], a), np.dtype(np.int32)),
    _first_largest,
    lambda y, g: (None,),
)


def pool_index(x: Node, geometry: WindowAttributes) -> Node:
    """Where in each window its first largest element stands (row-major, int32)."""
    return make(POOL_INDEX, (x,), geometry)


def _targets(a: ScatterAttributes, index: Array) -> tuple[Array, ...]:
    """Per spatial axis: the input position that each window's index means."""
    within = np.unravel_index(index, a.geometry.window)
    positions = []
    for axis, (inside, stride, (low, _)) in enumerate(
        zip(within, a.geometry.stride, a.geometry.padding, strict=True)
    ):
        around = [1] * index.ndim
        around[axis + 1] = -1
        start = np.arange(index.shape[axis + 1]).reshape(around) * stride
        positions.append(start + inside - low)
    return tuple(positions)


def _around(index: Array) -> tuple[Array, Array]:
    batch = np.arange(index.shape[0]).reshape(-1, *[1] * (index.ndim - 1))
    return batch, np.arange(index.shape[-1])


def _gather_value(a: WindowAttributes, x: Array, index: Array) -> Array:
    batch, channel = _around(index)
    spots = _targets(ScatterAttributes(a, x.shape[1:-1]), index)
    clipped = tuple(np.clip(s, 0, n - 1) for s, n in zip(spots, x.shape[1:-1], strict=True))
    return np.asarray(x[(batch, *clipped, channel)])


def _check_index(name: str, x: Node, index: Node, shape: Shape) -> None:
    if index.dtype != np.int32:
        raise DTypeError(f"{name}: the index is int32, got {index.dtype}")
    if index.shape != shape:
        raise ShapeError(f"{name}: index {index.shape} for windows {shape}")


def _gather_infer(sources: tuple[Node, ...], a: WindowAttributes) -> Typed:
    x, index = sources
    shape = _infer("pool_gather", x, a)
    _check_index("pool_gather", x, index, shape)
    return shape, x.dtype


POOL_GATHER = Primitive(
    "pool_gather",
    "window",
    r"x_{s i + k_i}",
    _gather_infer,
    _gather_value,
    lambda y, g: (
        pool_scatter(g, y.sources[1], y.attributes, y.sources[0].shape[1:-1]),
        None,
    ),
)


def pool_gather(x: Node, index: Node, geometry: WindowAttributes) -> Node:
    """The element of each window that its index names."""
    return make(POOL_GATHER, (x, index), geometry)


def _scatter_infer(sources: tuple[Node, ...], a: ScatterAttributes) -> Typed:
    g, index = sources
    _check_index("pool_scatter", g, index, g.shape)
    if g.shape[1:-1] != pooled_extents("pool_scatter", a.spatial, a.geometry):
        raise ShapeError(f"pool_scatter: {g.shape} are not the windows over {a.spatial}")
    return (g.shape[0], *a.spatial, g.shape[-1]), g.dtype


def _scatter_value(a: ScatterAttributes, g: Array, index: Array) -> Array:
    result = np.zeros((g.shape[0], *a.spatial, g.shape[-1]), g.dtype)
    batch, channel = _around(index)
    spots = _targets(a, index)
    clipped = tuple(np.clip(s, 0, n - 1) for s, n in zip(spots, a.spatial, strict=True))
    np.add.at(result, (batch, *clipped, channel), g)
    return result


POOL_SCATTER = Primitive(
    "pool_scatter",
    "window",
    r"\sum_{i: s i + k_i = j} g_i",
    _scatter_infer,
    _scatter_value,
    lambda y, v: (pool_gather(v, y.sources[1], y.attributes.geometry), None),
)


def pool_scatter(g: Node, index: Node, geometry: WindowAttributes, spatial: Shape) -> Node:
    """Add each window's number to the element that its index names (transposed pool_gather)."""
    return make(POOL_SCATTER, (g, index), ScatterAttributes(geometry, spatial))


def _pool_sum_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    x, a = y.sources[0], y.attributes
    spatial = x.shape[1:-1]
    rank = len(spatial)
    tiles = all(n == o * k for n, o, k in zip(spatial, y.shape[1:-1], a.window, strict=True))
    if a.window == a.stride and tiles and not any(map(any, a.padding)):
        spread: list[int] = [x.shape[0]]
        full: list[int] = [x.shape[0]]
        for o, k in zip(y.shape[1:-1], a.window, strict=True):
            spread += [o, 1]
            full += [o, k]
        channels = x.shape[-1]
        stretched = broadcast(reshape(g, (*spread, channels)), (*full, channels))
        return (reshape(stretched, x.shape),)
    low, high, start = [0], [0], [0]
    for n, o, k, s, (before, _) in zip(
        spatial, y.shape[1:-1], a.window, a.stride, a.padding, strict=True
    ):
        low.append(k - 1)
        reach = (o - 1) * s + 1 + k - 1
        high.append(max(n + before - reach, 0) + k - 1)
        start.append(before)
    padded = pad(g, (*low, 0), (*high, 0), (0, *(s - 1 for s in a.stride), 0))
    ones = (1,) * rank
    summed = pool_sum(padded, WindowAttributes(a.window, ones, ((0, 0),) * rank))
    return (slice_(summed, (*start, 0), x.shape, (1,) * (rank + 2)),)


POOL_SUM = Primitive(
    "pool_sum",
    "window",
    r"\sum_{k} x_{s i + k}",
    lambda sources, a: (_infer("pool_sum", sources[0], a), sources[0].dtype),
    lambda a, x: _flat(a, x, 0).sum(axis=-1, dtype=x.dtype),
    _pool_sum_derivative,
)


def pool_sum(x: Node, geometry: WindowAttributes) -> Node:
    """The sum over each window; padding counts as zero."""
    return make(POOL_SUM, (x,), geometry)
