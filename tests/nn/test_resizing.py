"""Pooling to a given size, pooling of volumes, and upsampling."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn
from glubina.nn import functional as F

RANDOM = np.random.default_rng(3)


def adaptive(x: Any, sizes: tuple[int, ...], reduce: Any) -> Any:
    """Every output from the box of inputs that it covers, even in part."""
    y = np.zeros((x.shape[0], *sizes, x.shape[-1]))
    for place in itertools.product(*map(range, sizes)):
        box = tuple(
            slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in zip(place, x.shape[1:-1], sizes)
        )
        part = x[(slice(None), *box)]
        y[(slice(None), *place)] = reduce(part, axis=tuple(range(1, x.ndim - 1)))
    return y


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize(
    ("spatial", "size", "sizes"),
    [
        ((7,), 1, (1,)),
        ((7,), 3, (3,)),
        ((6, 4), (3, 2), (3, 2)),
        ((7, 5), (3, None), (3, 5)),
        ((3, 2), 4, (4, 4)),
        ((5, 6), 1, (1, 1)),
        ((4, 3, 5), (2, 3, 2), (2, 3, 2)),
    ],
)
def test_adaptive_pooling(kind: str, spatial: Any, size: Any, sizes: Any) -> None:
    rank = len(spatial)
    x = RANDOM.standard_normal((2, *spatial, 3))
    function = getattr(F, f"adaptive_{kind}_pool{rank}d")
    expected = adaptive(x, sizes, np.mean if kind == "avg" else np.max)
    np.testing.assert_allclose(function(gl.tensor(x), size).numpy(), expected, rtol=1e-12)
    check_gradients(lambda t: (function(t, size) ** 2).sum(), x)
    layer = getattr(nn, f"Adaptive{kind.capitalize()}Pool{rank}d")(size)
    np.testing.assert_allclose(layer(gl.tensor(x)).numpy(), expected, rtol=1e-12)
    assert repr(nn.build(json.loads(json.dumps(nn.describe(layer))))).startswith(repr(layer)[:20])


@pytest.mark.parametrize("padding", [0, 1])
def test_pooling_of_volumes(padding: int) -> None:
    x = RANDOM.standard_normal((2, 4, 5, 6, 2))
    around = [(0, 0), *[(padding, padding)] * 3, (0, 0)]
    for layer, reduce, outside in (
        (nn.MaxPool3d(2, padding=padding), np.max, -np.inf),
        (nn.AvgPool3d(2, padding=padding), np.mean, 0.0),
    ):
        wide = np.pad(x, around, constant_values=outside)
        d, h, w = (n // 2 for n in wide.shape[1:4])
        boxes = wide[:, : 2 * d, : 2 * h, : 2 * w].reshape(2, d, 2, h, 2, w, 2, 2)
        found = layer(gl.tensor(x)).numpy()
        np.testing.assert_allclose(found, reduce(boxes, axis=(2, 4, 6)), rtol=1e-12)


def test_batch_norm_of_volumes() -> None:
    x = RANDOM.standard_normal((2, 3, 4, 5, 6)).astype(np.float32)
    layer = nn.BatchNorm3d(6)
    y = layer(gl.tensor(x)).numpy()
    axes = (0, 1, 2, 3)
    expected = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * x.mean(axes), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected input of shape \(N, D, H, W, C\) with C = 6"):
        layer(gl.ones((2, 3, 4, 6)))


def nearest(x: Any, sizes: tuple[int, ...], scales: Any) -> Any:
    for axis, (m, scale) in enumerate(zip(sizes, scales), start=1):
        n = x.shape[axis]
        places = np.floor(np.arange(m) / (m / n if scale is None else scale)).astype(int)
        x = np.take(x, np.minimum(places, n - 1), axis=axis)
    return x


@pytest.mark.parametrize(
    ("spatial", "options", "sizes", "scales"),
    [
        ((3,), {"scale_factor": 2}, (6,), (2,)),
        ((3, 2), {"scale_factor": (2, 3)}, (6, 6), (2, 3)),
        ((4, 5), {"scale_factor": 1.5}, (6, 7), (1.5, 1.5)),
        ((4, 5), {"size": (6, 3)}, (6, 3), (None, None)),
        ((2, 3, 2), {"size": 4}, (4, 4, 4), (None, None, None)),
    ],
)
def test_upsampling(spatial: Any, options: Any, sizes: Any, scales: Any) -> None:
    x = RANDOM.standard_normal((2, *spatial, 3))
    layer = nn.Upsample(**options)
    np.testing.assert_array_equal(layer(gl.tensor(x)).numpy(), nearest(x, sizes, scales))
    check_gradients(lambda t: (F.interpolate(t, **options) ** 2).sum(), x)
    again = nn.build(json.loads(json.dumps(nn.describe(layer))))
    np.testing.assert_array_equal(again(gl.tensor(x)).numpy(), layer(gl.tensor(x)).numpy())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), "output_size must be a whole number of at least"),
        (lambda: nn.AdaptiveMaxPool1d(0), "output_size must be a whole number of at least 1"),
        (lambda: nn.Upsample(), "either size or scale_factor, got None and None"),
        (lambda: nn.Upsample(2, mode="cubic"), "mode is one of 'nearest', .*, got 'cubic'"),
        (
            lambda: F.interpolate(gl.ones((1, 2, 1)), scale_factor=-1),
            "scale_factor must be a positive number",
        ),
        (
            lambda: F.interpolate(gl.ones((1, 2, 1)), scale_factor=0.1),
            "the new size must be a whole number of at least 1",
        ),
        (
            lambda: nn.AdaptiveAvgPool2d(1)(gl.ones((1, 2, 3))),
            r"expected input of shape \(N, H, W, C\), got \(1, 2, 3\)",
        ),
    ],
)
def test_wrong_arguments(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
