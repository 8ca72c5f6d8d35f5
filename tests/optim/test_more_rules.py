"""The rules beside SGD and Adam, each against a transcription of its paper's formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import glubina as gl
from glubina import nn, optim

Array = NDArray[Any]
STEPS = 20


def gradient(w: Array) -> Array:
    return (w - 1) ** 3 + 1


def trained(rule: Any, start: Array, **settings: Any) -> Array:
    """The same steps by Glubina: the loss is Σ (w − 1)⁴ / 4 + w."""
    w = gl.tensor(start, requires_grad=True)
    optimizer = rule([w], **settings)
    for _ in range(STEPS):
        optimizer.zero_grad()
        ((w - 1) ** 4 / 4 + w).sum().backward()
        optimizer.step()
    return w.numpy()


def adagrad(
    w: Array, lr: float, lr_decay: float = 0, weight_decay: float = 0, begin: float = 0
) -> Array:
    s = np.full_like(w, begin)
    for t in range(1, STEPS + 1):
        g = gradient(w) + weight_decay * w
        s = s + g * g
        w = w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + 1e-10)
    return w


def rmsprop(
    w: Array, lr: float, alpha: float, momentum: float = 0, centered: bool = False
) -> Array:
    v, m, b = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for _ in range(STEPS):
        g = gradient(w)
        v, m = alpha * v + (1 - alpha) * g * g, alpha * m + (1 - alpha) * g
        root = np.sqrt(v - m * m if centered else v) + 1e-8
        b = momentum * b + g / root
        w = w - lr * b
    return w


def adamax(w: Array, lr: float, betas: tuple[float, float]) -> Array:
    m, u = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient(w)
        m, u = betas[0] * m + (1 - betas[0]) * g, np.maximum(betas[1] * u, abs(g) + 1e-8)
        w = w - lr / (1 - betas[0] ** t) * m / u
    return w


def nadam(w: Array, lr: float, betas: tuple[float, float], decay: float = 0.0) -> Array:
    m, v, product = np.zeros_like(w), np.zeros_like(w), 1.0
    for t in range(1, STEPS + 1):
        w = w * (1 - lr * decay)
        g = gradient(w)
        mu, after = (betas[0] * (1 - 0.5 * 0.96 ** (n * 4e-3)) for n in (t, t + 1))
        product *= mu
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        hat = (1 - mu) * g / (1 - product) + after * m / (1 - product * after)
        w = w - lr * hat / (np.sqrt(v / (1 - betas[1] ** t)) + 1e-8)
    return w


def radam(w: Array, lr: float, betas: tuple[float, float]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    most = 2 / (1 - betas[1]) - 1
    for t in range(1, STEPS + 1):
        g = gradient(w)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        rho = most - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        step = m / (1 - betas[0] ** t)
        if rho > 5:
            r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            step = step * r * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + 1e-8)
        w = w - lr * step
    return w


def lion(w: Array, lr: float, betas: tuple[float, float], weight_decay: float = 0) -> Array:
    m = np.zeros_like(w)
    for _ in range(STEPS):
        g = gradient(w)
        w = w * (1 - lr * weight_decay) - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
    return w


def muon(w: Array, lr: float, rule: str | None = None) -> Array:
    m = np.zeros_like(w)
    rows, columns = w.shape
    factor = 0.2 * max(rows, columns) ** 0.5 if rule else max(1, rows / columns) ** 0.5
    for _ in range(STEPS):
        g = gradient(w)
        m = 0.95 * m + 0.05 * g
        x = 0.05 * g + 0.95 * m
        x = x / max(np.linalg.norm(x), 1e-7)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        w = w * (1 - lr * 0.1) - lr * factor * x
    return w


CASES: list[tuple[Any, Callable[..., Array], dict[str, Any], dict[str, Any]]] = [
    (optim.Adagrad, adagrad, {"lr": 0.3}, {}),
    (optim.Adagrad, adagrad, {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.1}, {}),
    (optim.RMSprop, rmsprop, {"lr": 0.02, "alpha": 0.9}, {}),
    (optim.RMSprop, rmsprop, {"lr": 0.02, "alpha": 0.9, "momentum": 0.8, "centered": True}, {}),
    (optim.Adamax, adamax, {"lr": 0.05, "betas": (0.9, 0.99)}, {}),
    (optim.NAdam, nadam, {"lr": 0.05, "betas": (0.9, 0.99)}, {}),
    (optim.RAdam, radam, {"lr": 0.05, "betas": (0.9, 0.99)}, {}),
    (optim.Lion, lion, {"lr": 0.03, "betas": (0.9, 0.99), "weight_decay": 0.1}, {}),
    (optim.Muon, muon, {"lr": 0.05}, {}),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("rule", "formula", "settings", "more"), CASES)
def test_trajectories(rule: Any, formula: Any, settings: Any, more: Any, dtype: Any) -> None:
    start = np.random.default_rng(0).standard_normal((5, 3)).astype(dtype)
    found = trained(rule, start, **settings, **more)
    assert found.dtype == dtype
    tolerance = 1e-10 if dtype is np.float64 else 2e-4
    np.testing.assert_allclose(
        found, formula(start.astype(np.float64), **settings), tolerance, tolerance
    )


def test_variants() -> None:
    start = np.random.default_rng(0).standard_normal((3, 5))
    found = trained(optim.Adagrad, start, lr=0.1, initial_accumulator_value=0.5)
    np.testing.assert_allclose(found, adagrad(start, 0.1, begin=0.5), rtol=1e-10)
    apart = {"weight_decay": 0.2, "decoupled_weight_decay": True}
    found = trained(optim.NAdam, start, lr=0.05, betas=(0.9, 0.99), **apart)
    expected = start
    m, v, product = np.zeros_like(start), np.zeros_like(start), 1.0
    for t in range(1, STEPS + 1):
        g = gradient(expected)
        expected = expected * (1 - 0.05 * 0.2)
        mu, after = (0.9 * (1 - 0.5 * 0.96 ** (n * 4e-3)) for n in (t, t + 1))
        product *= mu
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        hat = (1 - mu) * g / (1 - product) + after * m / (1 - product * after)
        expected = expected - 0.05 * hat / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    found = trained(optim.Muon, start, lr=0.05, adjust_lr_fn="match_rms_adamw")
    np.testing.assert_allclose(found, muon(start, 0.05, "match"), rtol=1e-9)


RULES: list[Callable[[Any], optim.Optimizer]] = [
    lambda p: optim.Adagrad(p, lr=0.1),
    lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    lambda p: optim.Adamax(p, lr=0.01),
    lambda p: optim.NAdam(p, lr=0.01),
    lambda p: optim.RAdam(p, lr=0.01),
    lambda p: optim.Lion(p, lr=0.001),
]


@pytest.mark.parametrize("make", RULES)
def test_compiled_and_continued(make: Callable[[Any], optim.Optimizer]) -> None:
    """A compiled loop, and one that is saved and loaded half-way, end where the plain one does."""

    def network() -> nn.Module:
        gl.manual_seed(4)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    x = gl.tensor(np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32))
    y = (x * x).sum(axis=1, keepdims=True)

    def run(model: nn.Module, rule: optim.Optimizer, steps: int, compiled: bool) -> None:
        def step() -> None:
            rule.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            rule.step()

        again = gl.compile(step) if compiled else step
        for _ in range(steps):
            again()

    plain, native, parted = network(), network(), network()
    run(plain, make(plain.parameters()), 8, False)
    run(native, make(native.parameters()), 8, True)
    first = make(parted.parameters())
    run(parted, first, 4, False)
    second = make(parted.parameters())
    second.load_state_dict(first.state_dict())
    run(parted, second, 4, False)
    for a, b, c in zip(plain.parameters(), native.parameters(), parted.parameters(), strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(c.numpy(), a.numpy(), rtol=1e-4, atol=1e-6)


# -- L-BFGS ---------------------------------------------------------------------------------------


def rosenbrock(w: gl.Tensor) -> gl.Tensor:
    return ((1 - w[:-1]) ** 2 + 100 * (w[1:] - w[:-1] ** 2) ** 2).sum()


def test_lbfgs_finds_the_valley() -> None:
    w = gl.tensor(np.array([-1.2, 1.0, -0.5, 2.0]), requires_grad=True)
    optimizer = optim.LBFGS([w], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> gl.Tensor:
        optimizer.zero_grad()
        loss = rosenbrock(w)
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert first.item() > 100
    assert closure().item() < 1e-8
    np.testing.assert_allclose(w.numpy(), np.ones(4), rtol=1e-4)


def test_lbfgs_solves_a_quadratic_and_can_be_continued() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    matrix, right = root @ root.T + np.eye(6), rng.standard_normal(6)
    a, b = gl.tensor(matrix), gl.tensor(right)
    found = []
    for parts in (1, 2):
        w = gl.tensor(np.zeros(6), requires_grad=True)
        rule = optim.LBFGS([w], lr=1.0, max_iter=20 // parts, tolerance_change=0.0)
        for _ in range(parts):
            kept = rule.state_dict()
            rule = optim.LBFGS([w], lr=1.0, max_iter=20 // parts, tolerance_change=0.0)
            rule.load_state_dict(kept)

            def closure(w: Any = w, rule: Any = rule) -> gl.Tensor:
                rule.zero_grad()
                loss = (w * (a @ w)).sum() / 2 - (b * w).sum()
                loss.backward()
                return loss

            rule.step(closure)
        found.append(w.numpy())
    np.testing.assert_allclose(found[0], np.linalg.solve(matrix, right), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: optim.Adagrad(p, lr_decay=-1), "lr_decay must not be negative, got -1"),
        (lambda p: optim.RMSprop(p, alpha=2), "alpha must be between 0 and 1, got 2"),
        (lambda p: optim.Lion(p, betas=(1, 0)), "betas are two numbers from 0 to below 1"),
        (lambda p: optim.NAdam(p, momentum_decay=-1), "momentum_decay must not be negative"),
        (lambda p: optim.Muon(p), r"Muon is for matrices, got a parameter of shape \(3,\)"),
        (lambda p: optim.LBFGS(p, line_search_fn="wolfe"), "line_search_fn must be None or 's"),
        (lambda p: optim.LBFGS(p).step(), "needs a closure"),
    ],
)
def test_bad_settings(make: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make([gl.ones(3, requires_grad=True)])
