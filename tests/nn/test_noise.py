"""Layers that are random in training: what they keep, drop and leave as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.graph import ShapeError
from glubina.nn import functional as F


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout1d(0.25), (40, 5, 30)),
        (nn.Dropout2d(0.25), (40, 5, 3, 30)),
        (nn.Dropout3d(0.25), (40, 2, 5, 3, 30)),
    ],
    ids=repr,
)
def test_whole_channels_are_dropped(layer: Any, shape: tuple[int, ...]) -> None:
    gl.manual_seed(0)
    y = layer(gl.ones(shape)).numpy()
    kept = y.reshape(shape[0], -1, shape[-1])
    assert (kept == kept[:, :1]).all()
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert abs((kept[:, 0] == 0).mean() - 0.25) < 0.05
    np.testing.assert_array_equal(layer.eval()(gl.ones(shape)).numpy(), np.ones(shape))


def test_drop_path_drops_examples() -> None:
    gl.manual_seed(0)
    y = nn.DropPath(0.5)(gl.ones((200, 3, 4))).numpy()
    assert (y == y[:, :1, :1]).all()
    assert abs((y[:, 0, 0] == 0).mean() - 0.5) < 0.1
    x = gl.ones((3, 4))
    assert F.drop_path(x) is x


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    gl.manual_seed(1)
    x = F.selu(gl.randn(400, 500))
    y = nn.AlphaDropout(0.2)(x).numpy()
    assert abs(y.mean()) < 0.01
    assert abs(y.std() - 1) < 0.01
    assert (nn.AlphaDropout(1.0)(x).numpy() == 0).all()


def test_gaussian_noise() -> None:
    gl.manual_seed(0)
    layer = nn.GaussianNoise(0.5)
    y = layer(gl.zeros((300, 300))).numpy()
    assert abs(y.std() - 0.5) < 0.01
    assert (layer.eval()(gl.zeros((3, 3))).numpy() == 0).all()


def test_drop_connect_drops_weights() -> None:
    gl.manual_seed(0)
    layer = nn.DropConnectLinear(50, 40, p=0.25)
    used = layer(gl.tensor(np.eye(50, dtype=np.float32))).numpy() - layer.bias.numpy()
    ratio = used.T / layer.weight.numpy()
    dropped = np.isclose(ratio, 0)
    assert abs(dropped.mean() - 0.25) < 0.05
    np.testing.assert_allclose(ratio[~dropped], 1 / 0.75, rtol=1e-3)
    layer(gl.ones((1, 50))).sum().backward()
    assert layer.weight.grad is not None
    assert set(np.unique(layer.weight.grad.numpy())) == {0, np.float32(1 / 0.75)}
    plain = F.linear(gl.ones((1, 50)), layer.weight, layer.bias).numpy()
    np.testing.assert_array_equal(layer.eval()(gl.ones((1, 50))).numpy(), plain)
    assert repr(nn.build(nn.describe(layer))) == "DropConnectLinear(50, 40, p=0.25)"


@pytest.mark.parametrize(
    "layer",
    [nn.Dropout2d(0.5), nn.AlphaDropout(0.3), nn.DropPath(0.3), nn.GaussianNoise(0.1)],
    ids=repr,
)
def test_compiled_draws_anew(layer: nn.Module) -> None:
    step, x = gl.compile(layer), gl.ones((8, 4, 4, 6))
    gl.manual_seed(3)
    first, second = step(x).numpy(), step(x).numpy()
    assert (first != second).any()
    gl.manual_seed(3)
    np.testing.assert_allclose(layer(x).numpy(), first, rtol=1e-6)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"p must be between 0 and 1, got 1\.5"):
        nn.DropPath(1.5)
    with pytest.raises(ShapeError, match=r"dropout2d: expected an input of 4 axes .* got \(2, 3\)"):
        nn.Dropout2d()(gl.ones((2, 3)))
    with pytest.raises(ValueError, match="std must not be negative, got -1"):
        nn.GaussianNoise(-1)
