"""Mean and variance in one pass: as accurate as in two, the same bits with any threads."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import Compiled
from primitives import F32, F64

from glubina.graph import gradients, ops
from glubina.schedule.plan import labels, schedule

PATTERNS = [
    ((700, 5), (0,)), ((4, 9, 9, 16), (0, 1, 2)), ((90, 13, 20, 70), (0, 1, 2)),
    ((6, 3000), (1,)), ((5, 4, 3), (0, 2)), ((40_000,), (0,)), ((2, 3), (0,)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "axes"), PATTERNS)
@pytest.mark.parametrize("offset", [0.0, 1e4, -3e5])
def test_as_accurate_as_the_numbers(
    shape: tuple[int, ...], axes: tuple[int, ...], offset: float
) -> None:
    x = ops.input(shape, F32)
    program = Compiled([ops.mean(x, axes), ops.squared_deviations(x, axes)], [x])
    given = (np.random.default_rng(1).standard_normal(shape) + offset).astype(F32)
    mean, deviations = program.run_alike({x: given})
    exact = given.astype(np.float64)
    centred = exact - exact.mean(axis=axes, keepdims=True)
    np.testing.assert_allclose(mean, exact.mean(axis=axes), rtol=3e-7, atol=1e-7)
    rounding = 1e-6 + 1e-14 * offset**2
    np.testing.assert_allclose(deviations, np.square(centred).sum(axis=axes), rtol=rounding)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4, -123.456])
def test_equal_numbers_do_not_deviate(value: float) -> None:
    x = ops.input((8, 30, 30, 3), F32)
    deviations = ops.squared_deviations(x, (0, 1, 2))
    (found,) = Compiled([deviations], [x]).run_alike({x: np.full(x.shape, value, F32)})
    assert (found >= 0).all()
    assert (found / 7200 <= 1e-12 * value**2).all()


@pytest.mark.parametrize("awkward", [np.nan, np.inf])
def test_what_is_not_finite_shows(awkward: float) -> None:
    x = ops.input((300, 2), F32)
    given = np.ones(x.shape, F32)
    given[17, 1] = awkward
    (found,) = Compiled([ops.squared_deviations(x, (0,))], [x]).run_alike({x: given})
    assert found[0] == 0
    assert np.isnan(found[1])


def test_float64_is_summed_in_two_passes() -> None:
    x = ops.input((500, 3), F64)
    given = np.random.default_rng(2).standard_normal(x.shape) + 1e7
    (found,) = Compiled([ops.squared_deviations(x, (0,))], [x]).run_alike({x: given})
    np.testing.assert_allclose(found, given.var(axis=0) * 500, rtol=1e-9)


def test_one_kernel_reads_the_numbers_once() -> None:
    x = ops.input((64, 8, 8, 16), F32)
    outputs = [ops.mean(x, (0, 1, 2)), ops.squared_deviations(x, (0, 1, 2))]
    (kernel,) = schedule(outputs, [x], [-1, -1]).kernels
    assert labels([kernel])[0].startswith("sum+sum+")


def test_batch_norm_backward_is_a_reduction_and_an_elementwise_kernel() -> None:
    x, g = ops.input((64, 8, 8, 16), F32), ops.input((64, 8, 8, 16), F32)
    axes = (0, 1, 2)
    variance = ops.squared_deviations(x, axes)
    scale = ops.divide(ops.full_like(variance, 1), ops.sqrt(variance))
    centred = ops.subtract(x, ops.restored(ops.mean(x, axes), axes, x.shape))
    y = ops.multiply(centred, ops.restored(scale, axes, x.shape))
    loss = ops.sum(ops.multiply(y, g), (0, 1, 2, 3))
    (dx,) = gradients(loss, [x])
    kernels = schedule([dx], [x, g], [-1]).kernels
    assert [kernel.kind for kernel in kernels] == ["reduce", "reduce", "map"]
