"""What tests draw from: shapes, arrays, geometries of windows, ranges of axes.

`numbers` are drawn smooth (apart from each other and from zero), so that derivatives can be
compared with differences; `awkward` gives the others: NaN, infinities, both zeros, the largest
and the smallest numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glubina.graph import ops

Array = NDArray[Any]
Draw = Callable[..., Any]

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
I32, I64 = np.dtype(np.int32), np.dtype(np.int64)
U8, U32, U64 = np.dtype(np.uint8), np.dtype(np.uint32), np.dtype(np.uint64)
BOOL = np.dtype(np.bool_)


def steady(examples: int) -> settings:
    """The same examples in every run, as many as said, however long one takes."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# -- shapes and arrays --------------------------------------------------------------------------


def shapes(
    min_rank: int = 0, max_rank: int = 4, min_extent: int = 1, max_extent: int = 5
) -> st.SearchStrategy[tuple[int, ...]]:
    """Small shapes; `min_extent=0` brings empty ones."""
    extents = st.integers(min_extent, max_extent)
    return st.lists(extents, min_size=min_rank, max_size=max_rank).map(tuple)


def lengths(longest: int = 40_000) -> st.SearchStrategy[int]:
    """Extents of every size, many of them at the ends of vectors, of steps and of blocks."""
    near = st.sampled_from([-48, -1, 0, 1, 8, 16, 24, 48])
    steps = st.sampled_from([8, 16, 24, 48])
    return st.one_of(
        st.integers(1, longest),
        st.builds(lambda n, step: n * step, st.integers(1, longest // 48), steps),
        st.builds(lambda n, off: 4096 * n + off, st.integers(1, longest // 4096), near),
    )


def generators() -> st.SearchStrategy[np.random.Generator]:
    """A source of random numbers: quick where an array's elements need no shrinking."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def numbers(
    draw: Draw, shape: tuple[int, ...], dtype: np.dtype[Any], low: float = -2, high: float = 2
) -> Array:
    """Numbers from [low, high]; floating ones lie apart from each other and from zero."""
    random = draw(generators())
    size = math.prod(shape)
    if dtype.kind == "b":
        return np.asarray(random.random(shape) < 0.5)
    if dtype.kind in "iu":
        low = max(low, 0) if dtype.kind == "u" else low
        return np.asarray(random.integers(math.ceil(low), int(high), shape, endpoint=True), dtype)
    places = (np.arange(size) + 0.5 + random.uniform(-0.2, 0.2, size)) / max(size, 1)
    values = low + (high - low) * random.permutation(places)
    values = np.where(np.abs(values) < 0.01, values + 0.02, values)
    return values.reshape(shape).astype(dtype)


@st.composite
def awkward(draw: Draw, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Floating numbers of all magnitudes: NaN, infinities, zeros of both signs, subnormals."""
    random, info = draw(generators()), np.finfo(dtype)
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, info.max, -info.max, info.tiny]
    special += [info.smallest_subnormal, -info.smallest_subnormal, info.eps, 88.8, -103.9, 0.5]
    usual = random.standard_normal(shape) * 10.0 ** random.integers(-6, 7, shape)
    picked = random.choice(np.array(special), shape)
    return np.asarray(np.where(random.random(shape) < 0.5, usual, picked)).astype(dtype)


# -- geometries ---------------------------------------------------------------------------------


@st.composite
def conv_geometries(
    draw: Draw, rank: int, plain: bool = False
) -> tuple[ops.ConvAttributes, tuple[int, ...], tuple[int, ...]]:
    """(geometry, spatial extents, window): strides, crops, dilations of both sides, groups."""
    spatial, window, padding, stride, dilation, spread = [], [], [], [], [], []
    for _ in range(rank):
        n, k = draw(st.integers(1, 6)), draw(st.integers(1, 3))
        s, d, e = (1, 1, 1) if plain else [draw(st.integers(1, top)) for top in (3, 2, 3)]
        low, high = draw(st.integers(-2, 3)), draw(st.integers(-2, 3))
        reach = (n - 1) * e + 1 + low + high - ((k - 1) * d + 1)
        spatial.append(n)
        window.append(k)
        padding.append((low, high + max(-reach, 0)))
        stride.append(s)
        dilation.append(d)
        spread.append(e)
    groups = 1 if plain else draw(st.sampled_from((1, 1, 2, 3)))
    geometry = ops.ConvAttributes(
        tuple(stride), tuple(padding), tuple(dilation), tuple(spread), groups
    )
    return geometry, tuple(spatial), tuple(window)


@st.composite
def pool_geometries(draw: Draw, rank: int) -> tuple[ops.WindowAttributes, tuple[int, ...]]:
    """(geometry, spatial extents): windows that overlap, leave gaps, and stand in the padding."""
    spatial, window, stride, padding = [], [], [], []
    for _ in range(rank):
        k, s = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        low, high = draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))
        spatial.append(max(1, k - low - high) + draw(st.integers(0, 4)))
        window.append(k)
        stride.append(s)
        padding.append((low, high))
    return ops.WindowAttributes(tuple(window), tuple(stride), tuple(padding)), tuple(spatial)


@st.composite
def factorised(draw: Draw, size: int) -> tuple[int, ...]:
    """A shape with this many elements."""
    if size == 0:
        return (*draw(shapes(0, 2)), 0)
    shape: list[int] = []
    while size > 1 and len(shape) < 4:
        divisors = [d for d in range(1, size + 1) if size % d == 0]
        shape.append(draw(st.sampled_from(divisors)))
        size //= shape[-1]
    return (*shape, size) if size > 1 or draw(st.booleans()) else tuple(shape)


@st.composite
def subsets(draw: Draw, rank: int) -> tuple[int, ...]:
    """At least one axis, ascending."""
    return tuple(sorted(draw(st.sets(st.integers(0, rank - 1), min_size=1, max_size=rank))))


@st.composite
def ranges(draw: Draw, extent: int, empty: bool = False) -> tuple[int, int, int]:
    """(start, length, step) inside an axis; steps go both ways."""
    if empty and draw(st.booleans()):
        return 0, 0, draw(st.sampled_from((1, 2, -1)))
    start, step = draw(st.integers(0, extent - 1)), draw(st.sampled_from((1, 1, 2, 3, -1, -2)))
    most = (extent - 1 - start) // step + 1 if step > 0 else start // -step + 1
    return start, draw(st.integers(1, most)), step
