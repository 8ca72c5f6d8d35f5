"""Penalties and clipping in `fit` against the same in a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.nn import penalty

RANDOM = np.random.default_rng(4)
X, Y = RANDOM.standard_normal((16, 3)).astype("f"), RANDOM.standard_normal((16, 2)).astype("f")


def _net() -> Any:
    gl.manual_seed(2)
    return nn.Linear(3, 2)


@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.1}, {"clip_value": 0.05}])
@pytest.mark.parametrize("kind", [penalty.l1, penalty.l2, penalty.elastic])
def test_fit_is_as_the_formula(kind: Any, clip: dict[str, float]) -> None:
    net = _net()
    w, b = net.weight.numpy(), net.bias.numpy()
    net.compile(optim.SGD(net.parameters(), lr=0.1), "mse", penalty=kind([net.weight], 0.3), **clip)
    net.fit(X, Y, batch_size=16, epochs=4, shuffle=False, verbose=0)
    for _ in range(4):
        error = 2 * (X @ w.T + b - Y) / Y.size
        slopes = {penalty.l1: np.sign(w), penalty.l2: 2 * w, penalty.elastic: np.sign(w) / 2 + w}
        dw, db = error.T @ X + 0.3 * slopes[kind], error.sum(0)
        if "clip_value" in clip:
            dw, db = np.clip(dw, -0.05, 0.05), np.clip(db, -0.05, 0.05)
        if "clip_norm" in clip:
            factor = min(1, 0.1 / (np.sqrt((dw**2).sum() + (db**2).sum()) + 1e-6))
            dw, db = factor * dw, factor * db
        w, b = w - 0.1 * dw, b - 0.1 * db
    np.testing.assert_allclose(net.weight.numpy(), w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net.bias.numpy(), b, rtol=1e-4, atol=1e-6)


def test_errors() -> None:
    with pytest.raises(ValueError, match="clip_norm must be positive, got 0"):
        _net().compile(loss="mse", clip_norm=0)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        penalty.l1(_net().parameters(), -1)
    with pytest.raises(ValueError, match="given no parameters"):
        penalty.l2([], 1.0)
    with pytest.raises(ValueError, match="ratio must be between 0 and 1, got 2"):
        penalty.elastic(_net().parameters(), 1.0, 2)
