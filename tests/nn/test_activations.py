"""Activation functions against their formulas, and their derivatives to second order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn
from glubina.graph import DTypeError, ShapeError
from glubina.nn import functional as F

X = np.array([-30.0, -7.5, -3.2, -2.0, -0.7, -0.3, 0.2, 0.6, 1.4, 2.6, 3.5, 6.5, 30.0])
softplus = np.logaddexp(0, X)
sigmoid = 1 / (1 + np.exp(-X))

CASES: list[tuple[nn.Module, Any]] = [
    (nn.LeakyReLU(), np.where(X > 0, X, 0.01 * X)),
    (nn.LeakyReLU(0.3), np.where(X > 0, X, 0.3 * X)),
    (nn.PReLU(), np.where(X > 0, X, 0.25 * X)),
    (nn.ELU(1.5), np.where(X > 0, X, 1.5 * np.expm1(X))),
    (nn.CELU(2.0), np.where(X > 0, X, 2 * np.expm1(X / 2))),
    (nn.SELU(), 1.0507009873554805 * np.where(X > 0, X, 1.6732632423543772 * np.expm1(X))),
    (nn.Hardtanh(-2.5, 1.0), np.clip(X, -2.5, 1)),
    (nn.ReLU6(), np.clip(X, 0, 6)),
    (nn.Hardsigmoid(), np.clip(X / 6 + 0.5, 0, 1)),
    (nn.Hardswish(), X * np.clip(X / 6 + 0.5, 0, 1)),
    (nn.Hardshrink(), np.where(abs(X) > 0.5, X, 0)),
    (nn.Softshrink(0.4), np.sign(X) * np.maximum(abs(X) - 0.4, 0)),
    (nn.Threshold(0.5, -4.0), np.where(X > 0.5, X, -4)),
    (nn.Heaviside(), np.heaviside(X, 1)),
    (nn.Softplus(), softplus),
    (nn.Softplus(2.0), np.logaddexp(0, 2 * X) / 2),
    (nn.LogSigmoid(), -np.logaddexp(0, -X)),
    (nn.Softsign(), X / (1 + abs(X))),
    (nn.Mish(), X * np.tanh(softplus)),
    (nn.SiLU(), X * sigmoid),
    (nn.GELU(), X / 2 * (1 + np.vectorize(math.erf)(X / math.sqrt(2)))),
    (nn.GELU("tanh"), X / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)))),
    (nn.Tanhshrink(), X - np.tanh(X)),
    (nn.Softmin(), np.exp(-X - (-X).max()) / np.exp(-X - (-X).max()).sum()),
]


@pytest.mark.parametrize(("layer", "expected"), CASES, ids=lambda v: repr(v)[:30])
def test_values_and_derivatives(layer: nn.Module, expected: Any) -> None:
    layer.double()
    found = layer(gl.tensor(X)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    weights = gl.tensor(np.linspace(1, 2, X.size))
    inner = X[1:-1]
    check_gradients(lambda t: (layer(t) * weights[1:-1]).sum(), inner)
    assert layer.float()(gl.tensor(X.astype(np.float32))).dtype == np.float32


def test_glu() -> None:
    x = np.random.default_rng(0).standard_normal((3, 8, 2))
    found = nn.GLU(1)(gl.tensor(x)).numpy()
    np.testing.assert_allclose(found, x[:, :4] / (1 + np.exp(-x[:, 4:])), rtol=1e-12)
    check_gradients(lambda t: (F.glu(t, 1) ** 2).sum(), x)
    with pytest.raises(ShapeError, match=r"glu: axis -1 of shape \(3, 7\) cannot be halved"):
        F.glu(gl.ones((3, 7)))


def _slope(function: Callable[[Any], Any], at: float) -> float:
    x = gl.tensor(np.array([at]), requires_grad=True)
    function(x).sum().backward()
    assert x.grad is not None
    return float(x.grad.item())


@pytest.mark.parametrize(
    ("function", "at", "slope"),
    [
        (F.leaky_relu, 0.0, 0.01),
        (F.elu, 0.0, 1.0),
        (F.relu6, 0.0, 0.0),
        (F.relu6, 6.0, 0.0),
        (F.hardtanh, 1.0, 0.0),
        (F.hardswish, -3.0, 0.0),
        (F.hardswish, 3.0, 1.0),
        (F.softplus, 0.0, 0.5),
        (F.softplus, 1000.0, 1.0),
        (F.softplus, -1000.0, 0.0),
        (F.logsigmoid, -1000.0, 1.0),
        (F.mish, 1000.0, 1.0),
        (F.mish, -1000.0, 0.0),
        (F.elu, 1000.0, 1.0),
        (F.selu, 1e300, 1.0507009873554805),
        (F.softsign, 0.0, 1.0),
        (F.heaviside, 0.0, 0.0),
    ],
)
def test_slopes_at_the_edges(function: Callable[[Any], Any], at: float, slope: float) -> None:
    assert _slope(function, at) == pytest.approx(slope, abs=1e-12)


def test_nan_stays_nan() -> None:
    nan = gl.tensor(np.array([math.nan]))
    for layer, _ in CASES:
        layer.double()
        if isinstance(layer, (nn.Softmin,)):
            continue
        assert math.isnan(layer(nan).item()), layer


def test_prelu_by_channel() -> None:
    layer = nn.PReLU(3, init=0.5)
    x = np.array([[-1.0, 2.0, -3.0]], np.float32)
    np.testing.assert_allclose(layer(gl.tensor(x)).numpy(), [[-0.5, 2, -1.5]])
    layer(gl.tensor(x)).sum().backward()
    assert layer.weight.grad is not None
    np.testing.assert_allclose(layer.weight.grad.numpy(), [-1, 0, -3])
    with pytest.raises(ShapeError, match="expected 3 channels on the last axis"):
        layer(gl.ones((2, 4)))


@pytest.mark.parametrize(("layer", "expected"), CASES, ids=lambda v: repr(v)[:30])
def test_architecture(layer: nn.Module, expected: Any) -> None:
    again = nn.build(nn.describe(layer))
    assert repr(again) == repr(layer)


def test_bad_arguments() -> None:
    for make, text in (
        (lambda: nn.CELU(0), "alpha must be positive, got 0"),
        (lambda: nn.Softplus(-1), "beta must be positive, got -1"),
        (lambda: nn.Hardtanh(1, 1), "min_val must be below max_val, got 1 and 1"),
        (lambda: nn.Hardshrink(-1), "lambd must not be negative, got -1"),
        (lambda: nn.PReLU(0), "num_parameters must be a whole number of at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=text):
            make()
    with pytest.raises(DTypeError, match="expected floating numbers, got int64"):
        F.mish(gl.tensor(np.array([1, 2])))
