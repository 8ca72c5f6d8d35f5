"""Keras's layers: values against NumPy, Keras's layouts, shapes, defaults, error texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import keras
from glubina.graph import ShapeError
from glubina.keras import layers

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def run(layer: Any, *inputs: Any, **options: Any) -> np.ndarray:
    result: np.ndarray = layer(inputs[0] if len(inputs) == 1 else list(inputs), **options).numpy()
    return result


def close(a: Any, b: Any, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def convolved(x: np.ndarray, w: np.ndarray, stride: int, padding: str) -> np.ndarray:
    """A convolution by its definition, with Keras's padding."""
    (n, height, width, _), (kh, kw) = x.shape, w.shape[:2]
    if padding == "same":
        widths = []
        for extent, k in ((height, kh), (width, kw)):
            total = max((-(-extent // stride) - 1) * stride + k - extent, 0)
            widths.append((total // 2, total - total // 2))
        x = np.pad(x, ((0, 0), *widths, (0, 0)))
    rows, columns = (x.shape[1] - kh) // stride + 1, (x.shape[2] - kw) // stride + 1
    y = np.zeros((n, rows, columns, w.shape[3]))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, i * stride : i * stride + kh, j * stride : j * stride + kw]
            y[:, i, j] = np.tensordot(patch, w, 3)
    return y


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (2, 1), (3, 2), (2, 2), (4, 3)])
def test_convolution_with_keras_padding(size: int, stride: int, padding: str) -> None:
    x, layer = normal(2, 7, 8, 3), layers.Conv2D(4, size, strides=stride, padding=padding)
    y = run(layer, x)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (size, size, 3, 4)
    assert not bias.any()
    assert np.abs(kernel).max() <= np.sqrt(6 / (size * size * 7)) + 1e-6
    close(y, convolved(x, kernel, stride, padding))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (2, 3), (4, 2)])
def test_the_transposed_convolution_is_the_adjoint(size: int, stride: int, padding: str) -> None:
    layer = layers.Conv2DTranspose(3, size, strides=stride, padding=padding, use_bias=False)
    small = normal(2, 4, 5, 2)
    large = run(layer, small)
    (kernel,) = layer.get_weights()  # (KH, KW, filters, C): the filter of the convolution back
    back = normal(*large.shape)
    assert large.shape[1:3] == tuple(
        n * stride if padding == "same" else n * stride + max(size - stride, 0) for n in (4, 5)
    )
    close(np.sum(convolved(back, kernel, stride, padding) * small), np.sum(back * large), 1e-4)


def test_depthwise_and_separable_convolutions() -> None:
    x = normal(2, 6, 6, 3)
    layer = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)
    y = run(layer, x)
    (kernel,) = layer.get_weights()
    for c in range(3):
        close(
            y[..., 2 * c : 2 * c + 2],
            convolved(x[..., c : c + 1], kernel[:, :, c : c + 1], 1, "valid"),
        )
    both = layers.SeparableConv2D(5, 3, use_bias=False)
    y = run(both, x)
    deep, point = both.get_weights()
    each = [convolved(x[..., c : c + 1], deep[:, :, c : c + 1], 1, "valid") for c in range(3)]
    close(y, np.concatenate(each, -1) @ point[0, 0])


def test_locally_connected_weights_are_not_shared() -> None:
    x, layer = normal(2, 5, 6, 2), layers.LocallyConnected2D(3, (2, 3), strides=(1, 2))
    y = run(layer, x)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (4 * 2, 12, 3)
    assert bias.shape == (4, 2, 3)
    for i in range(4):
        for j in range(2):
            patch = x[:, i : i + 2, 2 * j : 2 * j + 3].reshape(2, 12)
            close(y[:, i, j], patch @ kernel[2 * i + j])


def test_causal_convolution_sees_no_future() -> None:
    layer, x = layers.Conv1D(2, 3, padding="causal", dilation_rate=2), normal(1, 9, 1)
    y, later = run(layer, x), x.copy()
    later[:, 5:] += 1
    close(run(layer, later)[:, :5], y[:, :5])
    assert y.shape == (1, 9, 2)


@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_pooling_with_same_padding(kind: str) -> None:
    x = normal(2, 5, 7, 3)
    y = run(getattr(layers, f"{kind}Pooling2D")(3, strides=2, padding="same"), x)
    reduce = {"Max": np.nanmax, "Average": np.nanmean}[kind]
    low, high = (1, 1), (1, 1)
    padded = np.pad(x, ((0, 0), low, high, (0, 0)), constant_values=np.nan)
    for i in range(3):
        for j in range(4):
            close(y[:, i, j], reduce(padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3], (1, 2)))


def test_batch_normalisation_has_keras_defaults() -> None:
    x, layer = normal(8, 3) * 2 + 1, layers.BatchNormalization()
    y = run(layer, x, training=True)
    mean, variance = x.mean(0), x.var(0)
    close(y, (x - mean) / np.sqrt(variance + 1e-3))
    gamma, beta, moving_mean, moving_variance = layer.get_weights()
    close(moving_mean, 0.01 * mean)
    close(moving_variance, 0.99 + 0.01 * variance)
    assert (gamma == 1).all()
    assert (beta == 0).all()
    close(run(layer, x), (x - moving_mean) / np.sqrt(moving_variance + 1e-3))
    layer.trainable = False
    run(layer, x, training=True)
    close(layer.get_weights()[2], moving_mean)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def lstm(x: np.ndarray, weights: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
    kernel, recurrent, bias = weights
    h = c = np.zeros((x.shape[0], recurrent.shape[0]))
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, -1)
        new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        there = mask[:, t, None]
        h = np.where(there, sigmoid(o) * np.tanh(new), h)
        c = np.where(there, new, c)
    return h


def gru(x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    kernel, recurrent, bias = weights
    h = np.zeros((x.shape[0], recurrent.shape[0]))
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + bias[0], 3, -1)
        hz, hr, hh = np.split(h @ recurrent + bias[1], 3, -1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + r * hh)
    return h


def test_recurrent_layers_in_keras_layout() -> None:
    x, everything = normal(3, 6, 4), np.ones((3, 6), bool)
    layer = layers.LSTM(5)
    y = run(layer, x)
    kernel, recurrent, bias = layer.get_weights()
    assert (kernel.shape, recurrent.shape, bias.shape) == ((4, 20), (5, 20), (20,))
    assert (bias[5:10] == 1).all()
    assert not bias[:5].any()
    close(y, lstm(x, layer.get_weights(), everything))
    gated = layers.GRU(5)
    run(gated, x)
    gated.set_weights([normal(*w.shape) * 0.3 for w in gated.get_weights()])
    close(run(gated, x), gru(x, gated.get_weights()))
    simple = layers.SimpleRNN(5, return_sequences=True, return_state=True)
    outputs, state = simple(x)
    close(outputs.numpy()[:, -1], state.numpy())


def test_a_mask_leaves_steps_out() -> None:
    x = normal(3, 6, 4)
    x[0, :3] = 0
    x[1, 4:] = 0
    model = keras.Sequential([layers.Masking(input_shape=(6, 4)), layers.LSTM(5)])
    mask = (x != 0).any(-1)
    close(model.predict(x), lstm(x, model.layers[1].get_weights(), mask))
    words = np.array([[0, 0, 3, 1], [2, 2, 0, 0]])
    model = keras.Sequential(
        [
            layers.Embedding(5, 4, mask_zero=True, input_length=4),
            layers.Bidirectional(layers.GRU(3)),
        ]
    )
    padded = model.predict(words)
    assert padded.shape == (2, 6)


def test_bidirectional_is_both_directions() -> None:
    x = normal(2, 5, 3)
    for sequences in (False, True):
        both = layers.Bidirectional(layers.LSTM(4, return_sequences=sequences))
        y = run(both, x)
        forward, backward = layers.LSTM(4), layers.LSTM(4)
        run(forward, x), run(backward, x)
        weights = both.get_weights()
        forward.set_weights(weights[:3])
        backward.set_weights(weights[3:])
        wanted = (run(forward, x), run(backward, x[:, ::-1].copy()))
        if sequences:
            close(y[:, -1, :4], wanted[0])
            close(y[:, 0, 4:], wanted[1])
        else:
            close(y, np.concatenate(wanted, -1))


SHAPES: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [
    (layers.Dense(3), (4, 5), (4, 3)),
    (layers.Activation("relu"), (4,), (4,)),
    (layers.Flatten(), (4, 5), (20,)),
    (layers.Reshape((2, -1)), (4, 3), (2, 6)),
    (layers.Permute((2, 1)), (4, 5), (5, 4)),
    (layers.Rescaling(2.0, offset=1.0), (4, 5), (4, 5)),
    (layers.RepeatVector(3), (5,), (3, 5)),
    (layers.Lambda(lambda x: x * 2), (5,), (5,)),
    (layers.Dropout(0.5), (5,), (5,)),
    (layers.Dropout(0.5, noise_shape=(None, 1, None)), (4, 5), (4, 5)),
    (layers.SpatialDropout2D(0.5), (4, 4, 2), (4, 4, 2)),
    (layers.GaussianNoise(0.1), (5,), (5,)),
    (layers.GaussianDropout(0.1), (5,), (5,)),
    (layers.AlphaDropout(0.1), (5,), (5,)),
    (layers.LeakyReLU(alpha=0.1), (5,), (5,)),
    (layers.ELU(), (5,), (5,)),
    (layers.PReLU(shared_axes=(1, 2)), (4, 4, 3), (4, 4, 3)),
    (layers.ReLU(6.0), (5,), (5,)),
    (layers.Softmax(), (5,), (5,)),
    (layers.ThresholdedReLU(), (5,), (5,)),
    (layers.LayerNormalization(), (4, 5), (4, 5)),
    (layers.UnitNormalization(), (5,), (5,)),
    (layers.Conv1D(3, 3), (8, 2), (6, 3)),
    (layers.Conv3D(3, 2), (4, 4, 4, 1), (3, 3, 3, 3)),
    (layers.SeparableConv1D(3, 3), (8, 2), (6, 3)),
    (layers.Conv1DTranspose(3, 3, strides=2), (4, 2), (9, 3)),
    (layers.LocallyConnected1D(3, 3), (8, 2), (6, 3)),
    (layers.MaxPooling1D(), (8, 2), (4, 2)),
    (layers.AveragePooling3D(), (4, 4, 4, 1), (2, 2, 2, 1)),
    (layers.GlobalMaxPooling2D(), (4, 5, 3), (3,)),
    (layers.GlobalAveragePooling2D(), (4, 5, 3), (3,)),
    (layers.GlobalAveragePooling1D(), (4, 3), (3,)),
    (layers.ZeroPadding2D(((1, 2), (0, 1))), (4, 5, 1), (7, 6, 1)),
    (layers.Cropping2D((1, 2)), (4, 6, 1), (2, 2, 1)),
    (layers.UpSampling2D((2, 3)), (4, 5, 1), (8, 15, 1)),
    (layers.TimeDistributed(layers.Dense(3)), (4, 5), (4, 3)),
    (layers.LSTM(3, return_sequences=True, dropout=0.1), (4, 5), (4, 3)),
]


@pytest.mark.parametrize("case", SHAPES, ids=lambda case: type(case[0]).__name__)
def test_each_layer_trains_saves_and_has_its_shape(case: Any) -> None:
    layer, example, wanted = case
    layer = type(layer)(**layer.config()) if type(layer).__name__ != "Lambda" else layer
    inputs = keras.Input(example)
    y = layer(inputs)
    assert y.shape == (None, *wanted)
    x = normal(4, *example)
    with_values = layer(x, training=True)
    assert with_values.shape == (4, *wanted)
    close(layer(x).numpy(), keras.Model(inputs, y).predict(x))
    if type(layer).__name__ == "Lambda":
        return
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(y)))
    model.compile("sgd", "mse")
    model.fit(x, np.ones((4, 1)), epochs=1, verbose=0)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    close(copy.predict(x), model.predict(x))


def test_merging_layers() -> None:
    a, b = normal(3, 4), normal(3, 4)
    close(run(layers.Add(), a, b), a + b)
    close(run(layers.Subtract(), a, b), a - b)
    close(run(layers.Multiply(), a, b), a * b)
    close(run(layers.Average(), a, b), (a + b) / 2)
    close(run(layers.Maximum(), a, b), np.maximum(a, b))
    close(run(layers.Minimum(), a, b), np.minimum(a, b))
    close(run(layers.Concatenate(), a, b), np.concatenate([a, b], -1))
    close(run(layers.Dot(1), a, b), (a * b).sum(-1, keepdims=True))
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    close(run(layers.Dot(1, normalize=True), a, b)[:, 0], cosine)
    c, d = normal(3, 4, 2), normal(3, 5, 4)
    close(run(layers.Dot((1, 2)), c, d), np.einsum("nai,nja->nij", c, d))


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ShapeError, match=r"Conv2D expects input of shape \(N, H, W, C\), got"):
        layers.Conv2D(3, 3)(normal(2, 5))
    with pytest.raises(TypeError, match="no argument 'unit'; did you mean 'units'"):
        layers.Dense(3, unit=4)
    with pytest.raises(ValueError, match="unknown activation 'rleu'; did you mean"):
        layers.Dense(3, activation="rleu")
    with pytest.raises(ValueError, match="unknown initializer 'glorot'; did you mean"):
        layers.Dense(3, kernel_initializer="glorot")
    with pytest.raises(AttributeError, match="unknown layer 'Conv2d'; did you mean 'Conv2D'"):
        _ = layers.Conv2d
    with pytest.raises(ValueError, match="data_format is 'channels_last' here"):
        layers.Conv2D(3, 3, data_format="channels_first")
    with pytest.raises(ShapeError, match=r"Reshape: examples of shape \(5,\) have 5 elements"):
        layers.Reshape((2, 3))(normal(2, 5))
    with pytest.raises(TypeError, match=r"did you mean \(28,\)"):
        layers.Dense(3, input_shape=28)
    layer = layers.Dense(3)
    layer(normal(2, 5))
    with pytest.raises(ShapeError, match=r"has weights of shapes \[\(5, 3\), \(3,\)\], got"):
        layer.set_weights([np.zeros((4, 3)), np.zeros(3)])


def test_initialisers_have_keras_variances() -> None:
    gl.manual_seed(0)
    for name, variance in (
        ("glorot_uniform", 2 / 700),
        ("glorot_normal", 2 / 700),
        ("he_normal", 2 / 400),
        ("he_uniform", 2 / 400),
        ("lecun_normal", 1 / 400),
        ("random_normal", 0.05**2),
    ):
        values = keras.initializers.get(name)((400, 300))
        assert abs(values.var() / variance - 1) < 0.03, name
    q = keras.initializers.Orthogonal(seed=1)((6, 4))
    close(q.T @ q, np.eye(4))
    np.testing.assert_array_equal(q, keras.initializers.Orthogonal(seed=1)((6, 4)))
