"""Pooling and scatters: overlapping and padded windows, many channels and few."""

from __future__ import annotations

import math

import numpy as np
import pytest
from compiled import Compiled
from kernel_runs import Status, check, run

from glubina.codegen.lowering import lower
from glubina.codegen.target import host
from glubina.graph import Node, interpret, ops, topological
from glubina.schedule.kernel import Kernel

F32, I32, I64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)
Geometry = ops.WindowAttributes

GEOMETRIES = [
    Geometry((2, 2), (2, 2), ((0, 0), (0, 0))),
    Geometry((3, 3), (2, 1), ((1, 1), (0, 2))),
    Geometry((5, 5), (1, 1), ((2, 2), (0, 0))),
    Geometry((2, 3), (3, 4), ((0, 1), (1, 0))),
]


def kernel_of(kind: str, anchors: tuple[Node, ...], *outputs: Node) -> Kernel:
    outputs = outputs or anchors
    inputs = tuple(n for n in topological(outputs) if n.op.name == "input")
    return Kernel(kind, anchors, inputs, outputs, anchors[0].shape)


def verify(kernel: Kernel, given: list[np.ndarray], atol: float = 1e-5) -> None:
    check(lower(kernel, host()), kernel, given, 2e-6, atol)


@pytest.mark.parametrize("channels", [1, 5, 16, 40])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_pooling_and_its_transpose(geometry: Geometry, channels: int) -> None:
    x = ops.input((3, 11, 13, channels), F32)
    given = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    given[0, 3:6, 3:6, 0] = np.nan
    given[1, :4, :4] = 1
    largest, where = ops.pool_max(x, geometry), ops.pool_index(x, geometry)
    verify(kernel_of("window", (largest, where)), [given])
    verify(kernel_of("window", (largest,), ops.relu(largest)), [given])
    verify(kernel_of("window", (where,)), [given])
    verify(kernel_of("window", (ops.pool_sum(x, geometry),)), [given], atol=1e-4)
    index = ops.input(where.shape, I32)
    (indices,) = interpret([where], {x: given})
    given = np.nan_to_num(given)
    picked = ops.pool_gather(x, index, geometry)
    verify(kernel_of("window", (picked,)), [given, indices])
    gradient = ops.input(where.shape, F32)
    spread = ops.pool_scatter(gradient, index, geometry, (11, 13))
    numbers = np.random.default_rng(2).standard_normal(where.shape).astype(np.float32)
    verify(kernel_of("scatter", (spread,)), [numbers, indices])
    scaled = ops.multiply(spread, x)
    kernel = kernel_of("scatter", (spread,), scaled)
    bindings = {gradient: numbers, index: indices, x: given}
    verify(kernel, [bindings[n] for n in kernel.inputs])


@pytest.mark.parametrize("channels", [1, 3, 6, 16])
@pytest.mark.parametrize(
    ("window", "spatial"), [((2, 2), (6, 28)), ((3, 4), (9, 12)), ((2,), (10,))]
)
def test_gradients_of_windows_that_lie_side_by_side(
    window: tuple[int, ...], spatial: tuple[int, ...], channels: int
) -> None:
    rank = len(window)
    geometry = Geometry(window, window, ((0, 0),) * rank)
    x = ops.input((3, *spatial, channels), F32)
    index = ops.pool_index(x, geometry)
    g = ops.input(index.shape, F32)
    spread = ops.relu(ops.pool_scatter(g, index, geometry, spatial))
    random = np.random.default_rng(5)
    values = {n: random.standard_normal(n.shape).astype(np.float32) for n in (x, g)}
    found = Compiled([spread], [x, g]).run_alike(values)
    np.testing.assert_array_equal(found[0], interpret([spread], values)[0])


@pytest.mark.parametrize("channels", [3, 32])
@pytest.mark.parametrize("kind", ["ties", "NaN in places", "nothing but the lowest"])
def test_the_first_largest_where_windows_leave_the_image(kind: str, channels: int) -> None:
    """Outside the image the nearest element is read again: it must not be named in its place."""
    a = Geometry((3, 3), (1, 1), ((1, 1), (2, 1)))
    random = np.random.default_rng(5)
    given = random.integers(0, 3, (2, 5, 4, channels)).astype(np.float32)
    if kind == "NaN in places":
        given[random.random(given.shape) < 0.1] = np.nan
    elif kind != "ties":
        given[...] = -np.inf
    x = ops.input(given.shape, given.dtype)
    largest, place = ops.pool_max(x, a), ops.pool_index(x, a)
    verify(kernel_of("window", (largest, place)), [given])
    verify(kernel_of("window", (largest,)), [given])


def test_pooling_over_the_whole_image_and_over_other_ranks() -> None:
    chance = np.random.default_rng(4)
    x = ops.input((2, 12, 12, 20), F32)
    given = chance.standard_normal(x.shape).astype(np.float32)
    whole = Geometry((12, 12), (12, 12), ((0, 0), (0, 0)))
    verify(kernel_of("window", (ops.pool_sum(x, whole),)), [given], atol=1e-4)
    verify(kernel_of("window", (ops.pool_max(x, whole), ops.pool_index(x, whole))), [given])
    line = ops.input((4, 50, 3), F32)
    given = chance.standard_normal(line.shape).astype(np.float32)
    verify(kernel_of("window", (ops.pool_max(line, Geometry((3,), (2,), ((1, 1),))),)), [given])
    block = ops.input((1, 6, 6, 6, 8), F32)
    given = chance.standard_normal(block.shape).astype(np.float32)
    cube = Geometry((2, 2, 2), (2, 2, 2), ((0, 0),) * 3)
    verify(kernel_of("window", (ops.pool_max(block, cube),)), [given])


SCATTERS = [
    ((50, 20), 0, (37,)), ((50, 20), 0, (3, 5)), ((4, 9, 33), 1, (7,)), ((6,), 0, (100,)),
    ((3, 5), 1, (11,)), ((100, 3), 0, (64,)), ((7, 70), 0, ()),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "axis", "picks"), SCATTERS)
def test_scatter_add(shape: tuple[int, ...], axis: int, picks: tuple[int, ...]) -> None:
    chance = np.random.default_rng(6)
    indices = ops.input(picks, I64)
    updates = ops.input((*shape[:axis], *picks, *shape[axis + 1 :]), F32)
    total = ops.scatter_add(indices, updates, shape, axis)
    bindings = {
        indices: np.asarray(chance.integers(0, shape[axis], picks)),
        updates: chance.standard_normal(updates.shape).astype(np.float32),
    }
    kernel = kernel_of("scatter", (total,))
    verify(kernel, [bindings[n] for n in kernel.inputs])
    weights = ops.input(shape, F32)
    bindings[weights] = chance.standard_normal(shape).astype(np.float32)
    stepped = ops.subtract(weights, ops.multiply(ops.full_like(total, 0.1), total))
    kernel = kernel_of("scatter", (total,), stepped)
    verify(kernel, [bindings[n] for n in kernel.inputs])


def test_scatter_add_raises_an_index_out_of_range() -> None:
    indices, updates = ops.input((4,), I64), ops.input((4, 8), F32)
    kernel = kernel_of("scatter", (ops.scatter_add(indices, updates, (5, 8), 0),))
    bindings = {indices: np.array([0, 4, 5, 1]), updates: np.ones((4, 8), np.float32)}
    with pytest.raises(Status, match="1, 0, 5, 5"):
        run(lower(kernel, host()), kernel, [bindings[n] for n in kernel.inputs], threads=2)


def test_flops_count_the_work() -> None:
    x = ops.input((10, 20), F32)
    kernel = kernel_of("reduce", (ops.sum(x, (1,)),))
    assert lower(kernel, host()).flops >= math.prod(x.shape)
