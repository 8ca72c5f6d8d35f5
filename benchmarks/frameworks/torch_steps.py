"""PyTorch's side: eager, tuned (channels-last, fused update), or `torch.compile`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import layers as spec
from benchmarks.workloads import Workload

MODES = ("eager", "tuned", "compile")


class Residual(nn.Module):
    """body(x) + shortcut(x)."""

    def __init__(self, body: Any, shortcut: Any) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Any) -> Any:
        """Both paths, added."""
        return self.body(x) + self.shortcut(x)


class Branches(nn.Module):
    """The results of several paths side by side along the channels."""

    def __init__(self, paths: list[Any]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x: Any) -> Any:
        """All paths, joined."""
        return torch.cat([path(x) for path in self.paths], dim=1)


class Positions(nn.Module):
    """A row of a table for every place, added."""

    def __init__(self, places: Any) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.from_numpy(places))

    def forward(self, x: Any) -> Any:
        """The input plus its places' rows."""
        return x + self.places


class Attention(nn.Module):
    """Causal self-attention with its two projections."""

    def __init__(self, heads: int, inward: Any, outward: Any) -> None:
        super().__init__()
        self.heads, self.inward, self.outward = heads, inward, outward

    def forward(self, x: Any) -> Any:
        """(N, T, width), every place looking at itself and those before."""
        n, time, width = x.shape
        parts = self.inward(x).view(n, time, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.outward(y.transpose(1, 2).reshape(n, time, width))


class FirstOf(nn.Module):
    """The first of a layer's results."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        """The first result."""
        return self.layer(x)[0]


class Mean(nn.Module):
    """The mean over all positions of (N, C, ...)."""

    def forward(self, x: Any) -> Any:
        """(N, C)."""
        return x.flatten(2).mean(2)


def network(layers: spec.Layers, shape: spec.Shape, values: Iterator[spec.Array]) -> Any:
    """A row of layers with these first weights."""
    made = []
    for layer in layers:
        made.append(_layer(layer, shape, values))
        shape = layer.after(shape)
    return nn.Sequential(*made)


def _layer(layer: spec.Layer, shape: spec.Shape, values: Iterator[spec.Array]) -> Any:
    rank = len(shape) - 1
    match layer:
        case spec.Residual(body, shortcut):
            return Residual(network(body, shape, values), network(shortcut, shape, values))
        case spec.Branches(paths):
            return Branches([network(path, shape, values) for path in paths])
        case spec.Attention(heads):
            inward, outward = spec.Dense(3 * shape[-1]), spec.Dense(shape[-1])
            return Attention(heads, _layer(inward, shape, values), _layer(outward, shape, values))
        case spec.Embedding(positions=positions):
            table = nn.Embedding.from_pretrained(torch.from_numpy(next(values)), freeze=False)
            return nn.Sequential(table, Positions(next(values))) if positions else table
        case spec.Activation(kind):
            gelu = nn.GELU(approximate="tanh")
            return {"relu": nn.ReLU(), "tanh": nn.Tanh(), "gelu": gelu}[kind]
        case spec.GlobalAvgPool():
            return Mean()
        case spec.MaxPool(window, stride, padding):
            return getattr(nn, f"MaxPool{rank}d")(window, stride or None, padding)
        case spec.AvgPool(window):
            return getattr(nn, f"AvgPool{rank}d")(window)
        case spec.Flatten():
            return nn.Flatten()
        case spec.Dropout(rate):
            return nn.Dropout(rate)
    return _set(_with_weights(layer, shape, rank), layer, shape, values)


def _with_weights(layer: spec.Layer, shape: spec.Shape, rank: int) -> Any:
    channels = shape[-1]
    match layer:
        case spec.Dense(units, bias):
            return nn.Linear(channels, units, bias=bias)
        case spec.Conv(filters, window, stride, padding, dilation, groups, bias):
            kind = getattr(nn, f"Conv{rank}d")
            return kind(channels, filters, window, stride, padding, dilation, groups, bias)
        case spec.ConvTranspose(filters, window):
            return getattr(nn, f"ConvTranspose{rank}d")(channels, filters, window, window)
        case spec.BatchNorm():
            return getattr(nn, f"BatchNorm{max(rank, 1)}d")(channels)
        case spec.LayerNorm():
            return nn.LayerNorm(channels)
        case spec.LSTM(units):
            return FirstOf(nn.LSTM(channels, units, batch_first=True))
    raise NotImplementedError(f"PyTorch's side lacks {layer}")


def _set(module: Any, layer: spec.Layer, shape: spec.Shape, values: Iterator[spec.Array]) -> Any:
    """Give a module the next first weights, in its own layout."""
    drawn = [torch.from_numpy(next(values)) for _ in layer.weights(shape)]
    last = len(shape)
    if isinstance(layer, spec.LSTM):  # a second bias, which stays zero at first
        drawn = [drawn[0].T, drawn[1].T, drawn[2], torch.zeros_like(drawn[2])]
    elif isinstance(layer, spec.Dense):
        drawn[0] = drawn[0].T
    elif isinstance(layer, spec.Conv):
        drawn[0] = drawn[0].permute(last, last - 1, *range(last - 1))
    elif isinstance(layer, spec.ConvTranspose):
        drawn[0] = drawn[0].permute(last - 1, last, *range(last - 1))
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), drawn, strict=True):
            parameter.copy_(value)
    return module


def _rule(workload: Workload, parameters: Any, tuned: bool) -> Any:
    """The update rule; tuned: in the form that is the faster one on a CPU."""
    rule = workload.rule
    assert rule is not None
    if rule.name == "adadelta":
        return torch.optim.Adadelta(parameters, lr=rule.lr, foreach=tuned)
    if rule.name == "adam":
        return torch.optim.Adam(parameters, lr=rule.lr, fused=tuned)
    return torch.optim.SGD(
        parameters, lr=rule.lr, momentum=rule.momentum, weight_decay=rule.weight_decay, fused=tuned
    )


def _batches(workload: Workload, channels_last: bool) -> list[tuple[Any, Any]]:
    """The mini-batches as tensors in memory, in PyTorch's order of axes."""
    inputs, targets = workload.data()
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    if len(workload.shape) > 1:
        x = x.movedim(-1, 1).contiguous()
    if channels_last and workload.images:
        x = x.contiguous(memory_format=torch.channels_last)
    return list(zip(x.split(workload.batch), y.split(workload.batch)))


class TorchSteps:
    """Steps over mini-batches that lie in memory."""

    def __init__(self, workload: Workload, mode: str) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(int(os.environ["BENCHMARK_THREADS"]))
        torch.set_flush_denormal(True)  # as Glubina does
        tuned = mode != "eager"
        self.batches = _batches(workload, tuned)
        values = iter(spec.first_weights(workload.network, workload.shape))
        model = network(workload.network, workload.shape, values)
        if tuned and workload.images:
            model = model.to(memory_format=torch.channels_last)
        compiled = mode == "compile"
        self.step = (
            _training_step(model, workload, tuned, compiled)
            if workload.rule
            else _forward(model, compiled)
        )
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
        return float(self.last.mean())


def _training_step(
    model: Any, workload: Workload, tuned: bool, compiled: bool
) -> Callable[..., Any]:
    rule = _rule(workload, model.parameters(), tuned)
    channels_first = len(workload.shape) > 1
    criterion = nn.CrossEntropyLoss() if workload.classes else nn.MSELoss()

    def forward(x: Any, y: Any) -> Any:
        z = model(x)
        if workload.classes and z.dim() > 2 and not channels_first:
            z, y = z.flatten(0, 1), y.flatten()
        return criterion(z, y)

    if compiled:
        forward = torch.compile(forward)

    def step(x: Any, y: Any) -> Any:
        rule.zero_grad()
        loss = forward(x, y)
        loss.backward()
        rule.step()
        return loss.detach()

    return step


def _forward(model: Any, compiled: bool) -> Callable[..., Any]:
    model.eval()
    if compiled:
        from torch._inductor import config

        config.freezing = True  # weights are constants, batch norm is folded into them
        model = torch.compile(model)

    def forward(x: Any, y: Any) -> Any:
        with torch.no_grad():
            return model(x)

    return forward


def build(workload: Workload, mode: str) -> TorchSteps:
    """The steps of a workload in a mode: "eager", "tuned" or "compile"."""
    return TorchSteps(workload, mode)
