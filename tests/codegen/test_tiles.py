"""Transposes and what is fused with them: tiles turned in registers, whole and ragged."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from compiled import Compiled
from hypothesis import given
from hypothesis import strategies as st
from kernel_runs import check
from strategies import Draw, steady

from glubina.codegen.canonical import structure
from glubina.codegen.lowering import lower
from glubina.codegen.map import lanes_for
from glubina.codegen.target import Target, host
from glubina.codegen.tile_plan import tiling
from glubina.graph import Node, interpret, ops, topological
from glubina.runtime.compiler import assembly
from glubina.schedule.kernel import Kernel

DTYPES = [np.dtype(t) for t in ("float32", "float64", "int32", "int64", "uint8", "float16", "bool")]
F32 = np.dtype(np.float32)


def kernel(*outputs: Node) -> Kernel:
    inputs = tuple(n for n in topological(outputs) if n.op.name == "input")
    return Kernel("map", (), inputs, outputs, outputs[0].shape)


def is_tiled(k: Kernel) -> bool:
    form = structure(k, host())
    return tiling(form, lanes_for(form, host())) is not None


def verify(k: Kernel) -> None:
    chance = np.random.default_rng(2)
    values = [np.asarray(chance.integers(0, 100, n.shape)).astype(n.dtype) for n in k.inputs]
    check(lower(k, host()), k, values, 0, 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(16, 32), (50, 70), (17, 33), (9, 300), (300, 8)])
def test_matrices(shape: tuple[int, int], dtype: np.dtype) -> None:
    k = kernel(ops.transpose(ops.input(shape, dtype), (1, 0)))
    assert is_tiled(k) == (shape[0] * 2 >= lanes_for(structure(k, host()), host()))
    verify(k)


@pytest.mark.parametrize("permutation", list(permutations(range(3))))
def test_permutations(permutation: tuple[int, ...]) -> None:
    for shape in ((20, 33, 18), (3, 40, 19), (16, 16, 16)):
        x = ops.input(shape, F32)
        verify(kernel(ops.negative(ops.transpose(x, permutation))))


def test_images_change_their_layout() -> None:
    x = ops.input((2, 9, 10, 24), F32)
    verify(kernel(ops.transpose(x, (0, 3, 1, 2))))
    y = ops.input((2, 24, 9, 10), F32)
    assert is_tiled(kernel(ops.transpose(y, (0, 2, 3, 1))))
    verify(kernel(ops.transpose(y, (0, 2, 3, 1))))


def test_work_is_fused_on_both_sides() -> None:
    """Straight and crossing operands, two crossing ones, a broadcast, two outputs, a reversal."""
    x, y, b = ops.input((40, 50), F32), ops.input((50, 40), F32), ops.input((40,), F32)
    turned = ops.transpose(x, (1, 0))
    total = ops.add(ops.add(turned, y), ops.broadcast(b, y.shape))
    again = ops.multiply(ops.transpose(ops.negative(x), (1, 0)), turned)
    back = ops.transpose(ops.flip(x, (1,)), (1, 0))
    k = kernel(total, again, back, ops.transpose(ops.flip(x, (0,)), (1, 0)))
    assert is_tiled(k)
    verify(k)


def test_a_part_of_a_larger_array() -> None:
    x = ops.input((60, 70), F32)
    part = ops.slice(x, (3, 5), (50, 41), (1, 1))
    verify(kernel(ops.transpose(part, (1, 0))))
    strided = ops.slice(x, (1, 2), (20, 33), (3, 2))
    verify(kernel(ops.transpose(strided, (1, 0))))


@st.composite
def moved(draw: Draw) -> Node:
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 5, 8, 16, 19, 35]), min_size=2, max_size=4)))
    shape = shape if math.prod(shape) < 30_000 else shape[:2]
    x = ops.input(shape, draw(st.sampled_from(DTYPES[:4])))
    y = ops.transpose(x, tuple(draw(st.permutations(range(len(shape))))))
    if draw(st.booleans()):
        y = ops.reshape(y, (*y.shape[:-2], y.shape[-2] * y.shape[-1]))
        y = ops.transpose(y, tuple(reversed(range(len(y.shape)))))
    other = ops.input(y.shape, y.dtype)
    return ops.add(ops.multiply(y, y), other) if draw(st.booleans()) else y


@given(moved())
@steady(60)
def test_random_movements(node: Node) -> None:
    inputs = [n for n in topological([node]) if n.op.name == "input"]
    chance = np.random.default_rng(5)
    given_ = {n: np.asarray(chance.integers(0, 9, n.shape)).astype(n.dtype) for n in inputs}
    (got,) = Compiled([node], inputs).run_alike(given_)
    np.testing.assert_array_equal(got, interpret([node], given_)[0])


@pytest.mark.parametrize(
    "target",
    [
        Target("aarch64-unknown-linux-gnu", "neoverse-n1", "", 128, 32),
        Target("x86_64-unknown-linux-gnu", "haswell", "", 256, 16),
    ],
    ids=lambda t: t.cpu,
)
def test_other_machines(target: Target) -> None:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    k = kernel(ops.transpose(ops.input((64, 50), F32), (1, 0)))
    text = assembly(lower(k, target).ir(), target)
    assert "gather" not in text


def test_the_first_extent_is_an_argument() -> None:
    """One piece of code for any number of matrices."""
    found = [lower(kernel(ops.transpose(ops.input((n, 40, 50), F32), (0, 2, 1))), host())
             for n in (3, 100)]  # fmt: skip
    assert len({one.key for one in found}) == len({one.ir() for one in found}) == 1
