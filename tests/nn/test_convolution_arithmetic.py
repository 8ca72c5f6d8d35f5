"""The relationships of "A guide to convolution arithmetic" over a grid of all their parameters.

Dumoulin and Visin, 2016, arXiv:1603.07285: sizes by the guide's formulas, values against the sum
written out in NumPy. i, k, s, p, d: input, window, stride, padding, dilation; o: output; a: what
is left over, (i + 2p − k) mod s.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from nn_oracle import convolution

import glubina as gl
from glubina import nn
from glubina.nn import functional as F

RANDOM = np.random.default_rng(0)
SIZES, WINDOWS, STRIDES, DILATIONS = range(3, 8), range(1, 5), (1, 2, 3), (1, 2)


def conv(i: int, k: int, s: int = 1, p: int = 0, d: int = 1) -> Any:
    """The convolution of a random image with a random window; its values are checked."""
    x, w = RANDOM.standard_normal((1, i, i, 2)), RANDOM.standard_normal((k, k, 2, 3))
    y = F.conv2d(gl.tensor(x), gl.tensor(w), stride=s, padding=p, dilation=d).numpy()
    np.testing.assert_allclose(y, convolution(x, w, s, p, d, 1), rtol=1e-10, atol=1e-12)
    assert y.shape[1] == y.shape[2]
    return y.shape[1]


def transposed(i: int, k: int, s: int = 1, p: int = 0, a: int = 0) -> int:
    """The transposed convolution, which must be the transpose of the convolution with i, k, s, p.

    <conv(x), y> = <x, transposed(y)> for all x and y.
    """
    y, w = RANDOM.standard_normal((1, i, i, 3)), RANDOM.standard_normal((k, k, 3, 2))
    x = F.conv_transpose2d(gl.tensor(y), gl.tensor(w), stride=s, padding=p, output_padding=a)
    image = RANDOM.standard_normal(x.shape)
    there = convolution(image, w.transpose(0, 1, 3, 2), s, p, 1, 1)
    assert there.shape == y.shape
    np.testing.assert_allclose((there * y).sum(), (image * x.numpy()).sum(), rtol=1e-9, atol=1e-9)
    return int(x.shape[1])


def pairs() -> Any:
    return [(i, k) for i, k in itertools.product(SIZES, WINDOWS) if k <= i]


@pytest.mark.parametrize(("i", "k"), pairs())
def test_convolutions_without_strides(i: int, k: int) -> None:
    assert conv(i, k) == (i - k) + 1  # 1: no padding
    for p in (1, 2):
        assert conv(i, k, p=p) == (i - k) + 2 * p + 1  # 2
    if k % 2:
        assert conv(i, k, p=k // 2) == i  # 3: half padding
    assert conv(i, k, p=k - 1) == i + (k - 1)  # 4: full padding


@pytest.mark.parametrize(("i", "k"), pairs())
def test_convolutions_with_strides(i: int, k: int) -> None:
    for s in STRIDES:
        assert conv(i, k, s) == (i - k) // s + 1  # 5
        for p in (1, 2):
            assert conv(i, k, s, p) == (i + 2 * p - k) // s + 1  # 6


@pytest.mark.parametrize(("i", "k"), pairs())
def test_pooling(i: int, k: int) -> None:
    x = gl.tensor(RANDOM.standard_normal((1, i, i, 2)))
    for s in STRIDES:
        for function in (F.max_pool2d, F.avg_pool2d):
            assert function(x, k, s).shape[1] == (i - k) // s + 1  # 7


@pytest.mark.parametrize(("i", "k"), pairs())
def test_transposed_convolutions_without_strides(i: int, k: int) -> None:
    assert transposed(i, k) == i + (k - 1)  # 8
    for p in range(k):
        if i + (k - 1) - 2 * p > 0:
            assert transposed(i, k, p=p) == i + (k - 1) - 2 * p  # 9
    if k % 2:
        assert transposed(i, k, p=k // 2) == i  # 10: half padding
    if i - (k - 1) > 0:
        assert transposed(i, k, p=k - 1) == i - (k - 1)  # 11: full padding


@pytest.mark.parametrize(("i", "k"), pairs())
def test_transposed_convolutions_with_strides(i: int, k: int) -> None:
    for s in STRIDES:
        assert transposed(i, k, s) == s * (i - 1) + k  # 12
        for p in range(k):
            if s * (i - 1) + k - 2 * p > 0:
                assert transposed(i, k, s, p) == s * (i - 1) + k - 2 * p  # 13
            for a in range(s):
                if s * (i - 1) + a + k - 2 * p > 0:
                    assert transposed(i, k, s, p, a) == s * (i - 1) + a + k - 2 * p  # 14


@pytest.mark.parametrize(("i", "k"), pairs())
def test_there_and_back(i: int, k: int) -> None:
    """The transposed convolution with a = (i + 2p − k) mod s has the input's size again."""
    for s, p in itertools.product(STRIDES, range(k)):
        o = (i + 2 * p - k) // s + 1
        assert transposed(o, k, s, p, (i + 2 * p - k) % s) == i
        layer = nn.ConvTranspose2d(2, 2, k, s, p)
        assert layer(gl.ones((1, o, o, 2)), output_size=i).shape == (1, i, i, 2)


@pytest.mark.parametrize(("i", "k"), pairs())
def test_dilated_convolutions(i: int, k: int) -> None:
    for s, p, d in itertools.product(STRIDES, (0, 1, 2), DILATIONS):
        if i + 2 * p >= k + (k - 1) * (d - 1):
            assert conv(i, k, s, p, d) == (i + 2 * p - k - (k - 1) * (d - 1)) // s + 1  # 15


def test_counts_of_parameters() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.size for p in module.parameters())

    assert count(nn.Conv2d(4, 10, 3)) == 370
    separable = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.Conv2d(4, 10, 1))
    assert count(separable) == 86
    x = gl.ones((1, 6, 6, 4))
    assert separable(x).shape == nn.Conv2d(4, 10, 3)(x).shape
    assert count(nn.LocallyConnected2d(4, 10, 6, 3)) == 16 * 370
