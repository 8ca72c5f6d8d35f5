"""Images of another size: each mode against its formula in NumPy, one axis after another."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

import glubina as gl
import glubina.keras as keras
import glubina.torch.nn as torch_nn
import glubina.torch.nn.functional as torch_F
from glubina import nn
from glubina.nn import functional as F


def cubic(d: float) -> float:
    d, a = abs(d), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def matrix(n: int, m: int, scale: float, mode: str, corners: bool) -> Any:
    """Row i: how much of each of n inputs output i of m has."""
    rows = np.zeros((m, n))
    for i in range(m):
        if mode == "nearest":
            rows[i, min(int(np.float32(i) * np.float32(1 / scale)), n - 1)] = 1
            continue
        if mode == "nearest-exact":
            rows[i, min(math.floor((i + 0.5) / scale), n - 1)] = 1
            continue
        at = i * (n - 1) / max(m - 1, 1) if corners else (i + 0.5) / scale - 0.5
        if mode == "bicubic":
            taps = {math.floor(at) + k: cubic(at - math.floor(at) - k) for k in range(-1, 3)}
        else:
            at = min(max(at, 0), n - 1)
            taps = {math.floor(at): 1 - at % 1, math.floor(at) + 1: at % 1}
        for place, weight in taps.items():
            rows[i, min(max(place, 0), n - 1)] += weight
    return rows


def resized(x: Any, sizes: Any, scales: Any, mode: str, corners: bool) -> Any:
    for axis, (m, scale) in enumerate(zip(sizes, scales), start=1):
        n = x.shape[axis]
        if n != m or mode == "bicubic":
            rows = matrix(n, m, scale or m / n, mode, corners)
            x = np.moveaxis(np.tensordot(rows, x, (1, axis)), 0, axis)
    return x


@st.composite
def cases(draw: Any) -> tuple[Any, str, bool | None, dict[str, Any], Any, Any]:
    rank = draw(st.integers(1, 3))
    modes = ["nearest", "nearest-exact", ("linear", "bilinear", "trilinear")[rank - 1]]
    mode = draw(st.sampled_from(modes + ["bicubic"] * (rank == 2)))
    corners = draw(st.sampled_from([None, True, False])) if "n" not in mode[:1] else None
    spatial = tuple(draw(st.integers(1, 5)) for _ in range(rank))
    x = np.random.default_rng(draw(st.integers(0, 99))).standard_normal((2, *spatial, 2))
    if draw(st.booleans()):
        sizes = tuple(draw(st.integers(1, 8)) for _ in range(rank))
        return x, mode, corners, {"size": sizes}, sizes, (None,) * rank
    scales = tuple(draw(st.sampled_from([1.0, 1.5, 2.0, 3.0])) for _ in range(rank))
    sizes = tuple(math.floor(n * s) for n, s in zip(spatial, scales))
    return x, mode, corners, {"scale_factor": scales}, sizes, scales


@settings(max_examples=50, deadline=None)
@given(cases())
def test_the_formulas(case: Any) -> None:
    x, mode, corners, options, sizes, scales = case
    found = F.interpolate(gl.tensor(x), mode=mode, align_corners=corners, **options).numpy()
    expected = resized(x, sizes, scales, mode, bool(corners))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("bilinear", {"scale_factor": 2}),
        ("bilinear", {"size": (5, 3), "align_corners": True}),
        ("bicubic", {"scale_factor": 2}),
        ("bicubic", {"size": (5, 3)}),
        ("area", {"size": (3, 2)}),
    ],
)
def test_derivatives(mode: str, options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 2))
    check_gradients(lambda t: (F.interpolate(t, mode=mode, **options) ** 2).sum(), x)
    layer = nn.Upsample(mode=mode, **options)
    again = nn.build(json.loads(json.dumps(nn.describe(layer))))
    assert repr(again) == repr(layer)
    np.testing.assert_array_equal(again(gl.tensor(x)).numpy(), layer(gl.tensor(x)).numpy())


def test_area_is_adaptive_pooling() -> None:
    x = gl.tensor(np.random.default_rng(0).standard_normal((2, 5, 6, 2)))
    expected = F.adaptive_avg_pool2d(x, (2, 3)).numpy()
    np.testing.assert_array_equal(F.interpolate(x, (2, 3), mode="area").numpy(), expected)


def test_the_faces() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    image = gl.tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    expected = F.interpolate(image, scale_factor=2, mode="bilinear").numpy()
    corners = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=True).numpy()
    layer = torch_nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    for found, wanted in (
        (layer(gl.tensor(x)), expected),
        (torch_F.interpolate(gl.tensor(x), scale_factor=2, mode="bilinear"), expected),
        (torch_nn.UpsamplingBilinear2d(scale_factor=2)(gl.tensor(x)), corners),
        (torch_nn.UpsamplingNearest2d(size=(8, 10))(gl.tensor(x)), x.repeat(2, 2).repeat(2, 3)),
    ):
        wanted = wanted if wanted.shape[1] == 3 else wanted.transpose(0, 3, 1, 2)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)
    found = keras.layers.UpSampling2D(2, interpolation="bilinear")(image).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_wrong_arguments() -> None:
    for make, text in (
        (lambda: nn.Upsample(2, mode="cubic"), "mode is one of 'nearest', .*, got 'cubic'"),
        (lambda: nn.Upsample(2, align_corners=True), "align_corners is for the modes 'linear'"),
        (lambda: F.interpolate(gl.ones((1, 2, 1)), 4, mode="bilinear"), r"shape \(N, H, W, C\)"),
        (
            lambda: keras.layers.UpSampling2D(2, interpolation="lanczos3"),
            "unknown interpolation 'lanczos3'",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            make()
