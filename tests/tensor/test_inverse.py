"""Inverse functions: the values of NumPy and SciPy to the last bits, derivatives of two orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from scipy import special

import glubina as gl

INSIDE = np.concatenate([np.linspace(-1, 1, 101), [1e-8, -1e-8, 0.999999, -0.999999]])
ALL = np.concatenate([np.linspace(-5, 5, 101), [0, 1e-8, 1e9, -1e30, np.inf, -np.inf]])
ABOVE = np.concatenate([np.linspace(1, 9, 50), [1 + 1e-9, 1e9, np.inf]])
FUNCTIONS: list[tuple[Any, Any, Any]] = [
    (gl.atan, np.arctan, ALL),
    (gl.asin, np.arcsin, INSIDE),
    (gl.acos, np.arccos, INSIDE),
    (gl.asinh, np.arcsinh, ALL),
    (gl.acosh, np.arccosh, ABOVE),
    (gl.atanh, np.arctanh, INSIDE[1:100]),
    (gl.erfinv, special.erfinv, INSIDE[1:100]),
]


@pytest.mark.parametrize(("function", "wanted", "x"), FUNCTIONS)
@pytest.mark.parametrize(("dtype", "ulps"), [(np.float32, 6), (np.float64, 24)])
def test_values(function: Any, wanted: Any, x: Any, dtype: Any, ulps: int) -> None:
    given = x.astype(dtype)
    with np.errstate(all="ignore"):
        exact = wanted(given.astype(np.float64))
    found = function(gl.tensor(given)).numpy()
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found, exact.astype(dtype), rtol=ulps * np.finfo(dtype).eps, atol=np.finfo(dtype).eps
    )


@pytest.mark.parametrize(("function", "x"), [(f, x) for f, _, x in FUNCTIONS])
def test_derivatives(function: Any, x: Any) -> None:
    low, high = (1.2, 3.0) if x is ABOVE else (-0.8, 0.8)
    check_gradients(lambda t: function(t).sum(), np.linspace(low, high, 6))


def test_outside() -> None:
    for function in (gl.asin, gl.acos, gl.atanh, gl.erfinv):
        assert np.isnan(function(gl.tensor([1.5, -2.0])).numpy()).all()


def test_atan2() -> None:
    grid = np.array([-2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0])
    y, x = np.meshgrid(grid, grid)
    found = gl.atan2(gl.tensor(y), gl.tensor(x)).numpy()
    np.testing.assert_allclose(found, np.arctan2(y, x), rtol=1e-14)
    sides = [np.array([1.0, -2.0, 0.3]), np.array([-0.5, 1.0, 2.0])]
    check_gradients(lambda y, x: gl.atan2(y, x).sum(), *sides)
