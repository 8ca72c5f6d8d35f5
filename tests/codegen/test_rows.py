"""Kernels over rows: softmax, normalisation and their like in one pass over memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from compiled import Compiled, assert_close

from glubina.codegen.lowering import lower
from glubina.codegen.target import Target, host
from glubina.graph import Node, expand, gradients, interpret, ops, simplify
from glubina.runtime.compiler import assembly
from glubina.schedule.fuse import fuse
from glubina.schedule.kernel import Kernel

F16, F32, F64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
I32, I64 = np.dtype(np.int32), np.dtype(np.int64)

# shorter than a vector, some vectors with and without a rest, loops, rows longer than a cache line
SHAPES = [(16, 2), (100, 3), (4, 9, 7), (50, 8), (128, 10), (20, 16), (33, 17), (3, 7, 65),
          (17, 128), (16, 8, 20), (20, 150), (40, 1000), (16, 8000)]  # fmt: skip


def spread(number: Node, x: Node) -> Node:
    return ops.restored(number, (len(x.shape) - 1,), x.shape)


def last(x: Node) -> tuple[int, ...]:
    return (len(x.shape) - 1,)


def softmax(x: Node) -> Node:
    grown = ops.exp(ops.subtract(x, spread(ops.max(x, last(x)), x)))
    return ops.divide(grown, spread(ops.sum(grown, last(x)), x))


def log_softmax(x: Node) -> Node:
    shifted = ops.subtract(x, spread(ops.max(x, last(x)), x))
    total = ops.log(ops.sum(ops.exp(shifted), last(x)))
    return ops.subtract(shifted, spread(total, x))


def normalised(x: Node) -> Node:
    share = ops.full_like(ops.sum(x, last(x)), 1 / x.shape[-1])
    centred = ops.subtract(x, spread(ops.multiply(ops.sum(x, last(x)), share), x))
    variance = ops.multiply(ops.sum(ops.multiply(centred, centred), last(x)), share)
    deviation = ops.sqrt(ops.add(variance, ops.full_like(variance, 1e-5)))
    return ops.divide(centred, spread(deviation, x))


FORMULAS = [softmax, log_softmax, normalised]


def compiled(outputs: list[Node], inputs: list[Node]) -> tuple[list[Kernel], Compiled]:
    outputs = simplify(expand(outputs))
    return fuse(outputs), Compiled(outputs, inputs)


def values(shape: tuple[int, ...], dtype: np.dtype, seed: int = 3) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * 2, dtype)


def verify(outputs: list[Node], bindings: dict[Node, np.ndarray], kernels: int) -> None:
    """As the interpreter has it, the same on any number of threads, in so many kernels."""
    found, program = compiled(outputs, list(bindings))
    assert [k.kind for k in found].count("rows") == 1, [k.kind for k in found]
    assert len(found) == kernels
    for got, want in zip(program.run_alike(bindings), interpret(outputs, bindings), strict=True):
        assert_close(got, want, 4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("formula", FORMULAS)
def test_one_kernel(formula: Callable[[Node], Node], shape: tuple[int, ...]) -> None:
    x = ops.input(shape, F32)
    verify([formula(x)], {x: values(shape, F32)}, 1)


@pytest.mark.parametrize("dtype", [F64, F16])
@pytest.mark.parametrize("shape", [(100, 3), (4, 9, 4), *SHAPES[4:11:2]])
def test_dtypes(shape: tuple[int, ...], dtype: np.dtype) -> None:
    x = ops.input(shape, dtype)
    if dtype == F64:
        verify([log_softmax(x)], {x: values(shape, dtype)}, 1)
        return
    found, program = compiled([softmax(x)], [x])
    assert [k.kind for k in found] == ["rows"]
    given = values(shape, dtype)
    (got,) = program.run_alike({x: given})
    powers = np.exp(given.astype(np.float64) - given.max(-1, keepdims=True))
    np.testing.assert_allclose(got, powers / powers.sum(-1, keepdims=True), rtol=4e-3, atol=1e-6)


@pytest.mark.parametrize("shape", [(128, 10), (40, 65), (17, 1000)])
@pytest.mark.parametrize("formula", FORMULAS)
def test_derivatives_join_in(formula: Callable[[Node], Node], shape: tuple[int, ...]) -> None:
    x, g = ops.input(shape, F32), ops.input(shape, F32)
    y = formula(x)
    loss = ops.sum(ops.multiply(y, g), tuple(range(len(shape))))
    verify([y, *gradients(loss, [x])], {x: values(shape, F32), g: values(shape, F32, 4)}, 1)


@pytest.mark.parametrize("classes", [2, 10, 65, 1000])
def test_cross_entropy_with_its_gradient(classes: int) -> None:
    """Softmax less one-hot, and each row's loss, from one reading of the logits."""
    z, labels = ops.input((50, classes), F32), ops.input((50,), I64)
    wanted = ops.broadcast(ops.reshape(ops.cast(labels, I32), (50, 1)), z.shape)
    there = ops.equal(ops.iota(z.shape, 1, I32), wanted)
    losses = ops.negative(ops.sum(ops.where(there, log_softmax(z), ops.full_like(z, 0)), (1,)))
    loss = ops.sum(losses, (0,))
    chosen = np.random.default_rng(1).integers(0, classes, 50)
    verify([loss, *gradients(loss, [z])], {z: values(z.shape, F32), labels: chosen}, 2)


@pytest.mark.parametrize("length", [2, 5, 8, 12, 40, 300])
def test_largest_and_its_place(length: int) -> None:
    """Of equal ones the first; NaN is larger than all."""
    x = ops.input((32, length), F32)
    given = np.round(values(x.shape, F32))
    given[3, length // 2 :] = np.nan
    found, program = compiled([ops.max(x, (1,)), ops.argmax(x, 1)], [x])
    assert [k.kind for k in found] == ["rows"]
    largest, place = program.run_alike({x: given})
    np.testing.assert_array_equal(largest, given.max(1))
    np.testing.assert_array_equal(place, given.argmax(1))


@pytest.mark.parametrize("length", [2, 3, 7, 16, 70, 500])
def test_infinities_and_nan(length: int) -> None:
    x = ops.input((40, length), F32)
    given = values(x.shape, F32)
    given[0] = -np.inf
    given[1, -1] = np.inf
    given[2, 0] = np.nan
    given[3, : length // 2] = -np.inf
    given[4] = 3e38
    _, program = compiled([softmax(x), log_softmax(x)], [x])
    wanted = interpret([softmax(x), log_softmax(x)], {x: given})
    for got, want in zip(program.run_alike({x: given}), wanted, strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


def test_numbers_of_rows_from_outside_and_columns() -> None:
    """Weights along the row, given numbers of rows, integers and conditions."""
    x, w, s = ops.input((4, 6, 90), F32), ops.input((90,), F32), ops.input((24,), F32)
    n = ops.input((4, 6, 90), I32)
    scale = ops.restored(ops.reshape(s, (4, 6)), (2,), x.shape)
    y = ops.multiply(ops.multiply(x, scale), ops.broadcast(w, x.shape))
    counted = ops.sum(ops.cast(ops.less(n, ops.full_like(n, 1)), I32), (2,))
    z = ops.multiply(softmax(y), ops.restored(ops.cast(counted, F32), (2,), x.shape))
    given = {x: values(x.shape, F32), w: values((90,), F32), s: values((24,), F32)}
    given[n] = np.random.default_rng(0).integers(0, 3, n.shape).astype(I32)
    outputs = simplify(expand([z, counted, ops.argmax(z, 2)]))
    for got, want in zip(
        Compiled(outputs, list(given)).run_alike(given), interpret(outputs, given), strict=True
    ):
        assert_close(got, want)


def test_the_result_may_lie_over_a_number_of_rows() -> None:
    """A per-row output in the memory of a per-row input that it replaces."""
    x, s = ops.input((30, 50), F32), ops.input((30,), F32)
    mean = ops.multiply(s, ops.sum(softmax(x), (1,)))
    given = {x: values(x.shape, F32), s: values(s.shape, F32)}
    program = Compiled([mean, softmax(x)], [x, s], [1, 0])
    for got, want in zip(
        program.run_alike(given), interpret([mean, softmax(x)], given), strict=True
    ):
        assert_close(got, want)


MACHINES = [
    Target("aarch64-unknown-linux-gnu", "neoverse-n1", "", 128, 32),
    Target("x86_64-unknown-linux-gnu", "haswell", "", 256, 16),
    Target("x86_64-unknown-linux-gnu", "x86-64-v2", "", 128, 16),
]


@pytest.mark.parametrize("target", MACHINES, ids=lambda t: t.cpu)
@pytest.mark.parametrize("length", [3, 40, 500])
def test_other_machines(target: Target, length: int) -> None:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    x = ops.input((32, length), F32)
    (kernel,) = fuse([softmax(x)])
    assert assembly(lower(kernel, target).ir(), target)


def test_rows_are_an_argument() -> None:
    """Kernels that differ in the number of rows alone share their code."""
    keys = set()
    for rows in (32, 100):
        (kernel,) = fuse([softmax(ops.input((rows, 40), F32))])
        keys.add(lower(kernel, host()).key)
    assert len(keys) == 1
