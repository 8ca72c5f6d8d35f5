"""The forms that lectures give rules and layers, where they differ from PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn, optim

RANDOM = np.random.default_rng(2)
START, MATRIX = RANDOM.standard_normal(4), np.diag([1.0, 3.0, 0.5, 2.0])
RATES = [0.1, 0.1, 0.05, 0.2, 0.2, 0.01]


def _run(make: Any, rates: list[float]) -> Any:
    """The weights after the steps on w A w / 2, in a loop and compiled."""
    results = []
    for compiled in (False, True):
        w = gl.tensor(START, requires_grad=True)
        rule, a = make([w]), gl.tensor(MATRIX)

        def step(w: Any = w, rule: Any = rule, a: Any = a) -> None:
            rule.zero_grad()
            ((w @ a) * w).sum().backward(gl.tensor(0.5, dtype="float64"))
            rule.step()

        run = gl.compile(step) if compiled else step
        for rate in rates:
            rule.param_groups[0]["lr"] = rate
            run()
        results.append(w.numpy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)
    return results[0]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dampening", [0.0, 0.3])
def test_momentum_with_the_rate_inside(nesterov: bool, dampening: float) -> None:
    if nesterov and dampening:
        return
    w, v = START.copy(), None
    for rate in RATES:
        g = rate * (MATRIX @ w)
        v = g if v is None else 0.9 * v + (1 - dampening) * g
        w = w - (0.9 * v + g if nesterov else v)
    settings = {"momentum": 0.9, "nesterov": nesterov, "dampening": dampening}
    found = _run(lambda p: optim.SGD(p, rate_inside=True, **settings), RATES)
    np.testing.assert_allclose(found, w, rtol=1e-10)
    same = [0.1] * 5
    plain = _run(lambda p: optim.SGD(p, **settings), same)
    inside = _run(lambda p: optim.SGD(p, rate_inside=True, **settings), same)
    np.testing.assert_allclose(inside, plain, rtol=1e-12)
    assert abs(_run(lambda p: optim.SGD(p, **settings), RATES) - w).max() > 1e-4


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_without_bias_correction(kind: Any, decay: float) -> None:
    w, m, v = START.copy(), np.zeros(4), np.zeros(4)
    for rate in RATES:
        g = MATRIX @ w
        if kind is optim.AdamW:
            w = w * (1 - rate * decay)
        else:
            g = g + decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - rate * m / (np.sqrt(v) + 1e-8)
    found = _run(lambda p: kind(p, weight_decay=decay, bias_correction=False), RATES)
    np.testing.assert_allclose(found, w, rtol=1e-10)


def test_adam_with_decoupled_decay_is_adamw() -> None:
    one = _run(lambda p: optim.Adam(p, weight_decay=0.1, decoupled_weight_decay=True), RATES)
    other = _run(lambda p: optim.AdamW(p, weight_decay=0.1), RATES)
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_relu_s_slope_at_zero(slope: float) -> None:
    values = np.array([-2.0, -0.0, 0.0, 3.0, np.nan])
    layer = nn.ReLU(slope)
    x = gl.tensor(values, requires_grad=True)
    for function in (layer, gl.compile(layer)):
        np.testing.assert_array_equal(function(x).numpy(), [0, 0, 0, 3, np.nan])
    x.grad = None
    layer(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[:4], [0, slope, slope, 1])
    again = nn.build(nn.describe(layer))
    assert again.slope_at_zero == slope
    with pytest.raises(ValueError, match="slope_at_zero must be between 0 and 1, got 2"):
        nn.ReLU(2)


@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_with_eps_outside_the_root(affine: bool) -> None:
    x = RANDOM.standard_normal((8, 3)) * np.array([1.0, 0.1, 0.01])
    layer = nn.BatchNorm1d(3, eps=0.02, affine=affine, eps_outside=True).double()
    if affine:
        nn.init.normal_(layer.weight)
    w = layer.weight.numpy() if affine else 1.0
    wanted = (x - x.mean(0)) / (x.std(0) + 0.02) * w
    for function in (layer, gl.compile(layer)):
        np.testing.assert_allclose(function(gl.tensor(x)).numpy(), wanted, rtol=1e-9)
    weights = gl.tensor(RANDOM.standard_normal((8, 3)))
    check_gradients(lambda t: (layer(t) * weights).sum(), x)
    layer.eval()
    mean, deviation = layer.running_mean.numpy(), np.sqrt(layer.running_var.numpy())
    wanted = (x - mean) / (deviation + 0.02) * w
    np.testing.assert_allclose(layer(gl.tensor(x)).numpy(), wanted, rtol=1e-9)
    assert "eps_outside=True" in repr(layer)
    assert nn.build(nn.describe(layer)).eps_outside
