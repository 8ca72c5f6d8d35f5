"""Derivatives against central differences, to second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import glubina as gl

Array = NDArray[Any]


def gradients(function: Callable[..., Any], arrays: list[Array]) -> list[Array]:
    """The gradients of a scalar function, by `backward`."""
    tensors = [gl.tensor(a, requires_grad=True) for a in arrays]
    function(*tensors).backward()
    return [np.zeros_like(a) if t.grad is None else t.grad.numpy() for t, a in zip(tensors, arrays)]


def check_gradients(
    function: Callable[..., Any], *arrays: Array, second: bool = True, step: float = 1e-5
) -> None:
    """Compare with central differences along random directions; `second`: of the gradients too."""
    random = np.random.default_rng(0)
    directions = [random.standard_normal(a.shape) for a in arrays]

    def moved(amount: float) -> list[Array]:
        return [a + amount * d for a, d in zip(arrays, directions)]

    def value(amount: float) -> float:
        return float(function(*[gl.tensor(a) for a in moved(amount)]).item())

    found = gradients(function, list(arrays))
    along = sum(float((g * d).sum()) for g, d in zip(found, directions))
    expected = (value(step) - value(-step)) / (2 * step)
    np.testing.assert_allclose(along, expected, rtol=1e-6, atol=1e-8)
    if not second:
        return
    weights = [random.standard_normal(a.shape) for a in arrays]

    def slope(*tensors: Any) -> Any:
        """Σ weight · gradient, itself a function with a gradient."""
        loss = function(*tensors)
        loss.backward(create_graph=True)
        parts = [(t.grad * gl.tensor(w)).sum() for t, w in zip(tensors, weights)]
        for t in tensors:
            t.grad = None
        return sum(parts[1:], parts[0])

    def slope_at(amount: float) -> float:
        tensors = [gl.tensor(a, requires_grad=True) for a in moved(amount)]
        return float(slope(*tensors).item())

    curved = gradients(slope, list(arrays))
    along = sum(float((g * d).sum()) for g, d in zip(curved, directions))
    expected = (slope_at(step) - slope_at(-step)) / (2 * step)
    np.testing.assert_allclose(along, expected, rtol=1e-5, atol=1e-7)
