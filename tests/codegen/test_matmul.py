"""Matrix products as native code: every layout, size and epilogue against NumPy."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_runs import check, run

from glubina.codegen.lowering import lower
from glubina.codegen.target import Target, host
from glubina.graph import Node, ops
from glubina.schedule.kernel import Kernel

LAYOUTS = ("plain", "turned", "apart", "reversed")
NARROW = {256: 16, 128: 16}  # registers by the bits of a vector


def narrow(bits: int) -> Target:
    """This machine as if its vectors were narrower."""
    return dataclasses.replace(host(), vector_bits=bits, registers=NARROW[bits])


def operand(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, layout: str
) -> tuple[Node, Node, np.ndarray]:
    """A factor as a view of an input: the factor, the input, the input's value."""
    *batch, rows, columns = shape
    axes = (*range(len(batch)), len(batch) + 1, len(batch))
    inside = {
        "plain": shape,
        "turned": (*batch, columns, rows),
        "apart": (*batch, rows, columns, 3),
        "reversed": shape,
    }[layout]
    value = rng.standard_normal(inside).astype(dtype)
    leaf = ops.input(inside, np.dtype(dtype))
    if layout == "turned":
        return ops.transpose(leaf, axes), leaf, value
    if layout == "apart":
        start = (*(0 for _ in shape), 1)
        part = ops.slice(leaf, start, (*shape, 1), (1,) * len(start))
        return ops.reshape(part, shape), leaf, value
    if layout == "reversed":
        return ops.flip(leaf, (len(shape) - 1,)), leaf, value
    return leaf, leaf, value


def product(
    shape: tuple[int, ...],
    dtype: str = "float32",
    layouts: tuple[str, str] = ("plain", "plain"),
    fused: bool = False,
) -> tuple[Kernel, list[np.ndarray]]:
    """A kernel for [*batch, m, k] x [*batch, k, n], given (*batch, m, k, n), and its inputs."""
    *batch, m, k, n = shape
    rng = np.random.default_rng(list(shape))
    a, a_leaf, a_value = operand(rng, (*batch, m, k), dtype, layouts[0])
    b, b_leaf, b_value = operand(rng, (*batch, k, n), dtype, layouts[1])
    anchor = ops.matmul(a, b)
    inputs, values, outputs = [a_leaf, b_leaf], [a_value, b_value], [anchor]
    if fused:
        bias = ops.input((n,), anchor.dtype)
        inputs.append(bias)
        values.append(rng.standard_normal(n).astype(dtype))
        linear = ops.add(anchor, ops.broadcast(bias, anchor.shape))
        outputs = [ops.relu(linear), linear]
    return Kernel("matmul", (anchor,), tuple(inputs), tuple(outputs), anchor.shape), values


def verify(shape: tuple[int, ...], target: Target | None = None, **how: object) -> None:
    """The kernel gives what NumPy gives, whatever the number of threads."""
    kernel, values = product(shape, **how)  # type: ignore[arg-type]
    depth = max(1, shape[-2])
    unit = 1e-6 if kernel.inputs[0].dtype == np.float32 else 1e-14
    check(lower(kernel, target or host()), kernel, values, 20 * unit, 8 * unit * depth**0.5)


SIZES = [
    (1, 1, 1), (8, 8, 8), (32, 2, 8), (32, 8, 1), (3, 5, 7), (17, 31, 33), (40, 33, 70),
    (128, 300, 10), (150, 1000, 300), (1001, 260, 70), (16, 3000, 20), (3, 2500, 160),
    (100, 64, 16), (65, 70, 130), (14, 257, 32), (1, 300, 200), (300, 200, 1),
    (2, 1000, 37), (5, 40, 999), (10, 3000, 8), (7, 5000, 3), (1, 4000, 1),
    (40, 2500, 70), (700, 1100, 40), (90, 70, 600), (530, 80, 67),
]  # fmt: skip


PASSES = [("plain", "turned"), ("plain", "plain"), ("turned", "plain")]  # as a layer's three


@pytest.mark.parametrize(("number", "shape"), list(enumerate(SIZES)), ids=str)
def test_sizes(number, shape):
    verify(shape, layouts=PASSES[number % 3], fused=True)
    if max(shape) < 50:
        verify(shape, layouts=PASSES[(number + 1) % 3], fused=True)


@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((5, 6, 9), "float32"),
        ((45, 40, 50), "float64"),
        ((2, 200, 40), "float64"),
        ((40, 200, 1), "float32"),
    ],
    ids=str,
)
def test_layouts(shape, left, right, dtype):
    verify(shape, dtype=dtype, layouts=(left, right))


@pytest.mark.parametrize("shape", [(3, 9, 8, 7), (2, 3, 40, 20, 33), (4, 1, 90, 80)], ids=str)
@pytest.mark.parametrize("layouts", [("plain", "plain"), ("turned", "turned")])
def test_batches(shape, layouts):
    verify(shape, layouts=layouts, fused=True)


@pytest.mark.parametrize("shape", [(3, 0, 5), (40, 0, 40), (2, 3, 0, 5)], ids=str)
def test_an_empty_sum_is_zero(shape):
    verify(shape, fused=True)


@pytest.mark.parametrize("bits", NARROW)
@pytest.mark.parametrize("shape", [(9, 9, 9), (50, 60, 70), (1, 90, 300), (60, 70, 1)], ids=str)
@pytest.mark.parametrize("layouts", [("plain", "plain"), ("turned", "turned")])
def test_narrow_vectors(shape, layouts, bits):
    verify(shape, narrow(bits), layouts=layouts, fused=True)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 130), st.integers(1, 90)),
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS)),
    dtype=st.sampled_from(["float32", "float64"]),
    fused=st.booleans(),
)
def test_any_product(shape, layouts, dtype, fused):
    verify(shape, dtype=dtype, layouts=layouts, fused=fused)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("left", LAYOUTS)
def test_rows_packed_piece_by_piece(left, dtype):
    """Several pieces of k, the last one short, several strips of columns, rows at the edge."""
    verify((1003, 530, 71), dtype=dtype, layouts=(left, "plain"), fused=True)
    verify((1001, 600, 1100), dtype=dtype, layouts=(left, "turned"))
    verify((130, 16500, 70), dtype=dtype, layouts=(left, "plain"), fused=True)


@pytest.mark.parametrize("bits", NARROW)
@pytest.mark.parametrize("left", ["plain", "turned"])
def test_rows_packed_piece_by_piece_with_narrow_vectors(left, bits):
    verify((1003, 1060, 71), narrow(bits), layouts=(left, "plain"), fused=True)


@pytest.mark.parametrize("layouts", PASSES, ids=str)
def test_packed_beforehand_as_a_loop_wants_it(layouts):
    verify((90, 150, 70), dataclasses.replace(host(), repeats=True), layouts=layouts, fused=True)
    verify((1010, 40, 90), dataclasses.replace(host(), repeats=True), layouts=layouts)


def test_what_a_loop_repeats_is_packed_in_a_stage_of_its_own():
    kernel = product((90, 150, 70), layouts=("plain", "turned"))[0]
    once, often = (lower(kernel, t) for t in (host(), dataclasses.replace(host(), repeats=True)))
    assert len(once.stages) == 1
    assert [stage.reads for stage in often.stages] == [(1,), None]


def test_the_same_code_for_a_smaller_batch():
    kernels = [product((m, 300, 40), layouts=("plain", "turned"), fused=True)[0] for m in (128, 96)]
    first, second = (lower(kernel, host()) for kernel in kernels)
    assert first.key == second.key
    assert first.stages != second.stages


def test_a_missing_number_spoils_only_its_row():
    kernel, (a, b) = product((40, 50, 60))
    a[3, 4] = np.nan
    (result,) = run(lower(kernel, host()), kernel, [a, b])
    assert np.isnan(result[3]).all()
    assert np.isfinite(np.delete(result, 3, axis=0)).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 16, 17])
@pytest.mark.parametrize("bits", [512, 256, 128])
def test_few_rows_by_a_factor_that_lies_transposed(rows: int, bits: int) -> None:
    target = host() if bits == 512 else narrow(bits)
    for k, n in ((64, 33), (200, 130)):
        verify((rows, k, n), target, layouts=("plain", "turned"), fused=True)
