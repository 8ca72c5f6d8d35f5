"""Pooling with every option against its definition, one window after another."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

import glubina as gl
import glubina.torch.nn as torch_nn
from glubina import nn
from glubina.nn import functional as F


def count(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> int:
    """Windows that begin inside the image or before it, the last one also over the end."""
    reach = d * (k - 1) + 1
    if not ceil:
        return (n + 2 * p - reach) // s + 1
    return sum(
        1 for i in range(n + p) if i * s < n + p and (i == 0 or (i - 1) * s + reach < n + 2 * p)
    )


def pooled(x: Any, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(largest, where, mean) of every window of x (N, *spatial, C)."""
    window, stride, padding, dilation = (
        options[k] for k in ("window", "stride", "padding", "dilation")
    )
    spatial = x.shape[1:-1]
    geometry = list(zip(spatial, window, stride, padding, dilation))
    places = [count(*g, options["ceil"]) for g in geometry]
    shape = (len(x), *places, x.shape[-1])
    largest, where, mean = np.zeros(shape), np.zeros(shape, int), np.zeros(shape)
    for place in itertools.product(*map(range, places)):
        starts = [i * s - p for i, s, p in zip(place, stride, padding)]
        best = np.full((len(x), x.shape[-1]), -np.inf)
        spot, total, inside, counted = np.zeros(best.shape, int), 0.0, 0, 0
        for tap in itertools.product(*map(range, window)):
            at = [a + t * d for a, t, d in zip(starts, tap, dilation)]
            counted += all(i < n + p for i, n, p in zip(at, spatial, padding))
            if all(0 <= i < n for i, n in zip(at, spatial)):
                value = x[(slice(None), *at)]
                spot = np.where(value > best, np.ravel_multi_index(at, spatial), spot)
                best, total, inside = np.maximum(best, value), total + value, inside + 1
        divisor = options["divisor"] or (counted if options["count_include_pad"] else inside)
        index = (slice(None), *place)
        largest[index], where[index], mean[index] = best, spot, total / divisor
    return largest, where, mean


@st.composite
def cases(draw: Any) -> tuple[Any, dict[str, Any]]:
    rank = draw(st.integers(1, 3))
    several = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731
    window = several(1, 3)
    options = {
        "window": window, "stride": several(1, 3), "dilation": several(1, 2),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in window),
        "ceil": draw(st.booleans()), "count_include_pad": draw(st.booleans()),
        "divisor": draw(st.sampled_from([None, None, 5])) if rank > 1 else None,
    }  # fmt: skip
    spatial = several(5, 7)
    return np.random.default_rng(draw(st.integers(0, 99))).standard_normal(
        (2, *spatial, 2)
    ), options


@settings(max_examples=40, deadline=None)
@given(cases())
def test_every_option(case: tuple[Any, dict[str, Any]]) -> None:
    x, o = case
    rank = x.ndim - 2
    largest, where, _ = pooled(x, o)
    y, indices = getattr(F, f"max_pool{rank}d")(
        gl.tensor(x), o["window"], o["stride"], o["padding"], o["dilation"], o["ceil"], True
    )
    np.testing.assert_array_equal(y.numpy(), largest)
    np.testing.assert_array_equal(indices.numpy(), where)
    mean = pooled(x, {**o, "dilation": (1,) * rank})[2]
    more = {} if rank == 1 else {"divisor_override": o["divisor"]}
    found = getattr(F, f"avg_pool{rank}d")(
        gl.tensor(x),
        o["window"],
        o["stride"],
        o["padding"],
        o["ceil"],
        o["count_include_pad"],
        **more,
    )
    np.testing.assert_allclose(found.numpy(), mean, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dilation", [1, 2])
def test_derivatives(dilation: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 2))
    check_gradients(lambda t: (F.max_pool2d(t, 3, 2, 1, dilation, True) ** 2).sum(), x)
    check_gradients(lambda t: (F.avg_pool2d(t, 3, 2, 1, True, False) ** 2).sum(), x)


def test_the_rule_for_the_last_window() -> None:
    """A window that would begin in the padding behind the image is left out."""
    assert F.max_pool1d(gl.ones((1, 5, 1)), 1, 3, ceil_mode=True).shape == (1, 2, 1)
    assert nn.MaxPool2d(2, ceil_mode=True)(gl.ones((1, 5, 5, 1))).shape == (1, 3, 3, 1)
    assert nn.AvgPool1d(4, ceil_mode=True)(gl.ones((1, 3, 1))).numpy().item() == 1.0


def test_unpooling() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 3))
    y, places = nn.MaxPool2d(2, return_indices=True)(gl.tensor(x))
    back = nn.MaxUnpool2d(2)(y, places, output_size=(5, 6)).numpy()
    kept = back != 0
    np.testing.assert_array_equal(back[kept], x[kept])
    assert kept.sum() == y.size
    assert nn.MaxUnpool2d(2)(y, places).shape == (2, 4, 6, 3)
    check_gradients(lambda t: (F.max_unpool2d(t, places, 2) ** 2).sum(), y.numpy())
    y, places = F.max_pool1d(gl.tensor([[[1.0], [5.0], [2.0], [0.0]]]), 3, 1, return_indices=True)
    assert F.max_unpool1d(y, places, 3, 1).numpy().ravel().tolist() == [0, 5, 0, 0]
    with pytest.raises(ValueError, match=r"less than stride \(2, 2\) away from \(4, 6\), got 9"):
        nn.MaxUnpool2d(2)(*nn.MaxPool2d(2, return_indices=True)(gl.tensor(x)), output_size=9)


def test_channels_first() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 7)).astype(np.float32)
    image = gl.tensor(x.transpose(0, 2, 3, 1))
    largest, where = F.max_pool2d(image, 3, 2, 1, ceil_mode=True, return_indices=True)
    first, places = torch_nn.MaxPool2d(3, 2, 1, 1, True, True)(gl.tensor(x))
    np.testing.assert_array_equal(first.numpy(), largest.numpy().transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(places.numpy(), where.numpy().transpose(0, 3, 1, 2))
    back = torch_nn.MaxUnpool2d(3, 2, 1)(first, places, output_size=x.shape)
    assert back.shape == x.shape
    mean = torch_nn.AvgPool2d(3, 2, 1, True, False)(gl.tensor(x))
    expected = F.avg_pool2d(image, 3, 2, 1, True, False).numpy()
    np.testing.assert_allclose(mean.numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, ceil_mode=True), nn.MaxUnpool1d(2)],
    ids=repr,
)
def test_architecture(layer: nn.Module) -> None:
    assert repr(nn.build(json.loads(json.dumps(nn.describe(layer))))) == repr(layer)


def test_wrong_arguments() -> None:
    for make, text in (
        (lambda: nn.AvgPool2d(2, divisor_override=0), "divisor_override must be a whole number"),
        (lambda: nn.MaxPool2d(2, dilation=0), "dilation must be a whole number of at least 1"),
        (lambda: F.max_pool1d(gl.ones((1, 3, 1)), 2, dilation=3), r"reaches over \(4,\), more"),
        (lambda: F.max_unpool1d(gl.ones((1, 3, 1)), gl.zeros((1, 2, 1), dtype="int64"), 2),
         "expected indices of the input's shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            make()
