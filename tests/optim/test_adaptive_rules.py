"""Rules that scale each step by the gradients before it, against their formulas in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import glubina as gl
from glubina import optim

Array = NDArray[Any]
STEPS = 7


def gradient(w: Array) -> Array:
    """Of Σ (w − 1)⁴ / 4 + w."""
    return (w - 1) ** 3 + 1


def slope(w: Array, s: dict[str, Any]) -> Array:
    return gradient(w) * (-1 if s.get("maximize") else 1) + s.get("weight_decay", 0) * w


def adadelta(w: Array, **s: Any) -> Array:
    lr, rho, eps = s.get("lr", 1.0), s.get("rho", 0.9), s.get("eps", 1e-6)
    square, length = np.zeros_like(w), np.zeros_like(w)
    for _ in range(STEPS):
        g = slope(w, s)
        square = rho * square + (1 - rho) * g * g
        step = np.sqrt(length + eps) / np.sqrt(square + eps) * g
        length = rho * length + (1 - rho) * step * step
        w = w - lr * step
    return w


def train(rule: Any, w: Any, steps: int) -> None:
    for _ in range(steps):
        rule.zero_grad()
        (((w - 1) ** 4 / 4 + w).sum()).backward()
        rule.step()


CASES: list[tuple[Any, Callable[..., Array], dict[str, Any]]] = [
    (optim.Adadelta, adadelta, {}),
    (optim.Adadelta, adadelta, {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    (optim.Adadelta, adadelta, {"maximize": True}),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("rule", "transcribed", "settings"), CASES)
def test_steps_are_those_of_the_formula(rule, transcribed, settings, dtype) -> None:
    start = np.random.default_rng(0).standard_normal((3, 4)).astype(dtype)
    w = gl.tensor(start, requires_grad=True)
    train(rule([w], **settings), w, STEPS)
    expected = transcribed(start.astype(np.float64), **settings)
    assert w.numpy().dtype == dtype
    exact = dtype is np.float64
    np.testing.assert_allclose(
        w.numpy(), expected, rtol=1e-10 if exact else 1e-4, atol=0 if exact else 1e-6
    )


@pytest.mark.parametrize("rule", [optim.Adadelta])
def test_training_goes_on_from_a_saved_state(rule) -> None:
    start = np.random.default_rng(0).standard_normal(5)
    whole = gl.tensor(start, requires_grad=True)
    train(rule([whole]), whole, 6)
    first = gl.tensor(start, requires_grad=True)
    begun = rule([first])
    train(begun, first, 3)
    second = gl.tensor(first.numpy(), requires_grad=True)
    other = rule([second])
    other.load_state_dict(begun.state_dict())
    train(other, second, 3)
    np.testing.assert_array_equal(second.numpy(), whole.numpy())


@pytest.mark.parametrize("rule", [optim.Adadelta])
def test_compiled_steps_are_the_same(rule) -> None:
    start = np.random.default_rng(1).standard_normal(5)
    plain, compiled = (gl.tensor(start, requires_grad=True) for _ in range(2))
    train(rule([plain]), plain, 4)
    other = rule([compiled])
    step = gl.compile(lambda: train(other, compiled, 1))
    for _ in range(4):
        step()
    np.testing.assert_array_equal(plain.numpy(), compiled.numpy())


@pytest.mark.parametrize(
    ("rule", "settings", "text"),
    [
        (optim.Adadelta, {"rho": 1.5}, "rho must be between 0 and 1, got 1.5"),
        (optim.Adadelta, {"lr": -1}, "lr must not be negative, got -1"),
    ],
)
def test_wrong_settings(rule, settings, text) -> None:
    with pytest.raises(ValueError, match=text):
        rule([gl.ones((1,), requires_grad=True)], **settings)


def test_rules_by_name() -> None:
    for name in optim.RULES:
        assert optim.named(name).__name__.lower() == name
