"""Layers transcribed in plain NumPy, from their formulas: what Glubina's are compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def convolution(x: Array, w: Array, stride: int, padding: int, dilation: int, groups: int) -> Array:
    """The sum over window positions and channels, one output position after another."""
    rank = w.ndim - 2
    x = np.pad(x, [(0, 0), *[(padding, padding)] * rank, (0, 0)])
    window = w.shape[:-2]
    out = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[1:-1], window)]
    cin, cout = w.shape[-2], w.shape[-1] // groups
    y = np.zeros((x.shape[0], *out, w.shape[-1]), x.dtype)
    for position in itertools.product(*map(range, out)):
        for tap in itertools.product(*map(range, window)):
            spot = tuple(p * stride + k * dilation for p, k in zip(position, tap))
            pixel = x[(slice(None), *spot)]
            for g in range(groups):
                part = pixel[:, g * cin : (g + 1) * cin] @ w[tap][:, g * cout : (g + 1) * cout]
                y[(slice(None), *position, slice(g * cout, (g + 1) * cout))] += part
    return y


def pool(
    x: Array, k: int, stride: int, padding: int, reduce: Callable[[Array], Array], fill: float
) -> Array:
    """`reduce` over each window of images (N, H, W, C)."""
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)], constant_values=fill)
    rows, columns = ((n - k) // stride + 1 for n in x.shape[1:3])
    y = np.zeros((x.shape[0], rows, columns, x.shape[3]), x.dtype)
    for i, j in itertools.product(range(rows), range(columns)):
        window = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
        y[:, i, j] = reduce(window.reshape(len(x), k * k, -1))
    return y


def log_softmax(z: Array) -> Array:
    shifted = z - z.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def cross_entropy(z: Array, labels: Array) -> Array:
    return -np.take_along_axis(log_softmax(z), labels[..., None], -1)[..., 0]
