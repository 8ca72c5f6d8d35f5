"""Losses against their formulas in NumPy, their derivatives, and how they are reduced."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from nn_oracle import log_softmax

import glubina as gl
from glubina import nn
from glubina.graph import IndexRangeError, ShapeError
from glubina.nn import functional as F

RANDOM = np.random.default_rng(3)
Y, T = RANDOM.standard_normal((4, 5)) * 2, RANDOM.standard_normal((4, 5)) * 2
P, Q = RANDOM.uniform(0.05, 0.95, (4, 5)), RANDOM.uniform(0.05, 0.95, (4, 5))
SIGNS = RANDOM.choice([-1.0, 1.0], (4, 5))
POSITIVE = RANDOM.uniform(0.5, 3, 5)
VARIANCE = RANDOM.uniform(0.2, 2, (4, 5))
D = abs(Y - T)
SIGMOID = 1 / (1 + np.exp(-Y))

CASES: list[tuple[nn.Module, tuple[Any, ...], Any]] = [
    (nn.HuberLoss(delta=1.5), (Y, T), np.where(D < 1.5, D**2 / 2, 1.5 * (D - 0.75))),
    (nn.SmoothL1Loss(beta=0.8), (Y, T), np.where(D < 0.8, D**2 / 1.6, D - 0.4)),
    (nn.SmoothL1Loss(beta=0.0), (Y, T), D),
    (nn.PoissonNLLLoss(), (Y, P), np.exp(Y) - P * Y),
    (nn.PoissonNLLLoss(log_input=False), (P, Q), P - Q * np.log(P + 1e-8)),
    (nn.GaussianNLLLoss(), (Y, T, VARIANCE), (np.log(VARIANCE) + D**2 / VARIANCE) / 2),
    (nn.HingeLoss(), (Y, SIGNS), np.maximum(0, 1 - SIGNS * Y)),
    (nn.HingeEmbeddingLoss(), (D, SIGNS), np.where(SIGNS > 0, D, np.maximum(0, 1 - D))),
    (nn.MarginRankingLoss(0.3), (Y, T, SIGNS), np.maximum(0, 0.3 - SIGNS * (Y - T))),
    (nn.BCELoss(), (P, Q), -Q * np.log(P) - (1 - Q) * np.log(1 - P)),
    (nn.BCEWithLogitsLoss(), (Y, Q), -Q * np.log(SIGMOID) - (1 - Q) * np.log(1 - SIGMOID)),
    (
        nn.BCEWithLogitsLoss(pos_weight=gl.tensor(POSITIVE)),
        (Y, Q),
        -POSITIVE * Q * np.log(SIGMOID) - (1 - Q) * np.log(1 - SIGMOID),
    ),
    (nn.KLDivLoss(), (Y, Q), Q * (np.log(Q) - Y)),
    (nn.KLDivLoss(log_target=True), (Y, T), np.exp(T) * (T - Y)),
]


@pytest.mark.parametrize(("loss", "given", "each"), CASES, ids=lambda v: repr(v)[:32])
def test_each_mean_and_sum(loss: Any, given: tuple[Any, ...], each: Any) -> None:
    for reduction, expected in (("none", each), ("mean", each.mean()), ("sum", each.sum())):
        loss.reduction = reduction
        found = loss(*map(gl.tensor, given)).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    loss.reduction = "mean"
    if isinstance(loss, (nn.HingeEmbeddingLoss, nn.HingeLoss, nn.MarginRankingLoss)):
        *free, signs = given
        check_gradients(lambda *t: loss(*t, gl.tensor(signs)), *free, second=False)
    elif not isinstance(loss, nn.SmoothL1Loss):
        check_gradients(lambda *t: loss(*t), *given)


def _distance(a: Any, b: Any, p: float) -> Any:
    return (abs(a - b + 1e-6) ** p).sum(-1) ** (1 / p)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("swap", [False, True])
def test_triplet(p: float, swap: bool) -> None:
    a, b, c = RANDOM.standard_normal((3, 6, 4))
    far = _distance(a, c, p)
    far = np.minimum(far, _distance(b, c, p)) if swap else far
    expected = np.maximum(0, _distance(a, b, p) - far + 1.2)
    loss = nn.TripletMarginLoss(1.2, p, swap=swap, reduction="none")
    np.testing.assert_allclose(loss(*map(gl.tensor, (a, b, c))).numpy(), expected, rtol=1e-9)
    check_gradients(lambda *t: (loss(*t) ** 2).sum(), a, b, c)


def test_triplet_of_equal_points_has_a_finite_gradient() -> None:
    x = gl.ones((2, 3), requires_grad=True)
    F.triplet_margin_loss(x, x.detach(), x.detach(), eps=0.0).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 3)))


def test_cosine() -> None:
    a, b = RANDOM.standard_normal((2, 6, 4))
    signs = np.array([1.0, -1, 1, -1, -1, 1])
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    found = F.cosine_similarity(gl.tensor(a), gl.tensor(b)).numpy()
    np.testing.assert_allclose(found, cosine, rtol=1e-10)
    expected = np.where(signs > 0, 1 - cosine, np.maximum(0, cosine - 0.1))
    loss = nn.CosineEmbeddingLoss(0.1, reduction="none")
    found = loss(gl.tensor(a), gl.tensor(b), gl.tensor(signs.astype(np.int64))).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    check_gradients(lambda x, y: (loss(x, y, gl.tensor(signs)) ** 2).sum(), a, b)


@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin(p: int) -> None:
    labels = RANDOM.integers(0, 5, 4)
    excess = np.maximum(0, 0.9 - Y[np.arange(4), labels][:, None] + Y) ** p
    excess[np.arange(4), labels] = 0
    loss = nn.MultiMarginLoss(p, 0.9, reduction="none")
    found = loss(gl.tensor(Y), gl.tensor(labels)).numpy()
    np.testing.assert_allclose(found, excess.sum(-1) / 5, rtol=1e-10)


# -- cross-entropy's options ---------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_options(smoothing: float, weighted: bool, reduction: str) -> None:
    z = RANDOM.standard_normal((6, 3, 5))
    labels = RANDOM.integers(0, 5, (6, 3))
    labels[1, 1] = labels[4] = -7
    kept = labels != -7
    w = POSITIVE if weighted else np.ones(5)
    known = np.where(kept, labels, 0)
    q = np.eye(5)[known] * (1 - smoothing) + smoothing / 5
    each = -(w * q * log_softmax(z)).sum(-1) * kept
    if reduction == "mean":
        each = each.sum() / (w[known] * kept).sum()
    elif reduction == "sum":
        each = each.sum()
    settings = gl.tensor(w) if weighted else None, reduction, smoothing, -7
    loss = nn.CrossEntropyLoss(*settings)
    t = gl.tensor(labels)
    np.testing.assert_allclose(loss(gl.tensor(z), t).numpy(), each, rtol=1e-9)
    check_gradients(lambda z: (loss(z, t) ** 2).sum(), z)
    if not smoothing:
        log_p = nn.LogSoftmax()(gl.tensor(z))
        found = nn.NLLLoss(settings[0], reduction, -7)(log_p, t).numpy()
        np.testing.assert_allclose(found, each, rtol=1e-9)


def test_another_label_than_the_ignored_one_is_still_refused() -> None:
    z, labels = gl.zeros((3, 4)), gl.tensor(np.array([0, -7, 4]))
    with pytest.raises(IndexRangeError, match=r"4 at position [12] is out of range"):
        F.cross_entropy(z, labels, ignore_index=-7).item()


def test_soft_targets_with_weights_and_smoothing() -> None:
    z, q = RANDOM.standard_normal((4, 5)), P / P.sum(-1, keepdims=True)
    smooth = 0.9 * q + 0.1 / 5
    expected = -(POSITIVE * smooth * log_softmax(z)).sum() / 4
    found = F.cross_entropy(
        gl.tensor(z), gl.tensor(q), weight=gl.tensor(POSITIVE), label_smoothing=0.1
    )
    assert found.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_focal(gamma: float) -> None:
    z, labels = RANDOM.standard_normal((6, 5)), RANDOM.integers(0, 5, 6)
    log_p = log_softmax(z)[np.arange(6), labels]
    expected = -((1 - np.exp(log_p)) ** gamma) * log_p
    loss = nn.FocalLoss(gamma, reduction="none")
    t = gl.tensor(labels)
    np.testing.assert_allclose(loss(gl.tensor(z), t).numpy(), expected, rtol=1e-9)
    check_gradients(lambda z: loss(z, t).sum(), z)
    side = -Q * (1 - SIGMOID) ** gamma * np.log(SIGMOID)
    other = -(1 - Q) * SIGMOID**gamma * np.log(1 - SIGMOID)
    found = F.sigmoid_focal_loss(gl.tensor(Y), gl.tensor(Q), 0.3, gamma).numpy()
    np.testing.assert_allclose(found, 0.3 * side + 0.7 * other, rtol=1e-9)


def test_focal_of_certainty_has_a_finite_gradient() -> None:
    z = gl.tensor(np.array([[1000.0, 0.0]]), requires_grad=True)
    F.focal_loss(z, gl.tensor(np.array([0])), gamma=0.5).backward()
    assert z.grad is not None
    assert np.isfinite(z.grad.numpy()).all()


def test_bce_of_certainty_is_finite() -> None:
    p, t = gl.tensor(np.array([0.0, 1.0, 0.0])), gl.tensor(np.array([1.0, 0.0, 0.0]))
    np.testing.assert_array_equal(F.binary_cross_entropy(p, t, None, "none").numpy(), [100, 100, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bce_behind_a_sigmoid_at_its_ends_has_a_finite_gradient(dtype: type) -> None:
    ends = np.array([200.0, 200.0, -800.0, -800.0, 40.0, -40.0], dtype)
    labels = gl.tensor(np.array([1, 0, 1, 0, 1, 1], dtype))
    z = gl.tensor(ends, requires_grad=True)
    F.binary_cross_entropy(gl.sigmoid(z), labels, None, "sum").backward()
    assert z.grad is not None
    assert np.isfinite(z.grad.numpy()).all()
    np.testing.assert_allclose(z.grad.numpy()[-1], -4.248354e-06, rtol=1e-4)  # σ(−40) · 10¹²


def test_bce_of_certainty_has_the_derivative_of_the_clamped_quotient() -> None:
    """(p − t) / max(p (1 − p), 10⁻¹²)"""
    p = np.array([0.0, 0.0, 1.0, 1.0, 1e-20, 1e-5, 0.5])
    t = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.3])
    x = gl.tensor(p, requires_grad=True)
    F.binary_cross_entropy(x, gl.tensor(t), None, "sum").backward()
    expected = (p - t) / np.maximum(p * (1 - p), 1e-12)
    expected[[1, 3]] = [1, -1]  # the other term's derivative, which the quotient forgets
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


def test_batchmean() -> None:
    found = nn.KLDivLoss("batchmean")(gl.tensor(Y), gl.tensor(Q)).item()
    assert found == pytest.approx((Q * (np.log(Q) - Y)).sum() / 4, rel=1e-12)
    zero = F.kl_div(gl.tensor(Y), gl.tensor(np.zeros((4, 5))), "sum").item()
    assert zero == 0


def test_poisson_full() -> None:
    t = np.array([0.5, 1.0, 2.0, 7.0])
    y = np.zeros(4)
    stirling = np.where(t > 1, t * np.log(t) - t + 0.5 * np.log(2 * math.pi * t), 0)
    found = F.poisson_nll_loss(gl.tensor(y), gl.tensor(t), full=True, reduction="none").numpy()
    np.testing.assert_allclose(found, 1 + stirling, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.HuberLoss(delta=0), "delta must be positive, got 0"),
        (lambda: nn.SmoothL1Loss(beta=-1), "beta must not be negative, got -1"),
        (lambda: nn.MultiMarginLoss(3), "p must be 1 or 2, got 3"),
        (lambda: nn.TripletMarginLoss(p=0.5), "p must be at least 1, got 0.5"),
        (lambda: nn.FocalLoss(-1.0), "gamma must not be negative, got -1.0"),
        (lambda: nn.KLDivLoss("batch"), "reduction is 'mean', 'sum' or 'none', got 'batch'"),
    ],
)
def test_bad_settings(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def test_bad_shapes() -> None:
    a, b = gl.ones((4, 3)), gl.ones((4, 2))
    with pytest.raises(ShapeError, match=r"one shape and dtype, got float32 \(4, 3\) and"):
        F.cosine_similarity(a, b)
    with pytest.raises(ShapeError, match=r"targets of shape \(4,\) for vectors \(4, 3\)"):
        F.cosine_embedding_loss(a, a, gl.ones((3,)))
    with pytest.raises(ShapeError, match=r"pos_weight of shape \(2,\) does not fit"):
        F.binary_cross_entropy_with_logits(a, a, pos_weight=gl.ones((2,)))
