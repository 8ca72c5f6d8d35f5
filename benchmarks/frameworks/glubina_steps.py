"""Glubina's side: as a loop, compiled, or through `fit` (`predict` for a forward pass)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import glubina as gl
from benchmarks import layers as spec
from benchmarks.workloads import Workload
from glubina import nn, optim, train
from glubina.nn import functional as F

MODES = ("loop", "compiled", "fit")


class Residual(nn.Module):
    """body(x) + shortcut(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Any) -> Any:
        """Both paths, added."""
        return self.body(x) + self.shortcut(x)


class Branches(nn.Module):
    """The results of several paths side by side along the channels."""

    def __init__(self, paths: list[nn.Module]) -> None:
        self.paths = nn.ModuleList(paths)

    def forward(self, x: Any) -> Any:
        """All paths, joined."""
        return gl.concat([path(x) for path in self.paths], axis=-1)


class Positions(nn.Module):
    """A row of a table for every place, added."""

    def __init__(self, places: Any) -> None:
        self.places = nn.Parameter(places)

    def forward(self, x: Any) -> Any:
        """The input plus its places' rows."""
        return x + self.places


class Attention(nn.Module):
    """Causal self-attention with its two projections."""

    def __init__(self, heads: int, inward: nn.Module, outward: nn.Module) -> None:
        self.heads, self.inward, self.outward = heads, inward, outward

    def forward(self, x: Any) -> Any:
        """(N, T, width), every place looking at itself and those before."""
        n, time, width = x.shape
        parts = gl.reshape(self.inward(x), (n, time, 3, self.heads, width // self.heads))
        q, k, v = (parts[:, :, i].permute_dims((0, 2, 1, 3)) for i in range(3))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.outward(gl.reshape(y.permute_dims((0, 2, 1, 3)), (n, time, width)))


class FirstOf(nn.Module):
    """The first of a layer's results."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def forward(self, x: Any) -> Any:
        """The first result."""
        return self.layer(x)[0]


def network(layers: spec.Layers, shape: spec.Shape, values: Iterator[spec.Array]) -> nn.Module:
    """A row of layers with these first weights."""
    made = []
    for layer in layers:
        made.append(_layer(layer, shape, values))
        shape = layer.after(shape)
    return nn.Sequential(*made)


def _layer(layer: spec.Layer, shape: spec.Shape, values: Iterator[spec.Array]) -> nn.Module:
    rank = len(shape) - 1
    made: nn.Module
    match layer:
        case spec.Residual(body, shortcut):
            return Residual(network(body, shape, values), network(shortcut, shape, values))
        case spec.Branches(paths):
            return Branches([network(path, shape, values) for path in paths])
        case spec.Embedding(count, width, positions):
            table = nn.Embedding(count, width)
            table.weight.data = gl.tensor(next(values))
            made = nn.Sequential(table, Positions(next(values))) if positions else table
        case spec.Attention(heads):
            inward, outward = spec.Dense(3 * shape[-1]), spec.Dense(shape[-1])
            return Attention(heads, _layer(inward, shape, values), _layer(outward, shape, values))
        case spec.Activation(kind):
            kinds = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "gelu": nn.GELU(approximate="tanh")}
            made = kinds[kind]
        case spec.GlobalAvgPool():
            pool = getattr(nn, f"AdaptiveAvgPool{rank}d")(1)
            made = nn.Sequential(pool, nn.Flatten())
        case spec.MaxPool(window, stride, padding):
            made = getattr(nn, f"MaxPool{rank}d")(window, stride or None, padding)
        case spec.AvgPool(window):
            made = getattr(nn, f"AvgPool{rank}d")(window)
        case spec.Flatten():
            made = nn.Flatten()
        case spec.Dropout(rate):
            made = nn.Dropout(rate)
        case _:
            made = _with_weights(layer, shape, rank)
            _set(made, layer, shape, values)
    return made


def _with_weights(layer: spec.Layer, shape: spec.Shape, rank: int) -> Any:
    channels = shape[-1]
    match layer:
        case spec.Dense(units, bias):
            return nn.Linear(channels, units, bias=bias)
        case spec.Conv(filters, window, stride, padding, dilation, groups, bias):
            kind = getattr(nn, f"Conv{rank}d")
            return kind(channels, filters, window, stride, padding, dilation, groups, bias)
        case spec.ConvTranspose(filters, window):
            kind = getattr(nn, f"ConvTranspose{rank}d")
            return kind(channels, filters, window, window)
        case spec.BatchNorm():
            return getattr(nn, f"BatchNorm{max(rank, 1)}d")(channels)
        case spec.LayerNorm():
            return nn.LayerNorm(channels)
        case spec.LSTM(units):
            return FirstOf(nn.LSTM(channels, units, batch_first=True))
    raise NotImplementedError(f"Glubina's side lacks {layer}")


def _set(
    module: nn.Module, layer: spec.Layer, shape: spec.Shape, values: Iterator[spec.Array]
) -> None:
    """Give a module the next first weights, in its own layout."""
    parameters = list(module.parameters())
    drawn = [next(values) for _ in layer.weights(shape)]
    if isinstance(layer, spec.LSTM):  # a second bias, which stays zero at first
        drawn = [drawn[0].T, drawn[1].T, drawn[2], np.zeros_like(drawn[2])]
    elif isinstance(layer, spec.Dense):
        drawn[0] = drawn[0].T
    for parameter, value in zip(parameters, drawn, strict=True):
        if parameter.shape != value.shape:
            raise ValueError(f"{layer}: {parameter.shape} takes no {value.shape}")
        parameter.data = gl.tensor(np.ascontiguousarray(value))


def _rule(workload: Workload, parameters: Any) -> Any:
    rule = workload.rule
    assert rule is not None
    if rule.name == "sgd":
        return optim.SGD(
            parameters, lr=rule.lr, momentum=rule.momentum, weight_decay=rule.weight_decay
        )
    return {"adam": optim.Adam, "adadelta": optim.Adadelta}[rule.name](parameters, lr=rule.lr)


def _prepared(workload: Workload) -> tuple[nn.Module, Any]:
    gl.manual_seed(0)
    gl.set_num_threads(int(os.environ["BENCHMARK_THREADS"]))
    values = iter(spec.first_weights(workload.network, workload.shape))
    loss = nn.CrossEntropyLoss() if workload.classes else nn.MSELoss()
    return network(workload.network, workload.shape, values), loss


class Loop:
    """Explicit steps over mini-batches that lie in memory; compiled if wanted."""

    def __init__(self, workload: Workload, compiled: bool) -> None:
        inputs, targets = workload.data()
        size = workload.batch
        self.batches = [
            (gl.tensor(inputs[at : at + size]), gl.tensor(targets[at : at + size]))
            for at in range(0, len(inputs), size)
        ]
        model, criterion = _prepared(workload)
        if workload.rule:
            self.step = _training_step(model, criterion, workload, compiled)
        else:
            self.step = _pass(model, compiled)
        self.position = 0
        self.last: Any = None

    def run(self, steps: int) -> int:
        """Take so many steps; returns how many were taken."""
        step, batches = self.step, self.batches
        for _ in range(steps):
            x, y = batches[self.position]
            self.last = step(x, y)
            self.position = (self.position + 1) % len(batches)
        return steps

    def loss(self) -> float:
        """The loss of the last step."""
        return float(np.mean(self.last.numpy()))


def _training_step(
    model: nn.Module, criterion: Any, workload: Workload, compiled: bool
) -> Callable[..., Any]:
    """The explicit training step, as in a lecture."""
    rule = _rule(workload, model.parameters())

    def step(x: Any, y: Any) -> Any:
        rule.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        rule.step()
        return loss.detach()

    return gl.compile(step) if compiled else step


def _pass(model: nn.Module, compiled: bool) -> Callable[..., Any]:
    model.eval()

    def forward(x: Any) -> Any:
        with gl.no_grad():
            return model(x)

    if compiled:
        forward = gl.compile(forward)

    def read(x: Any, y: Any) -> Any:
        logits = forward(x)
        logits.numpy()  # a tensor is lazy until it is asked for
        return logits

    return read


class Predict:
    """Forward passes of mini-batches through `predict`: arrays in, arrays out."""

    def __init__(self, workload: Workload) -> None:
        x, _ = workload.data()
        self.batches = [x[at : at + workload.batch] for at in range(0, len(x), workload.batch)]
        self.model, criterion = _prepared(workload)
        self.model.compile(optim.SGD(self.model.parameters()), criterion)
        self.position = 0
        self.last: Any = None

    def run(self, steps: int) -> int:
        """Take so many steps; returns how many were taken."""
        for _ in range(steps):
            x = self.batches[self.position]
            self.last = self.model.predict(x, batch_size=len(x))
            self.position = (self.position + 1) % len(self.batches)
        return steps

    def loss(self) -> float:
        """The mean of what came out."""
        return float(np.mean(self.last))


class Fit:
    """Training through `fit`, with all that it does besides: shuffling and the history."""

    def __init__(self, workload: Workload) -> None:
        self.x, self.y = workload.data()
        self.workload = workload
        self.model, criterion = _prepared(workload)
        self.model.compile(_rule(workload, self.model.parameters()), criterion)
        self.last = float("nan")

    def run(self, steps: int) -> int:
        """Train for as many epochs as make at least so many steps; returns how many were taken.

        The very first step, if it is asked for alone, is taken alone.
        """
        w = self.workload
        epochs = -(-steps // w.batches)
        first = steps == 1 and np.isnan(self.last)  # against the clock, so no more than that
        stop = train.Stop(steps=1) if first else None
        history = self.model.fit(
            self.x, self.y, batch_size=w.batch, epochs=epochs, verbose=0, stop=stop
        )
        self.last = float(history.history["loss"][-1])
        return 1 if first else epochs * w.batches

    def loss(self) -> float:
        """The mean loss of the last epoch."""
        return self.last


def build(workload: Workload, mode: str) -> Any:
    """The steps of a workload in a mode: "loop", "compiled" or "fit"."""
    if mode == "fit":
        return Fit(workload) if workload.rule else Predict(workload)
    return Loop(workload, compiled=mode == "compiled")
