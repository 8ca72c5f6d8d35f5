from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from nn_oracle import convolution, cross_entropy, log_softmax, pool

import glubina as gl
from glubina import nn
from glubina.nn import functional as F

RANDOM = np.random.default_rng(1)


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (3,)])
def test_linear(shape: tuple[int, ...]) -> None:
    x, w, b = normal(*shape), normal(5, 3), normal(5)
    y = F.linear(gl.tensor(x), gl.tensor(w), gl.tensor(b))
    np.testing.assert_allclose(y.numpy(), x @ w.T + b, rtol=1e-12)
    check_gradients(lambda *t: (F.linear(*t) ** 3).sum(), x, w, b)


@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (1, {}),
        (2, {"stride": 2, "padding": 1}),
        (2, {"dilation": 2, "padding": 2}),
        (2, {"groups": 2}),
        (3, {"padding": 1}),
    ],
)
def test_convolution(rank: int, options: dict[str, int]) -> None:
    groups = options.get("groups", 1)
    x, w, b = normal(2, *(5, 6, 4)[:rank], 4), normal(*(3, 2, 2)[:rank], 4 // groups, 6), normal(6)
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    y = function(gl.tensor(x), gl.tensor(w), gl.tensor(b), **options)
    usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    expected = convolution(x, w, **{**usual, **options}) + b
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-10)
    check_gradients(lambda *t: (function(*t, **options) ** 2).sum(), x, w, b)


@pytest.mark.parametrize("window", [2, 3, (3, 2)])
def test_same_padding_keeps_the_size(window: Any) -> None:
    layer = nn.Conv2d(2, 3, window, padding="same")
    assert layer(gl.ones((1, 7, 6, 2))).shape == (1, 7, 6, 3)
    x = normal(1, 7, 6, 2).astype(np.float32)
    kh, kw = layer.kernel_size
    around = [(0, 0), ((kh - 1) // 2, kh // 2), ((kw - 1) // 2, kw // 2), (0, 0)]
    expected = convolution(np.pad(x, around), layer.weight.numpy(), 1, 0, 1, 1)
    found = layer(gl.tensor(x)).numpy() - layer.bias.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("k", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_pooling(k: int, stride: int, padding: int) -> None:
    x = normal(2, 6, 5, 3)
    largest = F.max_pool2d(gl.tensor(x), k, stride, padding).numpy()
    np.testing.assert_array_equal(largest, pool(x, k, stride, padding, lambda w: w.max(1), -np.inf))
    mean = F.avg_pool2d(gl.tensor(x), k, stride, padding).numpy()
    np.testing.assert_allclose(mean, pool(x, k, stride, padding, lambda w: w.mean(1), 0))
    without = F.avg_pool2d(gl.tensor(x), k, stride, padding, count_include_pad=False).numpy()
    expected = pool(x, k, stride, padding, lambda w: np.nanmean(w, 1), np.nan)
    np.testing.assert_allclose(without, expected)
    check_gradients(lambda t: (F.max_pool2d(t, k, stride, padding) ** 3).sum(), x)
    check_gradients(lambda t: (F.avg_pool2d(t, k, stride, padding) ** 3).sum(), x)


def test_pooling_over_one_axis() -> None:
    x = normal(2, 6, 3)
    found = nn.MaxPool1d(2)(gl.tensor(x)).numpy()
    np.testing.assert_array_equal(found, x.reshape(2, 3, 2, 3).max(2))
    found = nn.AvgPool1d(2)(gl.tensor(x)).numpy()
    np.testing.assert_allclose(found, x.reshape(2, 3, 2, 3).mean(2))


def test_activations() -> None:
    x = normal(3, 4)
    for layer, expected in (
        (nn.ReLU(), np.maximum(x, 0)),
        (nn.Sigmoid(), 1 / (1 + np.exp(-x))),
        (nn.Tanh(), np.tanh(x)),
        (nn.Softmax(), np.exp(log_softmax(x))),
        (nn.Softmax(0), np.exp(log_softmax(x.T)).T),
        (nn.LogSoftmax(), log_softmax(x)),
    ):
        np.testing.assert_allclose(layer(gl.tensor(x)).numpy(), expected, rtol=1e-12)
        weights = gl.tensor(np.linspace(1, 2, 12).reshape(3, 4))
        check_gradients(lambda t, layer=layer, w=weights: (layer(t) * w).sum(), x)


def test_softmax_of_large_logits() -> None:
    z = gl.tensor(np.array([[1e4, 0, -1e4], [-800.0, -800.0, -800.0]], np.float32))
    np.testing.assert_allclose(F.softmax(z).numpy(), [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(F.log_softmax(z).numpy()[0], [0, -1e4, -2e4])


def test_flatten() -> None:
    x = normal(2, 3, 4, 5)
    np.testing.assert_array_equal(nn.Flatten()(gl.tensor(x)).numpy(), x.reshape(2, 60))
    np.testing.assert_array_equal(nn.Flatten(0, 1)(gl.tensor(x)).numpy(), x.reshape(6, 4, 5))
    assert nn.Identity()(x) is x


# -- dropout -------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean() -> None:
    gl.manual_seed(0)
    layer = nn.Dropout(0.25)
    y = layer(gl.ones((200, 50))).numpy()
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    again = layer(gl.ones((200, 50))).numpy()
    assert (again != y).any()
    gl.manual_seed(0)
    np.testing.assert_array_equal(layer(gl.ones((200, 50))).numpy(), y)


def test_dropout_in_use_and_at_the_ends() -> None:
    x = gl.tensor(normal(4, 5))
    np.testing.assert_array_equal(nn.Dropout(0.5).eval()(x).numpy(), x.numpy())
    np.testing.assert_array_equal(nn.Dropout(0.0)(x).numpy(), x.numpy())
    np.testing.assert_array_equal(nn.Dropout(1.0)(x).numpy(), np.zeros((4, 5)))


def test_dropout_gradient_passes_where_the_value_did() -> None:
    x = gl.ones((20, 30), requires_grad=True)
    y = F.dropout(x, 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_two_dropouts_draw_differently() -> None:
    x = gl.ones((10, 100))
    first, second = F.dropout(x, 0.5), F.dropout(x, 0.5)
    assert (first.numpy() != second.numpy()).any()


# -- normalisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 3), (4, 5, 3), (2, 4, 3, 3)])
def test_batch_norm_in_training_and_in_use(shape: tuple[int, ...]) -> None:
    layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3).double()
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    w, b = layer.weight.numpy(), layer.bias.numpy()
    axes = tuple(range(len(shape) - 1))
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = 2 + 3 * normal(*shape)
        y = layer(gl.tensor(x)).numpy()
        m, v = x.mean(axes), x.var(axes)
        np.testing.assert_allclose(y, (x - m) / np.sqrt(v + 1e-5) * w + b, rtol=1e-10)
        count = x.size // 3
        mean, var = 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v * count / (count - 1)
    layer.eval()
    y = layer(gl.tensor(x)).numpy()
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * w + b, rtol=1e-10)


def test_batch_norm_with_cumulative_average() -> None:
    layer = nn.BatchNorm1d(2, momentum=None, affine=False).double()
    means = []
    for _ in range(3):
        x = normal(5, 2)
        means.append(x.mean(0))
        layer(gl.tensor(x))
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean(means, 0), rtol=1e-10)


def test_batch_norm_without_statistics() -> None:
    layer = nn.BatchNorm1d(2, track_running_stats=False).double().eval()
    assert list(layer.buffers()) == []
    x = normal(5, 2)
    y = layer(gl.tensor(x)).numpy()
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), rtol=1e-10)


def test_batch_norm_gradients() -> None:
    def function(x: Any, w: Any, b: Any) -> Any:
        return (F.batch_norm(x, None, None, w, b, training=True) ** 3).sum()

    check_gradients(function, normal(5, 3), normal(3), normal(3))


def test_layer_norm() -> None:
    x, w, b = normal(3, 4, 5), normal(4, 5), normal(4, 5)
    y = F.layer_norm(gl.tensor(x), (4, 5), gl.tensor(w), gl.tensor(b)).numpy()
    m, v = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    np.testing.assert_allclose(y, (x - m) / np.sqrt(v + 1e-5) * w + b, rtol=1e-10)
    check_gradients(lambda x, w, b: (F.layer_norm(x, (4, 5), w, b) ** 3).sum(), x, w, b)
    assert nn.LayerNorm(5, bias=False).bias is None


# -- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_regression_losses(reduction: str) -> None:
    y, t = normal(4, 3), normal(4, 3)
    reduce = {"mean": np.mean, "sum": np.sum, "none": lambda a: a}[reduction]
    for loss, each in ((nn.MSELoss, (y - t) ** 2), (nn.L1Loss, np.abs(y - t))):
        found = loss(reduction)(gl.tensor(y), gl.tensor(t)).numpy()
        np.testing.assert_allclose(found, reduce(each), rtol=1e-12)
    check_gradients(F.mse_loss, y, t)
    check_gradients(F.l1_loss, y, t, second=False)


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4), (4,)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(shape: tuple[int, ...], reduction: str) -> None:
    z, labels = 3 * normal(*shape), RANDOM.integers(0, 4, shape[:-1])
    reduce = {"mean": np.mean, "sum": np.sum, "none": lambda a: a}[reduction]
    expected = reduce(cross_entropy(z, labels))
    t = gl.tensor(labels)
    found = nn.CrossEntropyLoss(reduction=reduction)(gl.tensor(z), t).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    found = nn.NLLLoss(reduction=reduction)(nn.LogSoftmax()(gl.tensor(z)), t).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    check_gradients(lambda z: F.cross_entropy(z, t), z)


def test_cross_entropy_gradient_is_softmax_minus_one_hot() -> None:
    z = gl.tensor(np.array([[1e3, 0, -1e3], [1, 2, 3]], np.float32), requires_grad=True)
    loss = F.cross_entropy(z, gl.tensor(np.array([0, 2], np.uint8)))
    loss.backward()
    e = np.exp([-2, -1, 0])
    expected = [[0, 0, 0], (e / e.sum() - [0, 0, 1]) / 2]
    np.testing.assert_allclose(z.grad.numpy(), expected, atol=1e-7)


def test_cross_entropy_with_weights() -> None:
    z, labels, w = normal(6, 3), np.array([0, 1, 2, 2, 1, 0]), np.array([1.0, 2.0, 0.5])
    each = cross_entropy(z, labels) * w[labels]
    loss = nn.CrossEntropyLoss(gl.tensor(w))
    np.testing.assert_allclose(
        loss(gl.tensor(z), gl.tensor(labels)).item(), each.sum() / w[labels].sum(), rtol=1e-10
    )
    loss.reduction = "none"
    np.testing.assert_allclose(loss(gl.tensor(z), gl.tensor(labels)).numpy(), each, rtol=1e-10)


def test_cross_entropy_with_smoothing_is_that_of_smoothed_targets() -> None:
    z, labels = normal(6, 3), np.array([0, 1, 2, 2, 1, 0])
    q = 0.9 * np.eye(3)[labels] + 0.1 / 3
    expected = (-q * log_softmax(z)).sum(-1).mean()
    found = nn.CrossEntropyLoss(label_smoothing=0.1)(gl.tensor(z), gl.tensor(labels)).item()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    found = nn.CrossEntropyLoss()(gl.tensor(z), gl.tensor(q)).item()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    t = gl.tensor(labels)
    check_gradients(lambda z: F.cross_entropy(z, t, label_smoothing=0.1), z)


def test_binary_cross_entropy() -> None:
    z, t = 3 * normal(4, 3), RANDOM.uniform(size=(4, 3))
    z[0, 0] = 0
    p = 1 / (1 + np.exp(-z))
    expected = (-t * np.log(p) - (1 - t) * np.log(1 - p)).mean()
    found = nn.BCEWithLogitsLoss()(gl.tensor(z), gl.tensor(t)).item()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    tensor = gl.tensor(z, requires_grad=True)
    nn.BCEWithLogitsLoss()(tensor, gl.tensor(t)).backward()
    np.testing.assert_allclose(tensor.grad.numpy(), (p - t) / 12, rtol=1e-10)
    far = nn.BCEWithLogitsLoss(reduction="none")(
        gl.tensor(np.array([1e4, -1e4])), gl.tensor([0.0, 0.0])
    )
    np.testing.assert_array_equal(far.numpy(), [1e4, 0])


def test_targets_of_another_float_dtype_are_converted() -> None:
    y = gl.ones((2, 1))
    assert nn.MSELoss()(y, gl.tensor(np.zeros((2, 1)))).dtype == np.float32


# -- lazy layers ---------------------------------------------------------------------------------


def test_lazy_layers_become_what_the_input_asks_for() -> None:
    net = nn.Sequential(
        nn.LazyConv2d(4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5, bias=False)
    )
    assert "in_features not known yet" in repr(net)
    rule = gl.optim.SGD(net.parameters(), lr=0.1)
    assert net(gl.ones((2, 6, 6, 2))).shape == (2, 5)
    assert type(net[0]) is nn.Conv2d
    assert type(net[3]) is nn.Linear
    assert net[0].weight.shape == (3, 3, 1, 4)
    assert net[3].weight.shape == (5, 64)
    described = nn.describe(net)
    assert described == nn.describe(nn.build(described))
    before = net[3].weight.numpy().copy()
    net(gl.ones((2, 6, 6, 2))).sum().backward()
    rule.step()
    assert (net[3].weight.numpy() != before).any()


def test_a_lazy_layer_is_filled_by_loading() -> None:
    trained = nn.Sequential(nn.Linear(3, 2))
    net = nn.Sequential(nn.LazyLinear(2))
    net.load_state_dict(trained.state_dict())
    x = gl.ones((1, 3))
    np.testing.assert_array_equal(net(x).numpy(), trained(x).numpy())
