"""Reductions of every pattern: accuracy, fixed order, NaN, fused work before and after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_runs import check, run

from glubina.codegen.lowering import lower
from glubina.codegen.target import host
from glubina.graph import Node, ops, topological
from glubina.schedule.kernel import Kernel

F32, F64, I32 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32)

# Rows and columns, short and long, one stage and two, and mixtures of kept and reduced axes.
PATTERNS = [
    ((5, 7), (1,)), ((5, 7), (0,)), ((5, 7), (0, 1)), ((5,), (0,)), ((100_000,), (0,)),
    ((3, 4, 5), (1,)), ((3, 4, 5), (0, 2)), ((6, 3000), (1,)), ((6, 30_000), (1,)),
    ((3000, 37), (0,)), ((300, 20, 130), (0, 1)), ((300, 20, 13), (0, 2)),
    ((20, 2, 9000), (0, 2)), ((7, 1), (1,)), ((1, 9), (0,)), ((4, 1, 5), (1,)),
    ((200, 3, 3, 32), (0, 1, 2)), ((2, 50_000), (1,)), ((64, 300, 70), (1,)),
    ((1, 8193), (1,)), ((3, 8200), (1,)), ((2, 3, 12_300), (0, 2)), ((8255,), (0,)),
]  # fmt: skip


def leaf(*shape: int, dtype: np.dtype = F32) -> Node:
    return ops.input(shape, dtype)


def reduction(anchors: tuple[Node, ...], *outputs: Node) -> Kernel:
    outputs = outputs or anchors
    inputs = tuple(n for n in topological(outputs) if n.op.name == "input")
    return Kernel("reduce", anchors, inputs, outputs, anchors[0].shape)


def values(kernel: Kernel) -> list[np.ndarray]:
    chance = np.random.default_rng(9)
    found = []
    for node in kernel.inputs:
        if node.dtype.kind == "f":
            found.append(chance.standard_normal(node.shape).astype(node.dtype))
        else:
            found.append(chance.integers(0, 2, node.shape).astype(node.dtype))
    return found


def verify(kernel: Kernel, given: list[np.ndarray] | None = None, atol: float = 1e-5) -> None:
    check(lower(kernel, host()), kernel, given or values(kernel), 3e-6, atol)


@pytest.mark.parametrize(("shape", "axes"), PATTERNS)
def test_patterns(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x, y = leaf(*shape), leaf(*shape)
    verify(reduction((ops.sum(ops.multiply(x, y), axes),)), atol=1e-3)
    verify(reduction((ops.max(x, axes),)))
    wide = leaf(*shape, dtype=F64)
    damped = ops.exp(ops.multiply(wide, ops.full_like(wide, 1e-3)))
    verify(reduction((ops.prod(damped, axes),)))
    verify(reduction((ops.sum(leaf(*shape, dtype=I32), axes),)))
    if len(axes) == 1:
        verify(reduction((ops.argmax(ops.subtract(x, y), axes[0]),)))


@pytest.mark.parametrize(("shape", "axes"), PATTERNS[:8] + PATTERNS[16:])
def test_several_together_with_what_follows(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = leaf(*shape)
    total, largest = ops.sum(x, axes), ops.max(x, axes)
    scale = leaf(*total.shape)
    after = ops.relu(ops.add(total, ops.multiply(largest, scale)))
    verify(reduction((total, largest), after, total), atol=1e-3)


@pytest.mark.parametrize(("shape", "axis"), [((3, 0), 1), ((0, 3), 0), ((0, 3), 1)])
def test_nothing_to_reduce(shape: tuple[int, ...], axis: int) -> None:
    verify(reduction((ops.sum(leaf(*shape), (axis,)),)))
    verify(reduction((ops.prod(leaf(*shape), (axis,)),)))


@pytest.mark.parametrize("axis", [0, 1])
def test_nan_and_ties(axis: int) -> None:
    x = leaf(40, 30)
    (given,) = values(reduction((ops.max(x, (axis,)),)))
    given[3, 4] = given[3, 7] = given[9, 4] = np.nan
    given[5, :] = 1
    given[:, 6] = -np.inf
    given[7, 11] = given[7, 13] = given[8, 13] = 50
    for anchor in (ops.argmax(x, axis), ops.max(x, (axis,)), ops.sum(x, (axis,))):
        verify(reduction((anchor,)), [given])


def test_booleans() -> None:
    x = leaf(50, 9, dtype=np.dtype(np.bool_))
    for axis in (0, 1):
        verify(reduction((ops.max(x, (axis,)),)))
        verify(reduction((ops.argmax(x, axis),)))


def test_log_sum_exp() -> None:
    x, largest = leaf(50, 10), leaf(50)
    shifted = ops.subtract(x, ops.broadcast(ops.reshape(largest, (50, 1)), (50, 10)))
    total = ops.sum(ops.exp(shifted), (1,))
    verify(reduction((total,), ops.add(ops.log(total), largest)))


def test_transposed_and_reshaped() -> None:
    x = ops.transpose(leaf(60, 70), (1, 0))
    verify(reduction((ops.sum(x, (0,)),)))
    verify(reduction((ops.sum(x, (1,)),)))
    total = ops.sum(leaf(20, 30), (1,))
    verify(reduction((total,), ops.reshape(total, (4, 5))))


@pytest.mark.parametrize("shape", [(1 << 24,), (1 << 19, 32), (2, 1 << 23)])
def test_long_sums_are_accurate(shape: tuple[int, ...]) -> None:
    axes = (len(shape) - 1,) if shape[0] == 2 else (0,)
    x = leaf(*shape)
    kernel = reduction((ops.sum(x, axes),))
    chance = np.random.default_rng(3)
    given = chance.random(shape, dtype=np.float32) + np.float32(0.5)
    (found,) = run(lower(kernel, host()), kernel, [given])
    wanted = given.sum(axis=axes, dtype=np.float64)
    assert np.max(np.abs(found / wanted - 1)) < 3e-7


def test_one_code_serves_every_batch() -> None:
    def kernel(batch: int) -> Kernel:
        x, y = leaf(batch, 9, 24), leaf(batch, 9, 24)
        return reduction((ops.sum(ops.multiply(x, y), (0, 1)),))

    big, small = kernel(4000), kernel(3000)
    assert lower(big, host()).key == lower(small, host()).key
    shared = replace(lower(small, host()), ir=lower(big, host()).ir)
    check(shared, small, values(small), 3e-6, 1e-3)
