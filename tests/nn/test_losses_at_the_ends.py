"""Losses and their kin at ±∞, ±10⁴ and NaN: as PyTorch's, or better where that gives NaN."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina.nn import functional as F

try:
    torch: Any = importlib.import_module("torch")
    T: Any = torch.nn.functional
except ImportError:
    torch = T = None

Array = np.ndarray[Any, Any]
ENDS = [0.0, 1.5, -1.5, 1e4, -1e4, math.inf, -math.inf, math.nan, 88.0, -88.0]
ROWS = [
    *([1e4, -1e4, 0.0], [math.inf, 0.0, 0.0], [math.inf, math.inf, 0.0], [-math.inf, 0.0, 1.0]),
    *([-math.inf] * 3, [math.nan, 0.0, 1.0], [math.inf, -math.inf, 0.0], [-1e4, -1e4, -2e4]),
]


def ours(function: Callable[..., Any], x: Array, *others: Array) -> list[tuple[Array, Array]]:
    """The value and the gradient of its sum, by the interpreter and by a program."""

    def both(x: gl.Tensor, *others: gl.Tensor) -> tuple[gl.Tensor, gl.Tensor]:
        return function(x, *others), gl.grad(lambda x: function(x, *others).sum())(x)

    given = [gl.tensor(a) for a in (x, *others)]
    results = (way(*given) for way in (both, gl.compile(both)))
    return [(value.numpy(), gradient.numpy()) for value, gradient in results]


def theirs(function: Callable[..., Any], x: Array, *others: Array) -> tuple[Array, Array]:
    leaf = torch.tensor(x, requires_grad=True)
    value = function(leaf, *map(torch.tensor, others))
    value.sum().backward()
    return value.detach().numpy(), leaf.grad.numpy()


def check_alike(
    mine: Callable[..., Any], other: Callable[..., Any], dtype: Any, x: Array, *others: Array
) -> None:
    wanted = theirs(other, x.astype(dtype), *others)
    close = 1e-5 if dtype == np.float32 else 1e-10
    for found in ours(mine, x.astype(dtype), *others):
        for got, expected in zip(found, wanted, strict=True):
            np.testing.assert_allclose(got, expected, rtol=close, atol=1e-6 * close)


needs_torch = pytest.mark.skipif(torch is None, reason="compares with PyTorch")
FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@needs_torch
@FLOATS
@pytest.mark.parametrize(
    "name", ["softplus", "logsigmoid", "sigmoid", "tanh", "silu", "mish", "leaky_relu"]
)
def test_functions(name: str, dtype: Any) -> None:
    check_alike(getattr(F, name), getattr(T, name), dtype, np.array(ENDS))


@needs_torch
@FLOATS
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name: str, dtype: Any) -> None:
    weight = np.array([1.0, 2.0, 3.0], dtype)
    check_alike(
        lambda x: getattr(F, name)(x, -1) * gl.tensor(weight),
        lambda x: getattr(T, name)(x, -1) * torch.tensor(weight),
        dtype,
        np.array(ROWS),
    )


@needs_torch
@FLOATS
def test_logsumexp(dtype: Any) -> None:
    check_alike(
        lambda x: gl.logsumexp(x, -1),
        lambda x: torch.logsumexp(x, -1),
        dtype,
        np.array([row for row in ROWS if row[0] != row[1] or math.isinf(row[0])]),
    )


@needs_torch
@FLOATS
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_cross_entropy(label: int, smoothing: float, dtype: Any) -> None:
    settings: Any = {"reduction": "none", "label_smoothing": smoothing}
    check_alike(
        lambda x, labels: F.cross_entropy(x, labels, **settings),
        lambda x, labels: T.cross_entropy(x, labels, **settings),
        dtype,
        np.array(ROWS),
        np.full(len(ROWS), label),
    )


def exact_binary(z: Array, t: Array, positive: float) -> tuple[Array, Array]:
    """−w t ln σ(z) − (1 − t) ln(1 − σ(z)) and its derivative, where 0 · ∞ is 0."""
    with np.errstate(all="ignore"):
        sigma = 1 / (1 + np.exp(-z))
        left = np.where(z > 0, np.log1p(np.exp(-np.abs(z))), np.log1p(np.exp(-np.abs(z))) - z)
        right = np.where(z < 0, np.log1p(np.exp(-np.abs(z))), np.log1p(np.exp(-np.abs(z))) + z)
        yes = np.where(t == 0, 0 * np.sign(z), positive * t * left)
        no = np.where(t == 1, 0 * np.sign(z), (1 - t) * right)
    return yes + no, positive * t * (sigma - 1) + (1 - t) * sigma


@FLOATS
@pytest.mark.parametrize("positive", [None, 2.5])
@pytest.mark.parametrize("copies", [1, 200])
@pytest.mark.filterwarnings("ignore:.*different programs")
def test_binary_cross_entropy(copies: int, positive: float | None, dtype: Any) -> None:
    pairs = [(z, t) for z in ENDS for t in (0.0, 1.0, 0.25)]
    z, t = (np.tile(column, copies).astype(dtype) for column in np.array(pairs).T)
    weight = None if positive is None else gl.tensor(positive, dtype=dtype)
    factor = 1.0 if positive is None else positive
    wanted = exact_binary(z.astype(np.longdouble), t.astype(np.longdouble), factor)
    for found in ours(
        lambda z, t: F.binary_cross_entropy_with_logits(z, t, None, "none", weight), z, t
    ):
        for got, expected in zip(found, wanted, strict=True):
            close = 2e-6 if dtype == np.float32 else 1e-14
            np.testing.assert_allclose(got, expected.astype(dtype), rtol=close, atol=close / 10)


def test_binary_cross_entropy_by_its_targets() -> None:
    """The derivative is −z, also where the logit is infinite and the target is not certain."""
    z = gl.tensor([math.inf, -math.inf, 3.0, -2.0])
    t = gl.tensor([0.25, 0.25, 1.0, 0.0])
    slope = gl.grad(lambda t: F.binary_cross_entropy_with_logits(z, t, reduction="sum"))(t)
    assert slope.tolist() == [-math.inf, math.inf, -3.0, 2.0]


def test_several_labels_at_the_ends() -> None:
    y = gl.tensor([[math.inf, -math.inf], [-math.inf, -math.inf], [math.inf, math.nan]])
    t = gl.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    losses = F.multilabel_soft_margin_loss(y, t, reduction="none").tolist()
    assert losses[:2] == [0.0, math.inf]
    assert math.isnan(losses[2])


@needs_torch
@FLOATS
def test_ties_are_pushed_apart(dtype: Any) -> None:
    a = np.array([0.0, 1.5, 1e4, 2.0])
    b = np.array([0.0, 1.5, 1e4, 1.0], dtype)
    check_alike(
        lambda a, b: F.margin_ranking_loss(a, b, gl.ones_like(a), reduction="none"),
        lambda a, b: T.margin_ranking_loss(a, b, torch.ones_like(a), reduction="none"),
        dtype,
        a,
        b,
    )
    check_alike(
        lambda a: F.hinge_embedding_loss(a, -gl.ones_like(a), reduction="none"),
        lambda a: T.hinge_embedding_loss(a, -torch.ones_like(a), reduction="none"),
        dtype,
        np.array([0.0, 1.0, 2.0, 1e4, math.inf, -math.inf]),
    )
