"""One look into a network on a fixed mini-batch: what its layers give, and how its weights stand.

Forward and backward as in training; everything is left as it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.formulas import title
from glubina.explain.markers import unmarked
from glubina.explain.probe_data import DataRecord, OutputRecord, seen_outputs
from glubina.explain.undisturbed import undisturbed
from glubina.graph import ops
from glubina.graph.node import Node, topological
from glubina.graph.origins import Origins, path_of, watching
from glubina.nn import GRU, LSTM, RNN, Module
from glubina.tensor import Tensor
from glubina.tensor.base import wrap
from glubina.train.protocol import behaving

Array = NDArray[Any]

# activations of which one side is flat, and of which both are
RECTIFIERS = frozenset(("relu", "relu6", "clipped"))
SQUASHING = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "recurrent tanh": (-1.0, 1.0)}
_EDGE = 0.02  # how near to an end, as a share of the range, an activation counts as saturated
_SAME = 1e-5  # differences between units, as a share of their size, that are none


@dataclass(frozen=True)
class LayerRecord:
    """The outputs of a layer, or of an activation in it, on the probe.

    operation: what gave them. mean, std: over all of them. dead: the share of a rectifier's units
    that are 0 for every example. saturated: the share of a squashing function's values near its
    ends.
    """

    name: str
    operation: str
    mean: float
    std: float
    dead: float | None
    saturated: float | None


@dataclass(frozen=True)
class ParameterRecord:
    """A parameter on the probe: its norm, its gradient's, and how far it moved since the last one.

    size: its number of elements; shape. gradient and change are NaN where they are not known.
    equal: all its units have the same weights and the same gradients, so that they stay the same.
    reached: the loss depends on it, and not only through `detach`.
    """

    name: str
    shape: tuple[int, ...]
    norm: float
    gradient: float
    change: float
    equal: bool
    reached: bool = True

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def gradient_rms(self) -> float:
        """The root of the mean square of the gradient's elements."""
        return self.gradient / math.sqrt(max(self.size, 1))


@dataclass(frozen=True)
class TimeRecord:
    """The gradient's norm by what a recurrent layer reads at its first step, and at its largest."""

    name: str
    steps: int
    first: float
    largest: float


@dataclass(frozen=True)
class Record:
    """One look at the network, after an epoch (0: before the first).

    output_spread: how much the outputs differ between examples, as a share of their size.
    times: of recurrent layers. data: the probe itself; outputs: what they are like; None where
    they are not known.
    """

    epoch: int
    loss: float
    output_spread: float
    layers: tuple[LayerRecord, ...]
    parameters: tuple[ParameterRecord, ...]
    times: tuple[TimeRecord, ...] = ()
    data: DataRecord | None = None
    outputs: OutputRecord | None = None

    @property
    def gradient(self) -> float:
        """The norm of the whole gradient."""
        return float(np.sqrt(sum(p.gradient**2 for p in self.parameters)))


@dataclass(frozen=True)
class _Read:
    """What a recurrent layer read in a call: (batch, steps, features), or with steps first."""

    name: str
    node: Node
    axis: int


def look(
    model: Module, loss: Any, x: Tensor, y: Tensor, epoch: int, before: dict[str, Array]
) -> tuple[Record, dict[str, Array]]:
    """One record, and the weights that it saw. Nothing of the model is changed."""
    reads: list[_Read] = []
    removes = [
        module.register_forward_hook(_reader(name, module, reads))
        for name, module in model.named_modules()
        if isinstance(module, (RNN, LSTM, GRU))
    ]
    try:
        with undisturbed([model]), watching() as watch, behaving(model, training=True):
            outputs = model(_input(x, model))
            value = loss(outputs, y)
            return _record(model, loss, value, outputs, y, watch, epoch, before, reads)
    finally:
        for remove in removes:
            remove()


def _reader(name: str, module: RNN | LSTM | GRU, reads: list[_Read]) -> Any:
    def hook(_: Any, arguments: tuple[Any, ...], __: Any) -> None:
        x = arguments[0] if arguments else None
        if isinstance(x, Tensor) and x.dtype.kind == "f" and len(x.shape) == 3:
            reads.append(_Read(name, x._cell.node, 1 if module.batch_first else 0))

    return hook


def _input(x: Tensor, model: Module) -> Tensor:
    """Real inputs in the dtype of the parameters."""
    dtype = next((p.dtype for p in model.parameters() if p.dtype.kind == "f"), None)
    return x if dtype is None or x.dtype.kind != "f" else x.astype(dtype)


def _record(
    model: Module, loss: Any, value: Tensor, outputs: Any, y: Tensor, watch: Origins, epoch: int,
    before: dict[str, Array], reads: Sequence[_Read],
) -> tuple[Record, dict[str, Array]]:  # fmt: skip
    root = value._cell.node
    if root.size != 1:
        raise ExplainError(f"the monitor needs a loss of one number, got the shape {root.shape}")
    scalar = ops.reshape(root, ())
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    seen = _seen(root, watch, model)
    first = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    leaves = [p._cell.node for _, p in named]
    nodes = [node for _, _, node in seen] + [first._cell.node, root]
    nodes += [ops.gradient(scalar, leaf) for leaf in leaves]
    plain = unmarked([scalar, *(read.node for read in reads)])
    nodes += [ops.gradient(plain[scalar], plain[read.node]) for read in reads]
    arrays = iter([tensor.numpy() for tensor in [wrap(node) for node in nodes]])
    layers = tuple(_layer(name, kind, next(arrays)) for name, kind, _ in seen)
    given, reached_loss = next(arrays), float(next(arrays).reshape(()))
    weights = {name: p.numpy() for name, p in named}
    reached = _reached(root)
    parameters = tuple(
        _parameter(name, weights[name], next(arrays), before.get(name), leaf in reached)
        for (name, _), leaf in zip(named, leaves, strict=True)
    )
    record = Record(
        epoch,
        reached_loss,
        _spread(given),
        layers,
        parameters,
        tuple(_time(read, next(arrays)) for read in reads),
        outputs=seen_outputs(given, y.numpy(), loss, title(first._cell.node)),
    )
    return record, weights


def _parameter(
    name: str, weight: Array, gradient: Array, before: Array | None, reached: bool
) -> ParameterRecord:
    change = float("nan") if before is None else _norm(weight - before)
    equal = _alike(weight) and _alike(gradient)
    return ParameterRecord(
        name, weight.shape, _norm(weight), _norm(gradient), change, equal, reached
    )


def _alike(weight: Array) -> bool:
    """Whether a weight's units (of a convolution along the last axis) are one like the other."""
    axis = 0 if weight.ndim <= 2 else weight.ndim - 1
    if weight.ndim < 2 or weight.shape[axis] < 2:
        return False
    with np.errstate(all="ignore"):
        return bool(np.ptp(weight, axis=axis).max() <= _SAME * np.abs(weight).max())


def _reached(root: Node) -> set[Node]:
    """The nodes that derivatives of the root come to."""
    found = {root}
    stack = [root]
    while stack:
        node = stack.pop()
        for source in () if node.op.name == "detach" else node.sources:
            if source not in found:
                found.add(source)
                stack.append(source)
    return found


def _time(read: _Read, gradient: Array) -> TimeRecord:
    steps = np.moveaxis(gradient, read.axis, 0)
    norms = [_norm(step) for step in steps]
    return TimeRecord(read.name, len(norms), norms[0], max(norms))


def _seen(root: Node, watch: Origins, model: Module) -> list[tuple[str, str, Node]]:
    """The activations, and each innermost layer's output: name, operation, node, in order."""
    last: dict[tuple[int, ...], Node] = {}
    found: dict[Node, tuple[str, str]] = {}
    order = {node: number for number, node in enumerate(topological([root]))}
    for node in order:
        origin = watch.of(node)
        if origin is None or not node.sources or node.dtype.kind != "f" or not origin.modules:
            continue
        if origin.modules[0] is not model:
            continue
        kind = _activation(node)
        if kind:
            found[node] = path_of(origin.modules) or type(model).__name__, kind
        if next(iter(origin.modules[-1].children()), None) is None:
            last[origin.calls] = node
    for node in last.values():
        origin = watch.of(node)
        if node not in found and origin is not None:
            found[node] = path_of(origin.modules), type(origin.modules[-1]).__name__
    return [(*found[node], node) for node in sorted(found, key=order.__getitem__)]


def _activation(node: Node) -> str:
    """The activation that a node is, "" for others; recurrent layers give what tanh gives."""
    kind = title(node)
    if kind == "sequence" and node.attributes.settings[1] == -1:
        return "relu" if node.attributes.settings[0] == "relu" else "recurrent tanh"
    return kind if kind in RECTIFIERS or kind in SQUASHING else ""


def _layer(name: str, operation: str, value: Array) -> LayerRecord:
    with np.errstate(all="ignore"):
        units = value.reshape(-1, value.shape[-1]) if value.ndim > 1 else value.reshape(-1, 1)
        dead = saturated = None
        if operation in RECTIFIERS:
            dead = float((units <= 0).all(axis=0).mean())
        if operation in SQUASHING:
            low, high = SQUASHING[operation]
            edge = _EDGE * (high - low) / 2
            saturated = float(((value < low + edge) | (value > high - edge)).mean())
        return LayerRecord(
            name,
            operation,
            float(value.mean(dtype=np.float64)),
            float(value.std(dtype=np.float64)),
            dead,
            saturated,
        )


def _spread(outputs: Array) -> float:
    """How much outputs differ between examples, as a share of their size."""
    with np.errstate(all="ignore"):
        size = float(np.sqrt(np.mean(np.square(outputs, dtype=np.float64))))
        return float(outputs.std(axis=0, dtype=np.float64).mean()) / max(size, 1e-30)


def _norm(array: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.sum(np.square(array, dtype=np.float64))))
