"""tinygrad's side: plain functions of a list of weights, the whole step under `TinyJit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

os.environ.setdefault("DEV", "CPU")

from tinygrad import Tensor, TinyJit
from tinygrad.nn import BatchNorm

from benchmarks import layers as spec
from benchmarks.workloads import Rule, Workload

MODES = ("jit",)


class Network:
    """The layers with their weights, in tinygrad's order of axes (channels first)."""

    def __init__(self, workload: Workload) -> None:
        self.layers = workload.network
        values = iter(spec.first_weights(workload.network, workload.shape))
        self.weights: list[Tensor] = []
        self.run = self._row(self.layers, workload.shape, values)

    def _row(
        self, layers: spec.Layers, shape: spec.Shape, values: Iterator[spec.Array]
    ) -> Callable[[Any], Any]:
        made = []
        for layer in layers:
            made.append(self._layer(layer, shape, values))
            shape = layer.after(shape)

        def run(x: Any) -> Any:
            for function in made:
                x = function(x)
            return x

        return run

    def _weight(self, value: Any) -> Any:
        self.weights.append(Tensor(np.ascontiguousarray(value)).is_param_(True))
        return self.weights[-1]

    def _layer(
        self, layer: spec.Layer, shape: spec.Shape, values: Iterator[spec.Array]
    ) -> Callable[[Any], Any]:
        rank = len(shape) - 1
        match layer:
            case spec.Residual(body, shortcut):
                inner = self._row(body, shape, values)
                outer = self._row(shortcut, shape, values)
                return lambda x: inner(x) + outer(x)
            case spec.Branches(paths):
                rows = [self._row(path, shape, values) for path in paths]
                return lambda x: Tensor.cat(*(row(x) for row in rows), dim=1)
            case spec.Activation(kind):
                return lambda x: getattr(x, kind)()
            case spec.MaxPool(window, stride, padding):
                size = (window,) * rank
                return lambda x: x.max_pool2d(size, stride or None, padding=padding)
            case spec.AvgPool(window):
                return lambda x: x.avg_pool2d((window,) * rank)
            case spec.GlobalAvgPool():
                return lambda x: x.mean(tuple(range(2, rank + 2)))
            case spec.Flatten():
                return lambda x: x.flatten(1)
            case spec.Dropout(rate):
                return lambda x: x.dropout(rate)
            case spec.Attention() | spec.LSTM() | spec.ConvTranspose():
                raise NotImplementedError(f"tinygrad's side lacks {type(layer).__name__}")
        return self._with_weights(layer, shape, values)

    def _with_weights(
        self, layer: spec.Layer, shape: spec.Shape, values: Iterator[spec.Array]
    ) -> Callable[[Any], Any]:
        drawn = [next(values) for _ in layer.weights(shape)]
        last = len(shape)
        match layer:
            case spec.Dense():
                w, b = [self._weight(value) for value in drawn]
                return lambda x: x @ w + b
            case spec.Conv(_, _, stride, padding, dilation, groups, bias):
                w = self._weight(drawn[0].transpose(last, last - 1, *range(last - 1)))
                b = self._weight(drawn[1]) if bias else None
                return lambda x: x.conv2d(w, b, groups, stride, dilation, padding)
            case spec.BatchNorm():
                norm = BatchNorm(shape[-1])
                self.weights += [norm.weight.is_param_(True), norm.bias.is_param_(True)]
                return lambda x: norm(x)
            case spec.LayerNorm():
                w, b = [self._weight(value) for value in drawn]
                return lambda x: x.layernorm() * w + b
            case spec.Embedding(positions=False):
                table = self._weight(drawn[0])
                return lambda x: table[x]
        raise NotImplementedError(f"tinygrad's side lacks {layer}")


class Update:
    """An update rule: what it remembers, and the new weights."""

    def __init__(self, rule: Rule, weights: list[Any]) -> None:
        self.rule, self.weights = rule, weights
        self.time = Tensor.zeros(1).contiguous().realize()
        count = {"sgd": 1 if rule.momentum else 0}.get(rule.name, 2)
        self.memories = [
            [Tensor.zeros(*w.shape).contiguous().realize() for _ in range(count)] for w in weights
        ]

    def step(self) -> list[Any]:
        """Assign the new values; returns what is to be computed."""
        written = [self.time.assign(self.time + 1)]
        for w, memory in zip(self.weights, self.memories):
            new, remembered = self._one(w, w.grad, memory)
            written += [m.assign(value) for m, value in zip(memory, remembered)]
            written.append(w.assign(new))
        return written

    def _one(self, w: Any, g: Any, memory: list[Any]) -> tuple[Any, list[Any]]:
        rule = self.rule
        if rule.name == "sgd":
            g = g + rule.weight_decay * w if rule.weight_decay else g
            v = rule.momentum * memory[0] + g if rule.momentum else g
            return w - rule.lr * v, [v] if rule.momentum else []
        if rule.name == "adam":
            m = 0.9 * memory[0] + 0.1 * g
            v = 0.999 * memory[1] + 0.001 * g * g
            root = (v / (1 - 0.999**self.time)).sqrt() + 1e-8
            return w - rule.lr * m / (1 - 0.9**self.time) / root, [m, v]
        square = 0.9 * memory[0] + 0.1 * g * g
        step = (memory[1] + 1e-6).sqrt() / (square + 1e-6).sqrt() * g
        return w - rule.lr * step, [square, 0.9 * memory[1] + 0.1 * step * step]


class TinygradSteps:
    """Steps over mini-batches that lie in memory."""

    def __init__(self, workload: Workload) -> None:
        Tensor.manual_seed(0)
        inputs, targets = workload.data()
        if len(workload.shape) > 1:
            inputs = np.ascontiguousarray(np.moveaxis(inputs, -1, 1))
        if workload.classes:
            targets = targets.astype(np.int32)
        size = workload.batch
        self.batches = [
            (Tensor(inputs[at : at + size]).realize(), Tensor(targets[at : at + size]).realize())
            for at in range(0, len(inputs), size)
        ]
        self.training = workload.rule is not None
        self.step = _training_step(workload) if self.training else _forward(workload)
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


def _training_step(workload: Workload) -> Callable[..., Any]:
    net = Network(workload)
    rule = workload.rule
    assert rule is not None
    update = Update(rule, net.weights)

    def step(x: Any, y: Any) -> Any:
        Tensor.training = True
        for w in net.weights:
            w.grad = None
        z = net.run(x)
        loss = z.sparse_categorical_crossentropy(y) if workload.classes else ((z - y) ** 2).mean()
        loss.backward()
        return loss.realize(*update.step())

    compiled: Callable[..., Any] = TinyJit(step)
    return compiled


def _forward(workload: Workload) -> Callable[..., Any]:
    net = Network(workload)

    def forward(x: Any, y: Any) -> Any:
        Tensor.training = False
        return net.run(x).realize()

    compiled: Callable[..., Any] = TinyJit(forward)
    return compiled


def build(workload: Workload, mode: str) -> TinygradSteps:
    """The steps of a workload; there is one mode."""
    return TinygradSteps(workload)
