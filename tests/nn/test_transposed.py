"""Transposed convolutions against their sum written out in NumPy, and their derivatives."""

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
from glubina import nn
from glubina.nn import functional as F

FUNCTIONS = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
USUAL = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}


def transposed(x: Any, w: Any, **options: int) -> Any:
    """Every input element times the window is added where the window then lies."""
    stride, padding, more, groups, dilation = ({**USUAL, **options}[name] for name in USUAL)
    window, spatial = w.shape[:-2], x.shape[1:-1]
    whole = [(n - 1) * stride + dilation * (k - 1) + 1 + more for n, k in zip(spatial, window)]
    cin, cout = x.shape[-1] // groups, w.shape[-1]
    y = np.zeros((x.shape[0], *whole, cout * groups), x.dtype)
    for position in itertools.product(*map(range, spatial)):
        for tap in itertools.product(*map(range, window)):
            spot = tuple(i * stride + k * dilation for i, k in zip(position, tap))
            for g in range(groups):
                rows = slice(g * cin, (g + 1) * cin)
                part = x[(slice(None), *position, rows)] @ w[tap][rows]
                y[(slice(None), *spot, slice(g * cout, (g + 1) * cout))] += part
    inside = tuple(slice(padding, n - padding) for n in whole)
    return y[(slice(None), *inside)]


@st.composite
def geometries(draw: Any) -> tuple[Any, Any, dict[str, int]]:
    rank, groups = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    options = {
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "padding": draw(st.integers(0, 2)),
        "output_padding": draw(st.integers(0, max(stride, dilation) - 1)),
    }
    window = [draw(st.integers(1, 3)) for _ in range(rank)]
    least = max(1, 2 * options["padding"] // stride + 1)
    spatial = [draw(st.integers(least, least + 2)) for _ in range(rank)]
    random = np.random.default_rng(draw(st.integers(0, 99)))
    x = random.standard_normal((2, *spatial, groups * draw(st.integers(1, 2))))
    w = random.standard_normal((*window, x.shape[-1], draw(st.integers(1, 3))))
    return x, w, options


@settings(max_examples=40, deadline=None)
@given(geometries())
def test_the_sum_written_out(case: tuple[Any, Any, dict[str, int]]) -> None:
    x, w, options = case
    expected = transposed(x, w, **options)
    if min(expected.shape) < 1:
        return
    found = F.conv_transpose(gl.tensor(x), gl.tensor(w), **options)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (1, {"stride": 2}),
        (2, {"stride": 2, "padding": 1, "output_padding": 1}),
        (2, {"groups": 2, "dilation": 2}),
        (3, {"padding": 1}),
    ],
)
def test_derivatives(rank: int, options: dict[str, int]) -> None:
    random = np.random.default_rng(0)
    groups = options.get("groups", 1)
    x = random.standard_normal((2, *(4, 3, 3)[:rank], 4))
    w = random.standard_normal((*(3, 2, 3)[:rank], 4, 6 // groups))
    b = random.standard_normal(6)
    y = FUNCTIONS[rank](gl.tensor(x), gl.tensor(w), gl.tensor(b), **options)
    np.testing.assert_allclose(y.numpy(), transposed(x, w, **options) + b, rtol=1e-10)
    check_gradients(lambda *t: (FUNCTIONS[rank](*t, **options) ** 2).sum(), x, w, b)


def test_it_is_the_derivative_of_a_convolution() -> None:
    random = np.random.default_rng(0)
    x = gl.tensor(random.standard_normal((2, 7, 6, 3)), requires_grad=True)
    w, g = random.standard_normal((3, 2, 3, 5)), random.standard_normal((2, 4, 4, 5))
    y = F.conv2d(x, gl.tensor(w), stride=2, padding=1)
    assert y.shape == g.shape
    (y * gl.tensor(g)).sum().backward()
    turned = gl.tensor(np.swapaxes(w, -1, -2))
    back = F.conv_transpose2d(gl.tensor(g), turned, stride=2, padding=1)
    np.testing.assert_allclose(x.grad.numpy(), back.numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2),
        nn.ConvTranspose2d(4, 3, (3, 2), stride=(2, 1), padding=1, output_padding=(1, 0)),
        nn.ConvTranspose3d(4, 2, 2, bias=False, dilation=2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers(layer: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, *(5, 4, 3)[: layer.rank], 4))
    x = x.astype(np.float32)
    given = [gl.tensor(x), layer.weight] + ([] if layer.bias is None else [layer.bias])
    names = ("stride", "padding", "output_padding", "groups", "dilation")
    expected = FUNCTIONS[layer.rank](*given, **{name: getattr(layer, name) for name in names})
    np.testing.assert_array_equal(layer(gl.tensor(x)).numpy(), expected.numpy())
    bound = 1 / np.sqrt(np.prod(layer.kernel_size) * layer.weight.shape[-1])
    assert 0.7 * bound < np.abs(layer.weight.numpy()).max() <= bound
    again = nn.build(json.loads(json.dumps(nn.describe(layer))))
    assert repr(again) == repr(layer)
    again.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(again(gl.tensor(x)).numpy(), expected.numpy())


def test_the_summary_counts_what_is_not_zero() -> None:
    layer = nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False)
    found = nn.summary(layer, (5, 5, 8))
    assert found.rows[0].output == (10, 10, 4)
    assert found.flops == 2 * 5 * 5 * 8 * 2 * 2 * 4


def test_repr_tells_what_is_not_the_default() -> None:
    layer = nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, bias=False)
    assert repr(layer) == (
        "ConvTranspose2d(4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), "
        "output_padding=(1, 1), groups=2, bias=False)"
    )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.ConvTranspose2d(3, 4, 3, groups=2), "groups must divide the channels: 3 in"),
        (
            lambda: nn.ConvTranspose1d(1, 1, 3, output_padding=1),
            r"output_padding must be less than stride or dilation: \(1,\), \(1,\) and \(1,\)",
        ),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3)(gl.ones((1, 5, 5, 4))),
            r"expected input of shape \(N, H, W, C\) with C = 3, got \(1, 5, 5, 4\)",
        ),
        (
            lambda: F.conv_transpose1d(gl.ones((1, 5, 4)), gl.ones((3, 3, 4, 2))),
            "conv_transpose1d: a weight has 3 axes",
        ),
        (
            lambda: F.conv_transpose1d(gl.ones((1, 5, 3)), gl.ones((3, 3, 2)), groups=2),
            "2 groups do not divide 3 channels",
        ),
    ],
)
def test_wrong_arguments(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
