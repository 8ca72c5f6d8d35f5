"""JAX's side: plain functions of a list of weights, the whole step under `jax.jit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import layers as spec
from benchmarks.workloads import Rule, Workload

MODES = ("jit",)
SPATIAL = {1: "H", 2: "HW", 3: "DHW"}
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu}


class Context:
    """What a pass through the network takes along: the weights in order, the key, the statistics.

    `statistics` are the batch norms' running means and variances before the pass, `moved` after it.
    """

    def __init__(self, weights: Any, statistics: Any, key: Any, training: bool) -> None:
        self.weights, self.statistics = iter(weights), iter(statistics)
        self.key, self.training = key, training
        self.moved: list[Any] = []

    def dropped(self, x: Any, rate: float) -> Any:
        """Dropout while training."""
        if not self.training:
            return x
        self.key, key = jax.random.split(self.key)
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)

    def normalised(self, x: Any) -> Any:
        """Batch normalisation."""
        scale, shift = next(self.weights), next(self.weights)
        mean, variance = next(self.statistics)
        if self.training:
            axes = tuple(range(x.ndim - 1))
            now = x.mean(axes), x.var(axes)
            count = x.size // x.shape[-1]
            new = now[0], now[1] * count / (count - 1)
            self.moved.append(tuple(0.9 * a + 0.1 * b for a, b in zip((mean, variance), new)))
            mean, variance = now
        return (x - mean) * (scale * lax.rsqrt(variance + 1e-5)) + shift


def run(layers: spec.Layers, x: Any, c: Context) -> Any:
    """A row of layers."""
    for layer in layers:
        x = _layer(layer, x, c)
    return x


def _layer(layer: spec.Layer, x: Any, c: Context) -> Any:
    match layer:
        case spec.Residual(body, shortcut):
            y = run(body, x, c)
            return y + run(shortcut, x, c)
        case spec.Branches(paths):
            return jnp.concatenate([run(path, x, c) for path in paths], axis=-1)
        case spec.Dense(bias=bias):
            y = x @ next(c.weights)
            return y + next(c.weights) if bias else y
        case spec.Conv() as conv:
            return _convolution(conv, x, c)
        case spec.ConvTranspose(window=k):
            axes = (
                f"N{SPATIAL[x.ndim - 2]}C",
                f"{SPATIAL[x.ndim - 2]}IO",
                f"N{SPATIAL[x.ndim - 2]}C",
            )
            strides = (k,) * (x.ndim - 2)
            y = lax.conv_transpose(x, next(c.weights), strides, "VALID", dimension_numbers=axes)
            return y + next(c.weights)
        case spec.Activation(kind):
            return ACTIVATIONS[kind](x)
        case spec.MaxPool(window, stride, padding):
            return _pooled(x, lax.max, -jnp.inf, window, stride or window, padding)
        case spec.AvgPool(window):
            return _pooled(x, lax.add, 0.0, window, window, 0) / window ** (x.ndim - 2)
        case spec.GlobalAvgPool():
            return x.mean(tuple(range(1, x.ndim - 1)))
        case spec.Flatten():
            return x.reshape(len(x), -1)
        case spec.Dropout(rate):
            return c.dropped(x, rate)
        case spec.BatchNorm():
            return c.normalised(x)
        case spec.LayerNorm():
            mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
            return (x - mean) * lax.rsqrt(variance + 1e-5) * next(c.weights) + next(c.weights)
        case spec.Embedding(positions=positions):
            y = next(c.weights)[x]
            return y + next(c.weights) if positions else y
        case spec.LSTM(units):
            return _lstm(units, x, next(c.weights), next(c.weights), next(c.weights))
        case spec.Attention(heads):
            return _attention(heads, x, c)
    raise NotImplementedError(f"JAX's side lacks {layer}")


def _convolution(conv: spec.Conv, x: Any, c: Context) -> Any:
    rank = x.ndim - 2
    y = lax.conv_general_dilated(
        x,
        next(c.weights),
        (conv.stride,) * rank,
        ((conv.padding,) * 2,) * rank,
        rhs_dilation=(conv.dilation,) * rank,
        dimension_numbers=(f"N{SPATIAL[rank]}C", f"{SPATIAL[rank]}IO", f"N{SPATIAL[rank]}C"),
        feature_group_count=conv.groups,
    )
    return y + next(c.weights) if conv.bias else y


def _pooled(x: Any, combine: Any, empty: float, window: int, stride: int, padding: int) -> Any:
    rank = x.ndim - 2
    return lax.reduce_window(
        x, empty, combine, (1, *(window,) * rank, 1), (1, *(stride,) * rank, 1),
        ((0, 0), *((padding, padding),) * rank, (0, 0)),
    )  # fmt: skip


def _lstm(units: int, x: Any, inward: Any, across: Any, bias: Any) -> Any:
    def cell(state: Any, projected: Any) -> Any:
        h, memory = state
        i, f, g, o = jnp.split(projected + h @ across, 4, axis=-1)
        memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(memory)
        return (h, memory), h

    zero = jnp.zeros((len(x), units))
    _, hidden = lax.scan(cell, (zero, zero), (x @ inward + bias).swapaxes(0, 1))
    return hidden.swapaxes(0, 1)


def _attention(heads: int, x: Any, c: Context) -> Any:
    n, time, width = x.shape
    parts = (x @ next(c.weights) + next(c.weights)).reshape(n, time, 3, heads, width // heads)
    q, k, v = (parts[:, :, i] for i in range(3))
    y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    return y.reshape(n, time, width) @ next(c.weights) + next(c.weights)


def _loss(z: Any, y: Any, classes: int) -> Any:
    if not classes:
        return jnp.mean((z - y) ** 2)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(z), y[..., None], -1)
    return -chosen.mean()


def _updated(rule: Rule, t: Any, w: Any, g: Any, memory: Any) -> tuple[Any, Any]:
    """The new weight and what the rule remembers of it."""
    if rule.name == "sgd":
        g = g + rule.weight_decay * w if rule.weight_decay else g
        velocity = rule.momentum * memory[0] + g if rule.momentum else g
        return w - rule.lr * velocity, (velocity,) if rule.momentum else ()
    if rule.name == "adam":
        m = 0.9 * memory[0] + 0.1 * g
        v = 0.999 * memory[1] + 0.001 * g * g
        size = rule.lr / (1 - 0.9**t)
        return w - size * m / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), (m, v)
    square = 0.9 * memory[0] + 0.1 * g * g
    step = jnp.sqrt(memory[1] + 1e-6) / jnp.sqrt(square + 1e-6) * g
    return w - rule.lr * step, (square, 0.9 * memory[1] + 0.1 * step * step)


def _training_step(workload: Workload) -> Callable[..., Any]:
    rule = workload.rule
    assert rule is not None

    def loss_of(weights: Any, statistics: Any, key: Any, x: Any, y: Any) -> Any:
        c = Context(weights, statistics, key, training=True)
        z = run(workload.network, x, c)
        return _loss(z, y, workload.classes), c.moved

    def step(state: Any, x: Any, y: Any) -> Any:
        weights, memories, statistics, key, t = state
        key, now = jax.random.split(key)
        differentiated = jax.value_and_grad(loss_of, has_aux=True)
        (loss, moved), slopes = differentiated(weights, statistics, now, x, y)
        pairs = [_updated(rule, t, *each) for each in zip(weights, slopes, memories)]
        return ([w for w, _ in pairs], [m for _, m in pairs], moved, key, t + 1), loss

    compiled: Callable[..., Any] = jax.jit(step, donate_argnums=0)
    return compiled


def _norms(layers: spec.Layers, shape: spec.Shape) -> Iterator[int]:
    """The channels of every batch norm, in order."""
    for layer in layers:
        if isinstance(layer, spec.BatchNorm):
            yield shape[-1]
        parts: tuple[spec.Layers, ...] = ()
        if isinstance(layer, spec.Residual):
            parts = (layer.body, layer.shortcut)
        elif isinstance(layer, spec.Branches):
            parts = layer.paths
        for part in parts:
            yield from _norms(part, shape)
        shape = layer.after(shape)


class JaxSteps:
    """Steps over mini-batches that lie in memory."""

    def __init__(self, workload: Workload) -> None:
        inputs, targets = workload.data()
        if inputs.dtype == np.int64:
            inputs = inputs.astype(np.int32)
        if workload.classes:
            targets = targets.astype(np.int32)
        size = workload.batch
        self.batches = [
            (jnp.asarray(inputs[at : at + size]), jnp.asarray(targets[at : at + size]))
            for at in range(0, len(inputs), size)
        ]
        weights = spec.first_weights(workload.network, workload.shape)
        statistics = [(jnp.zeros(n), jnp.ones(n)) for n in _norms(workload.network, workload.shape)]
        self.training = workload.rule is not None
        self.state = self._state(workload, [jnp.asarray(w) for w in weights], statistics)
        self.step = _training_step(workload) if self.training else _forward(workload)
        self.position = 0
        self.last: Any = None

    def _state(self, workload: Workload, weights: list[Any], statistics: list[Any]) -> Any:
        rule = workload.rule
        if rule is None:
            return weights, statistics
        count = {"sgd": 1 if rule.momentum else 0}.get(rule.name, 2)
        memories = [tuple(jnp.zeros_like(w) for _ in range(count)) for w in weights]
        return weights, memories, statistics, jax.random.key(0), jnp.float32(1)

    def run(self, steps: int) -> int:
        """Take so many steps; returns how many were taken."""
        step, batches, state = self.step, self.batches, self.state
        for _ in range(steps):
            x, y = batches[self.position]
            if self.training:
                state, self.last = step(state, x, y)
            else:  # one answer after the other, as they are asked for
                self.last = step(state, x).block_until_ready()
            self.position = (self.position + 1) % len(batches)
        self.state = state
        self.last.block_until_ready()
        jax.block_until_ready(state)
        return steps

    def loss(self) -> float:
        """The loss of the last step."""
        return float(self.last.mean())


def _forward(workload: Workload) -> Callable[..., Any]:
    def forward(state: Any, x: Any) -> Any:
        weights, statistics = state
        return run(workload.network, x, Context(weights, statistics, None, training=False))

    compiled: Callable[..., Any] = jax.jit(forward)
    return compiled


def build(workload: Workload, mode: str) -> JaxSteps:
    """The steps of a workload; there is one mode."""
    return JaxSteps(workload)
