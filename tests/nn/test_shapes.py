"""Layers that pad, rearrange and merge: against NumPy, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn
from glubina.graph import ShapeError
from glubina.nn import functional as F

RANDOM = np.random.default_rng(7)
NUMPY = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        ((2, 5, 3), (1, 3)),
        ((2, 5, 6, 3), (2, 0, 1, 3)),
        ((2, 4, 3, 5, 2), (1, 2, 0, 2, 3, 1)),
    ],
)
def test_padding(mode: str, shape: tuple[int, ...], padding: tuple[int, ...]) -> None:
    x = RANDOM.standard_normal(shape)
    pairs = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)][::-1]
    options = {"constant_values": 1.5} if mode == "constant" else {}
    expected = np.pad(x, [(0, 0), *pairs, (0, 0)], NUMPY[mode], **options)  # type: ignore[call-overload]
    value = 1.5 if mode == "constant" else 0.0
    np.testing.assert_array_equal(F.pad(gl.tensor(x), padding, mode, value).numpy(), expected)
    check_gradients(lambda t: (F.pad(t, padding, mode, value) ** 2).sum(), x)


def test_negative_padding_cuts() -> None:
    x = RANDOM.standard_normal((1, 5, 6, 2))
    found = F.pad(gl.tensor(x), (-1, 2, 0, -3)).numpy()
    np.testing.assert_array_equal(found, np.pad(x[:, :2, 1:], [(0, 0), (0, 0), (0, 2), (0, 0)]))


@pytest.mark.parametrize(
    ("layer", "mode"),
    [
        (nn.ZeroPad2d((1, 2, 3, 0)), "constant"),
        (nn.ReflectionPad2d((1, 2, 3, 0)), "reflect"),
        (nn.ReplicationPad2d((1, 2, 3, 0)), "replicate"),
        (nn.CircularPad2d((1, 2, 3, 0)), "circular"),
    ],
    ids=repr,
)
def test_padding_layers(layer: nn.Module, mode: str) -> None:
    x = gl.tensor(RANDOM.standard_normal((2, 4, 5, 3)).astype(np.float32))
    expected = F.pad(x, (1, 2, 3, 0), mode).numpy()
    np.testing.assert_array_equal(layer(x).numpy(), expected)
    np.testing.assert_array_equal(gl.compile(layer)(x).numpy(), expected)
    np.testing.assert_array_equal(nn.build(nn.describe(layer))(x).numpy(), expected)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [2, "same", (1, 2)])
def test_convolutions_with_other_padding(mode: str, padding: Any) -> None:
    layer = nn.Conv2d(2, 3, (3, 4), padding=padding, padding_mode=mode).double()
    x = RANDOM.standard_normal((2, 5, 6, 2))
    ((top, bottom), (left, right)) = layer._around
    around = np.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)], NUMPY[mode])  # type: ignore[call-overload]
    expected = F.conv2d(gl.tensor(around), layer.weight, layer.bias).numpy()
    np.testing.assert_allclose(layer(gl.tensor(x)).numpy(), expected, rtol=1e-10)
    assert f"padding_mode='{mode}'" in repr(layer)
    assert repr(nn.build(nn.describe(layer))) == repr(layer)


def test_pixel_shuffle() -> None:
    x = RANDOM.standard_normal((2, 3, 4, 18))
    found = nn.PixelShuffle(3)(gl.tensor(x)).numpy()
    for c, i, j in ((0, 0, 0), (1, 2, 1), (0, 1, 2)):
        np.testing.assert_array_equal(found[:, i::3, j::3, c], x[..., c * 9 + i * 3 + j])
    np.testing.assert_array_equal(nn.PixelUnshuffle(3)(gl.tensor(found)).numpy(), x)
    check_gradients(lambda t: (F.pixel_shuffle(t, 3) ** 2).sum(), x)


def test_unflatten() -> None:
    x = RANDOM.standard_normal((2, 12, 3))
    found = nn.Unflatten(1, (3, 4))(gl.tensor(x)).numpy()
    np.testing.assert_array_equal(found, x.reshape(2, 3, 4, 3))


def test_merging() -> None:
    a, b = RANDOM.standard_normal((2, 3, 4))
    pair = gl.tensor(a), gl.tensor(b)
    for layer, expected in (
        (nn.Add(), a + b),
        (nn.Multiply(), a * b),
        (nn.Average(), (a + b) / 2),
        (nn.Maximum(), np.maximum(a, b)),
        (nn.Concatenate(), np.concatenate([a, b], -1)),
        (nn.Concatenate(0), np.concatenate([a, b], 0)),
    ):
        np.testing.assert_allclose(layer(*pair).numpy(), expected)
        np.testing.assert_allclose(layer(list(pair)).numpy(), expected)
    with pytest.raises(ShapeError, match="Add needs at least one tensor, got none"):
        nn.Add()([])


def test_bilinear() -> None:
    layer = nn.Bilinear(3, 4, 5).double()
    a, b = RANDOM.standard_normal((2, 6, 3)), RANDOM.standard_normal((2, 6, 4))
    expected = np.einsum("...i,oij,...j->...o", a, layer.weight.numpy(), b) + layer.bias.numpy()
    np.testing.assert_allclose(layer(gl.tensor(a), gl.tensor(b)).numpy(), expected, rtol=1e-10)
    check_gradients(lambda *t: (layer(*t) ** 2).sum(), a, b)
    with pytest.raises(ShapeError, match=r"shapes \(\.\.\., 3\) and \(\.\.\., 4\), got"):
        layer(gl.tensor(b), gl.tensor(a))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: F.pad(gl.ones((1, 3, 1)), (3, 0), "reflect"), "needs an axis of at least 4"),
        (lambda: F.pad(gl.ones((1, 3, 1)), (4, 0), "circular"), "needs an axis of at least 4"),
        (lambda: F.pad(gl.ones((1, 3, 1)), (-4, 0)), "needs an axis of at least 4"),
        (lambda: F.pixel_shuffle(gl.ones((1, 2, 2, 6)), 2), "needs a multiple of 4 channels"),
        (lambda: F.pixel_unshuffle(gl.ones((1, 3, 2, 6)), 2), "needs sides that 2 divides"),
        (lambda: nn.Unflatten(1, (2, 5))(gl.ones((1, 9))), r"cannot be made \(2, 5\)"),
    ],
)
def test_shape_errors(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        make()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: F.pad(gl.ones((1, 3, 1)), (1, 1), "mirror"), "mode is one of constant, reflect,"),
        (lambda: F.pad(gl.ones((1, 3, 1)), (1,)), "padding is 2, 4 or 6 numbers"),
        (lambda: nn.ZeroPad2d((1, 2)), "padding is a whole number or 4 of them"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="edge"), "padding_mode is one of zeros, reflect"),
    ],
)
def test_value_errors(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
