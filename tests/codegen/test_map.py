"""Element-wise kernels over shapes that meet every loop: flat, rows, blocks, rests, gathers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_runs import Status, check, run

from glubina.codegen.canonical import structure
from glubina.codegen.lowering import lower
from glubina.codegen.target import Target, host
from glubina.graph import Node, ops, topological
from glubina.graph.philox import random_bits
from glubina.schedule.kernel import Kernel

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
I32, I64, U64 = np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint64)
U8, BOOL = np.dtype(np.uint8), np.dtype(np.bool_)


def leaf(*shape: int, dtype: np.dtype = F32) -> Node:
    return ops.input(shape, dtype)


def map_of(*outputs: Node) -> Kernel:
    inputs = tuple(n for n in topological(outputs) if n.op.name == "input")
    return Kernel("map", (), inputs, outputs, outputs[0].shape)


def values(kernel: Kernel) -> list[np.ndarray]:
    chance = np.random.default_rng(5)
    found = []
    for node in kernel.inputs:
        if node.dtype.kind == "f":
            found.append(chance.standard_normal(node.shape).astype(node.dtype))
        else:
            top = 2 if node.dtype.kind == "b" else 100
            found.append(chance.integers(0, top, node.shape).astype(node.dtype))
    return found


def verify(*outputs: Node, given: list[np.ndarray] | None = None) -> None:
    kernel = map_of(*outputs)
    check(lower(kernel, host()), kernel, given or values(kernel), 2e-6, 2e-6)


@pytest.mark.parametrize("total", [1, 15, 16, 17, 63, 64, 65, 1000, 4097, 100_000])
def test_flat_loops_of_any_length(total: int) -> None:
    x, y = leaf(total), leaf(total)
    verify(ops.multiply(ops.exp(x), y), ops.less(x, y))


@pytest.mark.parametrize("inner", [5, 16, 40, 64, 100, 9000])
@pytest.mark.parametrize("outer", [(), (5,), (3, 2)], ids=str)
def test_rows_that_a_concat_joins(outer: tuple[int, ...], inner: int) -> None:
    x, y = leaf(*outer, 1, inner), leaf(*outer, 1, inner)
    z = ops.multiply(x, ops.tanh(y))
    joined = ops.concat((z, ops.add(x, y), ops.sigmoid(z)), len(outer))
    verify(joined)
    verify(ops.exp(ops.reshape(joined, (*outer, 3 * inner))), ops.reshape(joined, (joined.size,)))


@pytest.mark.parametrize("inner", [1, 2, 3, 7, 8, 10, 16, 31, 64, 100, 8208, 9000, 9072])
def test_rows_with_a_broadcast(inner: int) -> None:
    x, bias, scale = leaf(37, inner), leaf(inner), leaf(37, 1)
    y = ops.add(ops.multiply(x, ops.broadcast(scale, x.shape)), ops.broadcast(bias, x.shape))
    verify(ops.relu(y))


@pytest.mark.parametrize("permutation", [(0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_transposed(permutation: tuple[int, ...]) -> None:
    x = leaf(5, 33, 18)
    y = ops.transpose(x, permutation)
    verify(ops.add(y, leaf(*y.shape)))


def test_heads_split_and_joined() -> None:
    x = leaf(3, 7, 4 * 64)
    heads = ops.transpose(ops.reshape(x, (3, 7, 4, 64)), (0, 2, 1, 3))
    verify(heads)
    verify(ops.reshape(ops.transpose(leaf(3, 4, 7, 64), (0, 2, 1, 3)), (3, 7, 256)))
    verify(ops.reshape(ops.transpose(leaf(3, 5, 7, 6), (0, 2, 1, 3)), (3, 7, 30)))


def test_slices_pads_and_parts() -> None:
    x = leaf(6, 9, 40)
    verify(ops.slice(x, (5, 1, 3), (3, 4, 12), (-2, 2, 3)))
    verify(ops.flip(x, (0, 2)))
    verify(ops.pad(x, (0, 1, 5), (0, 2, 3), (0, 0, 0)))
    verify(ops.pad(x, (1, 0, 2), (0, 0, 1), (1, 0, 2)))
    verify(ops.concat((x, leaf(6, 9, 8), leaf(6, 9, 70)), 2))
    verify(ops.concat((x, leaf(1, 9, 40), leaf(4, 9, 40)), 0))
    shifted = ops.slice(ops.pad(x, (0, 0, 1), (0, 0, 0)), (0, 0, 0), x.shape, (1, 1, 1))
    verify(ops.subtract(x, shifted))


@pytest.mark.parametrize("dtype", [np.dtype(n) for n in ("i1", "u1", "i2", "i4", "u4", "i8", "u8")])
def test_integers(dtype: np.dtype) -> None:
    x, y = leaf(300, dtype=dtype), leaf(300, dtype=dtype)
    chance = np.random.default_rng(6)
    limits = np.iinfo(dtype)
    a = chance.integers(limits.min, limits.max, 300, dtype=dtype, endpoint=True)
    b = chance.integers(limits.min, limits.max, 300, dtype=dtype, endpoint=True)
    b[:7] = [0, 1, 2, 3, limits.max, limits.min, limits.max]
    a[4:7] = limits.min
    if dtype.kind == "i":
        b[6] = -1
    for op in ("add", "subtract", "multiply", "floor_divide", "remainder", "maximum", "minimum"):
        verify(getattr(ops, op)(x, y), given=[a, b])
    for op in ("less", "less_equal", "equal", "bitwise_and", "bitwise_or", "bitwise_xor"):
        verify(getattr(ops, op)(x, y), given=[a, b])
    small = (b % 8).astype(dtype) if dtype.kind == "u" else np.abs(b % 8).astype(dtype)
    verify(ops.shift_left(x, y), ops.shift_right(x, y), given=[a, small])
    verify(ops.power(x, y), given=[a, small])
    verify(ops.cast(x, F32), ops.cast(x, I64), given=[a])


def test_remainders_of_floating_point() -> None:
    chance = np.random.default_rng(7)
    for dtype in (F32, F64):
        x, y = leaf(4000, dtype=dtype), leaf(4000, dtype=dtype)
        spread = np.exp(chance.uniform(-60, 60, (2, 4000)))
        a, b = (spread * chance.choice([-1, 1], (2, 4000))).astype(dtype)
        a[:200] = np.round(a[:200] % 50)
        b[:200] = np.round(b[:200] % 7 + 1)
        a[200:206] = [np.inf, 1, 1, -1, np.nan, -0.0]
        b[200:206] = [1, np.inf, 0, 0, 1, -3]
        kernel = map_of(ops.remainder(x, y))
        (found,) = run(lower(kernel, host()), kernel, [a, b])
        with np.errstate(all="ignore"):
            wanted = np.remainder(a, b)
        np.testing.assert_array_equal(found, wanted)


def test_floored_quotients_by_infinities() -> None:
    for dtype in (F32, F64):
        x, y = leaf(40, dtype=dtype), leaf(40, dtype=dtype)
        a = np.tile(np.array([1, -1, 2.5, 0.0, -0.0], dtype), 8)
        b = np.repeat(np.array([np.inf, -np.inf], dtype), 20)
        kernel = map_of(ops.floor_divide(x, y))
        (found,) = run(lower(kernel, host()), kernel, [a, b])
        np.testing.assert_array_equal(found, np.floor_divide(a, b))


def test_casts_stay_within_the_range() -> None:
    x = leaf(8)
    given = np.array([1.9, -1.9, 3e9, -3e9, np.inf, -np.inf, np.nan, 0.0], np.float32)
    kernel = map_of(ops.cast(x, I32), ops.cast(x, U8), ops.cast(x, BOOL))
    low, high = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    whole, byte, truth = run(lower(kernel, host()), kernel, [given])
    assert whole.tolist() == [1, -1, high, low, high, low, 0, 0]
    assert byte.tolist() == [1, 0, 255, 0, 255, 0, 0, 0]
    assert truth.tolist() == [True] * 7 + [False]


# -- random numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (64,), (1000,), (70, 64), (9, 100), (4, 5, 6), (3, 24)])
def test_random_bits_are_the_reference(shape: tuple[int, ...]) -> None:
    key = leaf(2, dtype=U64)
    given = np.array([2**63 + 5, 2**40 + 9], np.uint64)
    verify(ops.random_bits(key, 12, shape), given=[given])
    drawn = ops.random_bits(key, 12, shape)
    if len(shape) > 1:
        moved = ops.transpose(drawn, tuple(reversed(range(len(shape)))))
        verify(moved, given=[given])


@pytest.mark.parametrize("total", [3, 8, 15])
def test_one_random_number_for_all_elements(total: int) -> None:
    given = np.array([7, 3], np.uint64)
    for shape in ((), (1,)):
        drawn = ops.random_bits(leaf(2, dtype=U64), 5, shape)
        verify(ops.broadcast(drawn, (total,)), given=[given])
        verify(
            ops.broadcast(ops.shift_right(drawn, ops.full_like(drawn, 8)), (total,)), given=[given]
        )


def test_known_answers_of_philox() -> None:
    key = np.zeros(2, np.uint64)
    first = random_bits(key, 0, (64,))[[0, 16, 32, 48]]
    assert [hex(v) for v in first] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


# -- indices ------------------------------------------------------------------------------------


def test_take_along_any_axis() -> None:
    table, indices = leaf(50, 20, 33), leaf(7, 3, dtype=I64)
    chance = np.random.default_rng(8)
    for axis, extent in enumerate(table.shape):
        given = [values(map_of(table))[0], chance.integers(0, extent, (7, 3))]
        verify(ops.take(table, indices, axis), given=given)


@pytest.mark.parametrize("wrong", [10, -1, 2**40])
@pytest.mark.parametrize("axis", [0, 1])
def test_an_index_out_of_range_is_raised(wrong: int, axis: int) -> None:
    table, indices = leaf(10, 10), leaf(70, dtype=I64)
    kernel = map_of(ops.take(table, indices, axis))
    given = [np.zeros((10, 10), np.float32), np.arange(70) % 10]
    run(lower(kernel, host()), kernel, given)
    given[1][67] = wrong
    with pytest.raises(Status, match=rf"1, 0, {wrong}, 10"):
        run(lower(kernel, host()), kernel, given)


# -- what is shared -----------------------------------------------------------------------------


def update(shape: tuple[int, ...], rate: float) -> Kernel:
    p, g = leaf(*shape), leaf(*shape)
    return map_of(ops.subtract(p, ops.multiply(ops.full_like(g, rate), g)))


def test_kernels_that_differ_in_arguments_share_their_code() -> None:
    keys = {
        structure(update(shape, rate), host()).key
        for shape, rate in [((5,), 0.3), ((7, 9), 0.3), ((7, 9), 0.7), ((2, 3, 4), 1e-4)]
    }
    assert len(keys) == 1
    assert structure(update((5,), 1.0), host()).key not in keys

    def biased(batch: int, width: int) -> str:
        x, bias = leaf(batch, width), leaf(width)
        return structure(map_of(ops.add(x, ops.broadcast(bias, x.shape))), host()).key

    assert biased(128, 10) == biased(96, 10) == biased(1, 10)
    assert biased(128, 10) != biased(128, 12)


def test_one_code_serves_every_batch() -> None:
    def kernel(batch: int) -> Kernel:
        x, bias = leaf(batch, 6, 10), leaf(10)
        return map_of(ops.transpose(ops.add(x, ops.broadcast(bias, x.shape)), (0, 2, 1)))

    big = lower(kernel(50), host())
    for batch in (1, 2, 33):
        small = lower(kernel(batch), host())
        assert small.key == big.key
        check(replace(small, ir=big.ir), kernel(batch), values(kernel(batch)), 1e-6, 1e-6)


@pytest.mark.parametrize("bits", [128, 256, 512])
def test_narrower_vectors(bits: int) -> None:
    target: Target = host()
    if bits > target.vector_bits:
        pytest.skip("this CPU has no such vectors")
    x, key = leaf(9, 100), leaf(2, dtype=U64)
    noise = ops.cast(ops.random_bits(key, 1, x.shape), F32)
    y = ops.where(ops.less(x, ops.tanh(noise)), ops.sin(x), ops.pad(leaf(9, 97), (0, 1), (0, 2)))
    kernel = map_of(y)
    check(lower(kernel, replace(target, vector_bits=bits)), kernel, values(kernel), 2e-6, 2e-6)
