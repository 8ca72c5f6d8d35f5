"""How exact sums are: relative errors below a millionth, however many numbers there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl

Array = np.ndarray[Any, Any]

SHAPES = [
    ((1_000_003,), None), ((1000, 1000), 0), ((1000, 1000), 1), ((100_000, 10), 0),
    ((100_000, 10), None), ((4, 250_000), 1), ((50_000, 2, 7), (0, 2)), ((100, 100, 100), (0, 2)),
    ((16, 16, 16, 200), (0, 1, 2)), ((37, 3, 9001), (0, 2)),
]  # fmt: skip


def kinds(shape: tuple[int, ...]) -> dict[str, Array]:
    """Numbers that are hard to add up: equal ones round the same way each time."""
    rng = np.random.default_rng(0)
    wild = rng.random(shape, np.float32) * np.where(rng.random(shape) < 0.5, 1, 1e-6)
    return {
        "random": rng.random(shape, np.float32),
        "ones": np.ones(shape, np.float32),
        "0.1": np.full(shape, 0.1, np.float32),
        "0.5248623": np.full(shape, 0.5248623, np.float32),
        "magnitudes": wild.astype(np.float32),
    }


@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_sums_are_exact_to_a_millionth(shape: tuple[int, ...], axis: Any) -> None:
    def all_of_them(t: gl.Tensor) -> tuple[gl.Tensor, ...]:
        return gl.sum(t, axis=axis), gl.mean(t, axis=axis), gl.sum(t * t, axis=axis)

    compiled = gl.compile(all_of_them)
    for name, x in kinds(shape).items():
        exact = x.astype(np.float64)
        wanted = [exact.sum(axis), exact.mean(axis), np.square(exact).sum(axis)]
        found = [value.numpy() for value in compiled(gl.tensor(x))]
        for one, other in zip(found, wanted, strict=True):
            assert (np.abs(one - other) <= 6e-7 * other).all(), name
        eager = [value.numpy() for value in all_of_them(gl.tensor(x))]
        for threads in (1, 3):
            gl.set_num_threads(threads)
            again = [value.numpy() for value in compiled(gl.tensor(x))]
            assert [a.tobytes() for a in again] == [a.tobytes() for a in found]
        gl.set_num_threads(None)
        for one, other in zip(eager, wanted, strict=True):
            assert (np.abs(one - other) <= 6e-7 * other).all(), name
        var = gl.var(gl.tensor(x), axis=axis).numpy()
        np.testing.assert_allclose(var, exact.var(axis), rtol=1e-5, atol=1e-12)


@pytest.mark.slow
def test_the_sum_of_a_hundred_million_numbers() -> None:
    for value in (None, 1.0, 0.1, 0.9429636):
        if value is None:
            x = np.random.default_rng(0).random(10**8, np.float32)
        else:
            x = np.full(10**8, value, np.float32)
        wanted = float(x.sum(dtype=np.float64))
        tensor = gl.tensor(x)
        del x
        assert abs(tensor.sum().item() - wanted) < 1e-6 * wanted
        assert abs(gl.mean(tensor).item() - wanted / 1e8) < 1e-6 * wanted / 1e8
