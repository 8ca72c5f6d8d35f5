"""Layers and losses at the ends of the range: huge logits, constant inputs, nothing, one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.nn import functional as F

Array = np.ndarray[Any, Any]
HUGE = 3e38
FLOATS = [np.float32, np.float64]


def with_gradient(function: Callable[[Any], Any], x: Array) -> list[tuple[Array, Array]]:
    """The value and the gradient of its sum: one by one, and as a compiled program."""

    def both(t: gl.Tensor) -> tuple[gl.Tensor, gl.Tensor]:
        return function(t), gl.grad(lambda t: function(t).sum())(t)

    results = []
    for way in (both, gl.compile(both)):
        value, gradient = way(gl.tensor(x))
        results.append((value.numpy(), gradient.numpy()))
    return results


LOGITS = {
    "thousands": [[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]],
    "millions": [[1e6, -1e6, 5e5], [-1e6, -1e6, 0.0], [1e6, 1e6, -1e6]],
    "the largest": [[HUGE, -HUGE, 0.0], [HUGE, HUGE, -HUGE], [-HUGE, -HUGE, -HUGE]],
    "impossible": [[0.0, -math.inf, 1.0], [-math.inf, 2.0, 3.0], [-math.inf, -math.inf, 0.0]],
}


def exact_softmax(z: Array) -> Array:
    wide = z.astype(np.longdouble)
    grown = np.exp(wide - wide.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LOGITS)
def test_softmax_and_its_kin(name: str, dtype: Any) -> None:
    z = np.array(LOGITS[name], dtype)
    p = exact_softmax(z).astype(np.float64)
    for function in (gl.softmax, F.softmax):
        for value, gradient in with_gradient(lambda t, f=function: f(t, axis=-1), z):
            np.testing.assert_allclose(value, p, rtol=1e-6)
            assert np.abs(gradient).max() < 1e-6
    shifted = z.astype(np.float64) - z.max(-1, keepdims=True)
    rest = np.log(np.exp(shifted).sum(-1, keepdims=True))
    total, logs = (rest + z.max(-1, keepdims=True))[:, 0], shifted - rest
    for value, gradient in with_gradient(lambda t: gl.logsumexp(t, axis=-1), z):
        np.testing.assert_allclose(value, total, rtol=1e-6)
        np.testing.assert_allclose(gradient, p, rtol=1e-5)
    for function in (gl.log_softmax, F.log_softmax):
        with np.errstate(over="ignore"):
            wanted = logs.astype(dtype)
        for value, _ in with_gradient(lambda t, f=function: f(t, axis=-1), z):
            np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [name for name in LOGITS if name != "impossible"])
def test_losses_of_huge_logits(name: str, dtype: Any) -> None:
    """The right class costs nothing; the gradients are probabilities less targets, never NaN."""
    z = np.array(LOGITS[name], dtype)
    p = exact_softmax(z).astype(np.float64)
    for k in range(3):
        labels = gl.tensor(np.full(3, k))
        goal = np.eye(3)[[k] * 3]
        for function in (
            lambda t, y=labels: F.cross_entropy(t, y, reduction="none"),
            lambda t, y=labels: F.nll_loss(F.log_softmax(t, -1), y, reduction="none"),
            lambda t, y=labels: F.focal_loss(t, y, gamma=0.0, reduction="none"),
        ):
            for value, gradient in with_gradient(function, z):
                assert (value >= 0).all()
                assert not np.isnan(value).any()
                np.testing.assert_allclose(gradient, p - goal, rtol=1e-5, atol=1e-6)
        for value, gradient in with_gradient(
            lambda t, y=labels: F.cross_entropy(t, y, label_smoothing=0.1), z
        ):
            assert not np.isnan(value)
            assert np.isfinite(gradient).all()
        if name == "the largest":
            continue  # the loss itself is infinite, and 0 times that
        for value, gradient in with_gradient(lambda t, y=labels: F.focal_loss(t, y, gamma=2.0), z):
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
    for target in (0.0, 0.3, 1.0):
        with np.errstate(over="ignore"):
            sigmoid = 1 / (1 + np.exp(-z.astype(np.float64)))
        for value, gradient in with_gradient(
            lambda t, a=target: F.binary_cross_entropy_with_logits(
                t, gl.full_like(t, a), reduction="none"
            ),
            z,
        ):
            assert np.isfinite(value).all()
            np.testing.assert_allclose(gradient, sigmoid - target, rtol=1e-5, atol=1e-6)
    for function in (
        lambda t: F.sigmoid_focal_loss(t, gl.full_like(t, 1.0), reduction="sum"),
        lambda t: F.huber_loss(t, gl.zeros_like(t)),
        lambda t: F.smooth_l1_loss(t, gl.zeros_like(t)),
        lambda t: F.softplus(t).mean(),
        lambda t: F.logsigmoid(t).mean(),
        lambda t: F.soft_margin_loss(t, gl.ones_like(t)),
        lambda t: F.multilabel_soft_margin_loss(t, gl.ones_like(t)),
    ):
        for value, gradient in with_gradient(function, z):
            assert not np.isnan(value)
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e20])
def test_ctc_of_huge_logits(scale: float) -> None:
    z = (np.random.default_rng(0).normal(size=(6, 2, 4)) * scale).astype(np.float32)
    labels, lengths = gl.tensor([[1, 2], [3, 3]]), (gl.tensor([6, 6]), gl.tensor([2, 2]))
    for value, gradient in with_gradient(
        lambda t: F.ctc_loss(F.log_softmax(t, -1), labels, *lengths), z
    ):
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


ACTIVATIONS = (
    *("relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign sigmoid tanh".split()),
    *("hardtanh hardsigmoid hardswish logsigmoid tanhshrink softshrink hardshrink".split()),
)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_at_the_ends(name: str, dtype: Any) -> None:
    function = getattr(F, name)
    for value, gradient in with_gradient(function, np.array([1e4, -1e4, 1e30, -1e30], dtype)):
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()
        assert (np.abs(gradient) < 2).all()
    for value, _ in with_gradient(function, np.array([math.nan, 1.0], dtype)):
        assert np.isnan(value[0])
        assert np.isfinite(value[1])


# -- normalisation --------------------------------------------------------------------------------

NORMALISATIONS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "batch 1d": (lambda: nn.BatchNorm1d(5), (6, 5)),
    "batch 2d": (lambda: nn.BatchNorm2d(6), (4, 3, 3, 6)),
    "layer": (lambda: nn.LayerNorm(5), (6, 5)),
    "group": (lambda: nn.GroupNorm(3, 6), (4, 3, 3, 6)),
    "instance": (lambda: nn.InstanceNorm2d(6), (4, 3, 3, 6)),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NORMALISATIONS)
def test_constant_inputs_are_nearly_zero_and_have_finite_gradients(name: str, dtype: Any) -> None:
    make, shape = NORMALISATIONS[name]
    layer = make().double() if dtype is np.float64 else make()
    weights = gl.tensor(np.random.default_rng(0).normal(size=shape).astype(dtype))
    for constant in (0.0, 1.0, 3.3, -7.7e-5, 1e-30, 1e4, 1e8):
        x = np.full(shape, constant, dtype)
        for value, gradient in with_gradient(lambda t: layer(t) * weights, x):
            # at most the rounding of the mean, over √eps
            bound = 400 * float(np.finfo(dtype).eps) * max(abs(constant), 1e-3)
            assert np.abs(value).max() <= 4 * max(bound, 1e-30)
            assert np.isfinite(gradient).all()


def test_root_mean_square_of_zero() -> None:
    for value, gradient in with_gradient(nn.RMSNorm(5), np.zeros((6, 5), np.float32)):
        assert (value == 0).all()
        assert np.isfinite(gradient).all()


def test_a_single_value_per_feature_is_refused_in_training() -> None:
    for layer, shape in ((nn.BatchNorm1d(5), (1, 5)), (nn.BatchNorm2d(6), (1, 1, 1, 6))):
        with pytest.raises(ValueError, match="more than one value per feature"):
            layer(gl.ones(shape))
        layer.eval()
        assert np.isfinite(layer(gl.ones(shape)).numpy()).all()
    assert np.isfinite(nn.BatchNorm2d(6)(gl.ones((1, 2, 1, 6))).numpy()).all()


# -- nothing and one ------------------------------------------------------------------------------

EMPTY: list[tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = [
    (lambda: nn.Linear(5, 3), (0, 5), (0, 3)),
    (lambda: nn.Linear(5, 3), (2, 0, 5), (2, 0, 3)),
    (lambda: nn.Conv1d(3, 4, 3), (0, 9, 3), (0, 7, 4)),
    (lambda: nn.Conv2d(6, 4, 3, padding=1), (0, 4, 4, 6), (0, 4, 4, 4)),
    (lambda: nn.Conv3d(3, 4, 3), (0, 5, 5, 5, 3), (0, 3, 3, 3, 4)),
    (lambda: nn.ConvTranspose2d(6, 4, 3), (0, 4, 4, 6), (0, 6, 6, 4)),
    (lambda: nn.BatchNorm1d(5), (0, 5), (0, 5)),
    (lambda: nn.BatchNorm2d(6), (0, 4, 4, 6), (0, 4, 4, 6)),
    (lambda: nn.LayerNorm(5), (0, 5), (0, 5)),
    (lambda: nn.GroupNorm(3, 6), (0, 4, 4, 6), (0, 4, 4, 6)),
    (lambda: nn.InstanceNorm2d(6), (0, 4, 4, 6), (0, 4, 4, 6)),
    (lambda: nn.RMSNorm(5), (0, 5), (0, 5)),
    (lambda: nn.MaxPool2d(2), (0, 4, 4, 6), (0, 2, 2, 6)),
    (lambda: nn.AvgPool2d(2), (0, 4, 4, 6), (0, 2, 2, 6)),
    (lambda: nn.AdaptiveAvgPool2d(1), (0, 4, 4, 6), (0, 1, 1, 6)),
    (lambda: nn.Flatten(), (0, 4, 4, 6), (0, 96)),
    (lambda: nn.Dropout(0.5), (0, 5), (0, 5)),
    (lambda: nn.Upsample(scale_factor=2), (0, 3, 3, 6), (0, 6, 6, 6)),
    (lambda: nn.Softmax(-1), (5, 0), (5, 0)),
    (lambda: nn.LSTM(3, 4, batch_first=True), (0, 5, 3), (0, 5, 4)),
    (lambda: nn.GRU(3, 4, batch_first=True), (2, 0, 3), (2, 0, 4)),
    (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (0, 5, 4), (0, 5, 4)),
]


@pytest.mark.parametrize(("make", "given", "wanted"), EMPTY)
def test_layers_of_nothing(make: Any, given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    layer = make()
    before = {name: value.numpy() for name, value in layer.named_buffers()}

    def first(x: gl.Tensor) -> gl.Tensor:
        result = layer(x)
        return result[0] if isinstance(result, tuple) else result

    x = gl.zeros(given, requires_grad=True)
    y = first(x)
    assert y.shape == wanted
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.numpy().shape == given
    for parameter in layer.parameters():
        assert parameter.grad is None or (parameter.grad.numpy() == 0).all()
    assert gl.compile(first)(gl.zeros(given)).numpy().shape == wanted
    for name, value in layer.named_buffers():
        if name != "num_batches_tracked":
            np.testing.assert_array_equal(value.numpy(), before[name])


def test_embedding_of_nothing() -> None:
    table = nn.Embedding(5, 4)
    table(gl.tensor(np.zeros((0, 3), np.int64))).sum().backward()
    assert table.weight.grad is not None
    assert (table.weight.grad.numpy() == 0).all()


def test_the_mean_loss_of_nothing_is_nan() -> None:
    z, labels = np.zeros((0, 3), np.float32), gl.tensor(np.zeros(0, np.int64))
    for function in (
        lambda t: F.cross_entropy(t, labels),
        lambda t: F.nll_loss(t, labels),
        lambda t: F.mse_loss(t, t * 2),
        lambda t: F.l1_loss(t, t * 2),
        lambda t: F.binary_cross_entropy_with_logits(t, gl.ones_like(t)),
        lambda t: F.cross_entropy(t, gl.softmax(t, -1).detach()),
    ):
        for value, gradient in with_gradient(function, z):
            assert np.isnan(value)
            assert gradient.shape == (0, 3)
    assert F.mse_loss(gl.zeros((0, 3)), gl.zeros((0, 3)), reduction="sum").item() == 0


def test_a_linear_layer_without_inputs_gives_its_bias() -> None:
    weight, bias = gl.ones((2, 0)), gl.tensor([1.0, 2.0])
    assert F.linear(gl.zeros((3, 0)), weight, bias).tolist() == [[1, 2]] * 3


def test_pooling_of_special_numbers() -> None:
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
    x[0, 0, 0, 0] = math.nan
    x[0, :2, 2:, 1] = -math.inf
    blocks = x.reshape(1, 2, 2, 2, 2, 2)
    for value, _ in with_gradient(lambda t: F.max_pool2d(t, 2), x):
        np.testing.assert_array_equal(value, blocks.max((2, 4)))
    for value, _ in with_gradient(lambda t: F.avg_pool2d(t, 2), x):
        np.testing.assert_allclose(value, blocks.mean((2, 4)), rtol=1e-6)


def test_denormal_inputs_are_not_slow() -> None:
    net = nn.Sequential(nn.Linear(256, 256), nn.Tanh(), nn.LayerNorm(256), nn.Linear(256, 256))
    step = gl.compile(lambda x: gl.softmax(net(x), -1).sum() + (x * 0.5).sum())
    usual = gl.tensor(np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32))
    tiny = usual * 1e-39
    assert step(tiny).numpy() == step(gl.zeros((256, 256))).numpy()

    def fastest(x: gl.Tensor) -> float:
        times = []
        for _ in range(30):
            began = time.perf_counter()
            step(x).numpy()
            times.append(time.perf_counter() - began)
        return min(times)

    fastest(usual)
    assert fastest(tiny) < 2 * fastest(usual)
