"""Whole training steps of random small networks, written with the primitives alone.

Forward, loss, gradients, update of every parameter and moment in place, as a framework's step
looks: perceptrons and convolutional networks with dropout, batch normalisation, pooling.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from primitives import Inputs
from random_graphs import Program
from strategies import F64, I64, U32, U64, Draw

from glubina.graph import Node, ops


class Network:
    """Collects parameters, statistics and the random key while a network is written down."""

    def __init__(self, draw: Draw, dtype: np.dtype[Any]) -> None:
        self.made = Inputs(draw)
        self.dtype = dtype
        self.parameters: list[Node] = []
        self.statistics: list[tuple[Node, Node]] = []  # (new value, input that holds the old)
        self.key = self.made.bind(np.array([1, 2], U64))
        self.streams = 0

    def constant(self, value: float, shape: tuple[int, ...] = ()) -> Node:
        return ops.broadcast(ops.constant(value, self.dtype), shape)

    def scaled(self, x: Node, factor: float) -> Node:
        return ops.multiply(x, self.constant(factor, x.shape))

    def parameter(self, *shape: int) -> Node:
        scale = 1 / math.sqrt(max(math.prod(shape[:-1]), 1))
        self.parameters.append(self.made.numbers(shape, self.dtype, -scale, scale))
        return self.parameters[-1]

    def state(self, shape: tuple[int, ...], low: float = 0.1, high: float = 0.5) -> Node:
        return self.made.numbers(shape, self.dtype, low, high)

    def linear(self, x: Node, features: int) -> Node:
        y = ops.matmul(x, ops.swap_last(self.parameter(features, x.shape[-1])))
        return ops.add(y, ops.broadcast(self.parameter(features), y.shape))

    def convolution(self, x: Node, channels: int, size: int, stride: int, padding: int) -> Node:
        rank = len(x.shape) - 2
        geometry = ops.ConvAttributes(
            (stride,) * rank, ((padding, padding),) * rank, (1,) * rank, (1,) * rank, 1
        )
        y = ops.conv(x, self.parameter(*(size,) * rank, x.shape[-1], channels), geometry)
        return ops.add(y, ops.broadcast(self.parameter(channels), y.shape))

    def dropout(self, x: Node, p: float) -> Node:
        self.streams += 1
        bits = ops.random_bits(self.key, self.streams, x.shape)
        limit = ops.broadcast(ops.constant(int(p * 2**32), U32), x.shape)
        return ops.where(
            ops.less(bits, limit), self.constant(0, x.shape), self.scaled(x, 1 / (1 - p))
        )

    def batch_norm(self, x: Node) -> Node:
        """Normalise over all but the last axis, and update the running mean and variance."""
        axes = tuple(range(len(x.shape) - 1))
        count = x.size // x.shape[-1]
        mean = self.scaled(ops.sum(x, axes), 1 / count)
        centred = ops.subtract(x, ops.broadcast(mean, x.shape))
        variance = self.scaled(ops.sum(ops.multiply(centred, centred), axes), 1 / count)
        for new in (mean, variance):
            old = self.state(new.shape)
            kept = ops.add(self.scaled(old, 0.9), self.scaled(ops.detach(new), 0.1))
            self.statistics.append((kept, old))
        spread = ops.sqrt(ops.add(variance, self.constant(1e-3, variance.shape)))
        y = ops.divide(centred, ops.broadcast(spread, x.shape))
        y = ops.multiply(y, ops.broadcast(self.parameter(x.shape[-1]), x.shape))
        return ops.add(y, ops.broadcast(self.parameter(x.shape[-1]), x.shape))

    def max_pool(self, x: Node, size: int) -> Node:
        window = tuple(min(size, n) for n in x.shape[1:-1])
        return ops.pool_max(x, ops.WindowAttributes(window, window, ((0, 0),) * len(window)))


def cross_entropy(net: Network, logits: Node, labels: Node) -> Node:
    """−(1/n) Σ ln softmax(logits)[label]."""
    n, _ = logits.shape
    largest = ops.detach(ops.max(logits, (1,)))
    shifted = ops.subtract(logits, ops.restored(largest, (1,), logits.shape))
    total = ops.log(ops.sum(ops.exp(shifted), (1,)))
    classes = ops.iota(logits.shape, 1, I64)
    chosen = ops.equal(classes, ops.restored(labels, (1,), logits.shape))
    picked = ops.sum(ops.where(chosen, shifted, net.constant(0, logits.shape)), (1,))
    return net.scaled(ops.sum(ops.subtract(total, picked), (0,)), 1 / n)


def accuracy(net: Network, logits: Node, labels: Node) -> Node:
    """The number of examples whose largest logit is that of the label."""
    return ops.sum(ops.cast(ops.equal(ops.argmax(logits, 1), labels), I64), (0,))


def sgd(net: Network, w: Node, g: Node) -> list[tuple[Node, Node]]:
    """Momentum and weight decay: (new value, old) of the velocity and of the parameter."""
    velocity = net.state(w.shape)
    decayed = ops.add(g, net.scaled(w, 1e-3))
    new = ops.add(net.scaled(velocity, 0.9), decayed)
    rate = ops.broadcast(net.made.bind(np.array(0.05, net.dtype)), w.shape)
    return [(new, velocity), (ops.subtract(w, ops.multiply(rate, new)), w)]


def adam(net: Network, w: Node, g: Node) -> list[tuple[Node, Node]]:
    """(new value, old) of both moments and of the parameter."""
    m, v = net.state(w.shape), net.state(w.shape)
    m2 = ops.add(net.scaled(m, 0.9), net.scaled(g, 0.1))
    v2 = ops.add(net.scaled(v, 0.999), net.scaled(ops.multiply(g, g), 0.001))
    rate = ops.broadcast(net.made.bind(np.array(0.01, net.dtype)), w.shape)
    root = ops.add(ops.sqrt(v2), net.constant(1e-8, w.shape))
    return [(m2, m), (v2, v), (ops.subtract(w, ops.multiply(rate, ops.divide(m2, root))), w)]


def hidden_layers(draw: Draw, net: Network, x: Node) -> Node:
    """A few random layers: convolutional first if the data are images."""
    activations = (ops.relu, ops.tanh, ops.sigmoid)
    for _ in range(draw(st.integers(0, 2)) if len(x.shape) > 2 else 0):
        size = draw(st.integers(1, min(3, *x.shape[1:-1])))
        x = net.convolution(x, draw(st.integers(1, 3)), size, draw(st.integers(1, 2)), size // 2)
        x = activations[draw(st.integers(0, 2))](net.batch_norm(x) if draw(st.booleans()) else x)
        x = net.max_pool(x, 2) if draw(st.booleans()) else x
        x = net.dropout(x, 0.25) if draw(st.booleans()) else x
    x = ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
    for _ in range(draw(st.integers(0, 2))):
        x = net.linear(x, draw(st.integers(1, 6)))
        x = activations[draw(st.integers(0, 2))](net.batch_norm(x) if draw(st.booleans()) else x)
        x = net.dropout(x, 0.5) if draw(st.booleans()) else x
    return x


@st.composite
def training_steps(draw: Draw, dtype: np.dtype[Any] = F64) -> Program:
    """One step of a random network: the loss, a metric, everything that is updated in place."""
    net = Network(draw, dtype)
    batch, classes = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    rank = draw(st.integers(0, 2))
    spatial = tuple(draw(st.integers(2, 5)) for _ in range(rank))
    x = net.state((batch, *spatial, draw(st.integers(1, 4))), -1, 1)
    labels = net.made.numbers((batch,), I64, 0, classes - 1)
    logits = net.linear(hidden_layers(draw, net, x), classes)
    loss = cross_entropy(net, logits, labels)
    rule = draw(st.sampled_from((sgd, adam)))
    updates = list(net.statistics)
    for w in net.parameters:
        updates += rule(net, w, ops.gradient(loss, w))
    outputs = [loss, accuracy(net, logits, labels), *[new for new, _ in updates]]
    inputs = list(net.made.bindings)
    donated = [-1, -1, *[inputs.index(old) for _, old in updates]]
    return Program(outputs, inputs, donated, net.made.bindings)
