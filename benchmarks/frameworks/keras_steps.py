"""TensorFlow's side: layers of tf-keras, the step as one `tf.function`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks import layers as spec
from benchmarks.workloads import Workload

MODES = ("function",)
L = keras.layers


class Places(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
    """A row of a table for every place, added."""

    def __init__(self, places: Any) -> None:
        super().__init__()
        self.places = tf.Variable(places)

    def call(self, x: Any) -> Any:
        """The input plus its places' rows."""
        return x + self.places


class Attention(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
    """Causal self-attention with its two projections."""

    def __init__(self, heads: int, inward: Any, outward: Any) -> None:
        super().__init__()
        self.heads, self.inward, self.outward = heads, inward, outward

    def call(self, x: Any) -> Any:
        """(N, T, width), every place looking at itself and those before."""
        _, time, width = x.shape
        parts = tf.reshape(self.inward(x), (-1, time, 3, self.heads, width // self.heads))
        q, k, v = tf.unstack(tf.transpose(parts, (2, 0, 3, 1, 4)))
        scores = tf.matmul(q, k, transpose_b=True) * (width // self.heads) ** -0.5
        hidden = np.triu(np.full((time, time), -1e9, np.float32), 1)
        y = tf.matmul(tf.nn.softmax(scores + hidden), v)
        return self.outward(tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (-1, time, width)))


def network(layers: spec.Layers, x: Any, shape: spec.Shape, values: Iterator[spec.Array]) -> Any:
    """A row of layers with these first weights, on a symbolic input."""
    for layer in layers:
        x = _layer(layer, x, shape, values)
        shape = layer.after(shape)
    return x


def _layer(layer: spec.Layer, x: Any, shape: spec.Shape, values: Iterator[spec.Array]) -> Any:
    rank = len(shape) - 1
    match layer:
        case spec.Residual(body, shortcut):
            y = network(body, x, shape, values)
            return L.Add()([y, network(shortcut, x, shape, values)])
        case spec.Branches(paths):
            return L.Concatenate()([network(path, x, shape, values) for path in paths])
        case spec.Attention(heads):
            width = shape[-1]
            inward, outward = L.Dense(3 * width), L.Dense(width)
            y = Attention(heads, inward, outward)(x)
            inward.set_weights([next(values), next(values)])
            outward.set_weights([next(values), next(values)])
            return y
        case spec.Embedding(count, width, positions):
            table = L.Embedding(count, width)
            y = table(x)
            table.set_weights([next(values)])
            return Places(next(values))(y) if positions else y
        case spec.Conv(padding=padding) if padding and not _same(layer):
            x = getattr(L, f"ZeroPadding{rank}D")(padding)(x)
    made = _made(layer, rank, shape)
    y = made(x)
    drawn = [next(values) for _ in layer.weights(shape)]
    if drawn:
        made.set_weights([*_arranged(layer, drawn, shape), *made.get_weights()[len(drawn) :]])
    return y


def _same(conv: spec.Conv) -> bool:
    """Whether the padding is what Keras calls "same"."""
    return conv.stride == 1 and 2 * conv.padding == conv.dilation * (conv.window - 1)


def _arranged(layer: spec.Layer, drawn: list[Any], shape: spec.Shape) -> list[Any]:
    """The weights in Keras's layout."""
    if isinstance(layer, spec.ConvTranspose):
        drawn[0] = np.swapaxes(drawn[0], -1, -2)
    elif isinstance(layer, spec.Conv) and layer.groups == shape[-1] > 1:
        drawn[0] = np.swapaxes(drawn[0], -1, -2)  # depthwise: (*window, channels, 1)
    return drawn


def _made(layer: spec.Layer, rank: int, shape: spec.Shape) -> Any:
    match layer:
        case spec.Dense(units, bias):
            return L.Dense(units, use_bias=bias)
        case spec.Conv(filters, window, stride, _, dilation, groups, bias):
            padding = "same" if _same(layer) else "valid"
            if groups == shape[-1] > 1:
                return getattr(L, f"DepthwiseConv{rank}D")(
                    window, strides=stride, padding=padding, use_bias=bias
                )
            return getattr(L, f"Conv{rank}D")(
                filters, window, strides=stride, padding=padding, dilation_rate=dilation,
                groups=groups, use_bias=bias,
            )  # fmt: skip
        case spec.ConvTranspose(filters, window):
            return getattr(L, f"Conv{rank}DTranspose")(filters, window, strides=window)
        case spec.Activation(kind):
            return L.Lambda(lambda x: tf.nn.gelu(x, True)) if kind == "gelu" else L.Activation(kind)
        case spec.MaxPool(window, stride, padding):
            around = "same" if padding else "valid"
            return getattr(L, f"MaxPooling{rank}D")(window, stride or None, around)
        case spec.AvgPool(window):
            return getattr(L, f"AveragePooling{rank}D")(window)
        case spec.GlobalAvgPool():
            return getattr(L, f"GlobalAveragePooling{rank}D")()
        case spec.Flatten():
            return L.Flatten()
        case spec.Dropout(rate):
            return L.Dropout(rate)
        case spec.BatchNorm():
            return L.BatchNormalization(momentum=0.9, epsilon=1e-5)
        case spec.LayerNorm():
            return L.LayerNormalization(epsilon=1e-5)
        case spec.LSTM(units):
            return L.LSTM(units, return_sequences=True)
    raise NotImplementedError(f"Keras's side lacks {layer}")


def _rule(workload: Workload) -> Any:
    rule = workload.rule
    assert rule is not None
    if rule.name == "sgd":
        decay = rule.weight_decay or None
        return keras.optimizers.SGD(rule.lr, momentum=rule.momentum, weight_decay=decay)
    if rule.name == "adam":
        return keras.optimizers.Adam(rule.lr, epsilon=1e-8)
    return keras.optimizers.Adadelta(rule.lr, rho=0.9, epsilon=1e-6)


class KerasSteps:
    """Steps over mini-batches that lie in memory."""

    def __init__(self, workload: Workload) -> None:
        threads = int(os.environ["BENCHMARK_THREADS"])
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.random.set_seed(0)
        inputs, targets = workload.data()
        if workload.classes:
            targets = targets.astype(np.int32)
        size = workload.batch
        self.batches = [
            (tf.constant(inputs[at : at + size]), tf.constant(targets[at : at + size]))
            for at in range(0, len(inputs), size)
        ]
        values = iter(spec.first_weights(workload.network, workload.shape))
        x = keras.Input(workload.shape, workload.batch, dtype=inputs.dtype)
        model = keras.Model(x, network(workload.network, x, workload.shape, values))
        step = _training_step(model, workload) if workload.rule else _forward(model)
        self.step = tf.function(step)
        self.position = 0
        self.last: Any = None

    def run(self, steps: int) -> int:
        """Take so many steps; returns how many were taken."""
        step, batches = self.step, self.batches
        for _ in range(steps):
            x, y = batches[self.position]
            self.last = step(x, y)
            self.position = (self.position + 1) % len(batches)
        self.last.numpy()
        return steps

    def loss(self) -> float:
        """The loss of the last step."""
        return float(self.last.numpy().mean())


def _training_step(model: Any, workload: Workload) -> Callable[..., Any]:
    rule = _rule(workload)
    rule.build(model.trainable_variables)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            z = model(x, training=True)
            loss = tf.reduce_mean(entropy(y, z) if workload.classes else tf.square(z - y))
        weights = model.trainable_variables
        rule.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    return step


def _forward(model: Any) -> Callable[..., Any]:
    def forward(x: Any, y: Any) -> Any:
        return model(x, training=False)

    return forward


def build(workload: Workload, mode: str) -> KerasSteps:
    """The steps of a workload; there is one mode."""
    return KerasSteps(workload)
