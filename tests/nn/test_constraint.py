"""Constraints on weights: against NumPy, in loops, compiled steps and fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.nn import constraint

RANDOM = np.random.default_rng(3)
X, Y = RANDOM.standard_normal((16, 5)).astype("f"), RANDOM.standard_normal((16, 4)).astype("f")


def _norms(w: Any, axis: Any) -> Any:
    return np.sqrt((w * w).sum(axis=axis, keepdims=True))


CASES: dict[str, tuple[Any, Any]] = {
    "max_norm": (
        lambda p, axis: constraint.max_norm(p, 0.8, axis),
        lambda w, n: w * np.minimum(1, 0.8 / n),
    ),
    "unit_norm": (lambda p, axis: constraint.unit_norm(p, axis), lambda w, n: w / n),
    "min_max_norm": (
        lambda p, axis: constraint.min_max_norm(p, 0.5, 0.8, 0.7, axis),
        lambda w, n: w * (0.7 * np.clip(n, 0.5, 0.8) + 0.3 * n) / n,
    ),
    "non_neg": (lambda p, axis: constraint.non_neg(p), lambda w, n: np.maximum(w, 0)),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize(
    ("shape", "given", "axes"),
    [((4, 5), None, 1), ((3, 3, 4, 6), None, (0, 1, 2)), ((7,), None, 0), ((4, 5), 0, 0)],
)
def test_against_the_formula(kind: str, shape: Any, given: Any, axes: Any) -> None:
    values = RANDOM.standard_normal(shape).astype("f") * 0.5
    make, formula = CASES[kind]
    parameter = nn.Parameter(values)
    make(parameter, given)()
    wanted = formula(values, _norms(values, axes))
    np.testing.assert_allclose(parameter.numpy(), wanted, rtol=1e-5, atol=1e-7)
    assert parameter.requires_grad


def test_weights_within_the_ball_keep_their_bits_and_zeros_stay() -> None:
    values = RANDOM.uniform(-0.1, 0.1, (6, 5)).astype("f")
    values[2] = 0
    parameter = nn.Parameter(values)
    constraint.max_norm(parameter, 2.0)()
    assert parameter.numpy().tobytes() == values.tobytes()
    constraint.unit_norm(parameter)()
    assert not parameter.numpy()[2].any()


def _net() -> Any:
    gl.manual_seed(5)
    return nn.Linear(5, 4)


def _reference(steps: int) -> Any:
    net = _net()
    w, b = net.weight.numpy(), net.bias.numpy()
    for _ in range(steps):
        error = 2 * (X @ w.T + b - Y) / Y.size
        w, b = w - 0.5 * error.T @ X, b - 0.5 * error.sum(0)
        w = w * np.minimum(1, 0.6 / _norms(w, 1))
    return w


@pytest.mark.parametrize("how", ["fit", "loop", "compiled"])
def test_in_training(how: str) -> None:
    net = _net()
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    bound = constraint.max_norm([net.weight], 0.6)

    def step(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
        bound()

    if how == "fit":
        net.compile(optimizer, "mse", constraint=bound)
        net.fit(X, Y, batch_size=16, epochs=5, shuffle=False, verbose=0)
    else:
        run = gl.compile(step) if how == "compiled" else step
        for _ in range(5):
            run(gl.tensor(X), gl.tensor(Y))
    assert _norms(net.weight.numpy(), 1).max() <= 0.6 + 1e-6
    np.testing.assert_allclose(net.weight.numpy(), _reference(5), rtol=1e-4, atol=1e-6)


def test_errors() -> None:
    net = _net()
    with pytest.raises(ValueError, match="given no parameters"):
        constraint.non_neg([])
    with pytest.raises(ValueError, match="max_value must be above 0, got -1"):
        constraint.max_norm(net.parameters(), -1)
    with pytest.raises(ValueError, match="rate must be above 0 and at most 1, got 2"):
        constraint.min_max_norm(net.parameters(), rate=2)
    with pytest.raises(ValueError, match="min_value must be at most max_value, got 3 and 1"):
        constraint.min_max_norm(net.parameters(), 3, 1)
    with pytest.raises(TypeError, match="a constraint is on tensors, got 'weight'"):
        constraint.unit_norm(["weight"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="constraint must be a function without arguments"):
        net.compile(loss="mse", constraint=3)
