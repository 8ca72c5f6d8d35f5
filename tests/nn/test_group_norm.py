"""Normalisation by groups, by channels, by the root mean square: against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn
from glubina.graph import ShapeError
from glubina.nn import functional as F

RANDOM = np.random.default_rng(5)


def _grouped(x: Any, groups: int, eps: float = 1e-5) -> Any:
    apart = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    mean, var = apart.mean((1, 3), keepdims=True), apart.var((1, 3), keepdims=True)
    return ((apart - mean) / np.sqrt(var + eps)).reshape(x.shape)


@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("shape", [(2, 6), (3, 4, 6), (2, 3, 4, 6)])
def test_group_norm(groups: int, shape: tuple[int, ...]) -> None:
    if len(shape) == 2 and groups == 6:
        pytest.skip("groups of one value have no variance")
    x, w, b = RANDOM.standard_normal(shape), RANDOM.standard_normal(6), RANDOM.standard_normal(6)
    found = F.group_norm(gl.tensor(x), groups, gl.tensor(w), gl.tensor(b)).numpy()
    np.testing.assert_allclose(found, _grouped(x, groups) * w + b, rtol=1e-9, atol=1e-12)
    check_gradients(lambda *t: (F.group_norm(t[0], groups, *t[1:]) ** 2).sum(), x, w, b)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (nn.InstanceNorm1d, (3, 5, 4)),
        (nn.InstanceNorm2d, (3, 5, 2, 4)),
        (nn.InstanceNorm3d, (2, 3, 2, 2, 4)),
    ],
)
def test_instance_norm(kind: Any, shape: tuple[int, ...]) -> None:
    x = RANDOM.standard_normal(shape)
    np.testing.assert_allclose(kind(4)(gl.tensor(x)).numpy(), _grouped(x, 4), rtol=1e-9)
    layer = kind(4, affine=True, track_running_stats=True).double()
    layer(gl.tensor(x))
    axes = tuple(range(1, len(shape) - 1))
    mean, var = x.mean(axes).mean(0), x.var(axes, ddof=1).mean(0)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * mean, rtol=1e-9)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * var, rtol=1e-9)
    used = layer.eval()(gl.tensor(x)).numpy()
    expected = (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * var + 1e-5)
    np.testing.assert_allclose(used, expected, rtol=1e-9)


def test_rms_norm() -> None:
    x, w = RANDOM.standard_normal((3, 4, 5)), RANDOM.standard_normal((4, 5))
    found = F.rms_norm(gl.tensor(x), (4, 5), gl.tensor(w), 0.1).numpy()
    expected = x / np.sqrt((x**2).mean((1, 2), keepdims=True) + 0.1) * w
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    check_gradients(lambda x, w: (F.rms_norm(x, (4, 5), w, 0.1) ** 2).sum(), x, w)
    assert nn.RMSNorm(5)(gl.zeros((2, 5))).numpy().tolist() == [[0.0] * 5] * 2


@pytest.mark.parametrize(
    "layer",
    [nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True), nn.RMSNorm(6), nn.GroupNorm(3, 6)],
    ids=repr,
)
def test_compiled_is_as_plain(layer: nn.Module) -> None:
    x = gl.tensor(RANDOM.standard_normal((2, 4, 3, 6)).astype(np.float32))
    plain = layer(x).numpy()
    np.testing.assert_allclose(gl.compile(layer)(x).numpy(), plain, rtol=1e-5, atol=1e-6)
    assert repr(nn.build(nn.describe(layer))) == repr(layer)


def test_errors() -> None:
    with pytest.raises(ValueError, match="a multiple of num_groups, got 7 and 2"):
        nn.GroupNorm(2, 7)
    with pytest.raises(ShapeError, match=r"expected input of shape \(N, \*, C\) with C = 6"):
        nn.GroupNorm(2, 6)(gl.ones((2, 4)))
    with pytest.raises(ShapeError, match=r"\(N, H, W, C\) with C = 6, got \(2, 6\)"):
        nn.InstanceNorm2d(6)(gl.ones((2, 6)))
    with pytest.raises(ShapeError, match="more than one position per channel"):
        nn.InstanceNorm1d(6)(gl.ones((2, 1, 6)))
    with pytest.raises(ShapeError, match=r"expected input of shape \(\.\.\., 5\)"):
        nn.RMSNorm(5)(gl.ones((2, 6)))
