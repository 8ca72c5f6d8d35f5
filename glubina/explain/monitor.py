"""What happens inside a network while it trains: a probe after every epoch, outside the step.

The probe runs forward and backward on one fixed mini-batch, as in training, and leaves everything
as it was: weights, running statistics, the state of chance.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.formulas import title
from glubina.explain.undisturbed import undisturbed
from glubina.graph import ops
from glubina.graph.node import Node, topological
from glubina.graph.origins import Origins, path_of, watching
from glubina.nn import Module
from glubina.tensor import Tensor, tensor
from glubina.tensor.base import wrap
from glubina.train.callbacks import Callback
from glubina.train.history import Logs
from glubina.train.protocol import behaving

if TYPE_CHECKING:
    from glubina.explain.diagnosis import Diagnosis

Array = NDArray[Any]

# activations of which one side is flat, and of which both are
RECTIFIERS = frozenset(("relu", "relu6", "clipped"))
SQUASHING = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
_EDGE = 0.02  # how near to an end, as a share of the range, an activation counts as saturated


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
    """

    name: str
    shape: tuple[int, ...]
    norm: float
    gradient: float
    change: float
    equal: bool

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def gradient_rms(self) -> float:
        """The root of the mean square of the gradient's elements."""
        return self.gradient / math.sqrt(max(self.size, 1))


@dataclass(frozen=True)
class Record:
    """One look at the network, after an epoch (0: before the first).

    output_spread: how much the outputs differ between examples, as a share of their size.
    """

    epoch: int
    loss: float
    output_spread: float
    layers: tuple[LayerRecord, ...]
    parameters: tuple[ParameterRecord, ...]

    @property
    def gradient(self) -> float:
        """The norm of the whole gradient."""
        return float(np.sqrt(sum(p.gradient**2 for p in self.parameters)))


class Monitor(Callback):
    """A callback that looks into the network before training and after every epoch.

    x, y: the probe, some tens or hundreds of examples as they are given to `fit`. loss: the loss
    function, unless the model was compiled with one.

    `records` has what was seen, `diagnosis()` what it means, `plot(path)` draws it.

    >>> monitor = explain.Monitor(x[:256], y[:256])
    >>> model.fit(x, y, epochs=10, callbacks=[monitor])
    >>> print(monitor.report())
    """

    def __init__(self, x: Any, y: Any, loss: Any = None) -> None:
        self.x, self.y = tensor(x), tensor(y)
        if len(self.x) != len(self.y) or len(self.x) < 2:
            raise ExplainError(
                f"a probe is at least 2 examples with their targets, got {len(self.x)} and "
                f"{len(self.y)}"
            )
        self.loss = loss
        self.records: list[Record] = []
        self._before: dict[str, Array] = {}

    def on_train_begin(self) -> None:
        """Look at the network as it was initialised."""
        self.records, self._before = [], {}
        self._look(0)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Look at it after an epoch."""
        self._look(epoch)

    def diagnosis(self) -> list[Diagnosis]:
        """What the records and the training's figures tell, the likely causes first."""
        from glubina.explain.diagnosis import diagnose

        return diagnose(self.session.history if self.records else None, self.records)

    def report(self) -> str:
        """The diagnosis in plain language."""
        found = self.diagnosis()
        return "\n".join(map(str, found)) if found else "nothing suspicious"

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw curves, norms of gradients and weights, and activations over the epochs, as a PNG.

        Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.monitor_plot import plot

        plot(self.session.history, self.records, path)

    def _look(self, epoch: int) -> None:
        model = self.session.model
        if not isinstance(model, Module):
            raise ExplainError(f"a monitor looks into networks of nn, not {type(model).__name__}")
        loss = self.loss or getattr(model._trainer, "loss", None)
        if loss is None:
            raise ExplainError("the monitor needs the loss: Monitor(x, y, loss=...)")
        record, self._before = look(model, loss, self.x, self.y, epoch, self._before)
        self.records.append(record)


def look(
    model: Module, loss: Any, x: Tensor, y: Tensor, epoch: int, before: dict[str, Array]
) -> tuple[Record, dict[str, Array]]:
    """One record, and the weights that it saw. Nothing of the model is changed."""
    with undisturbed([model]):
        with watching() as watch, behaving(model, training=True):
            outputs = model(_input(x, model))
            value = loss(outputs, y)
        return _record(model, value, outputs, watch, epoch, before)


def _input(x: Tensor, model: Module) -> Tensor:
    """Real inputs in the dtype of the parameters."""
    dtype = next((p.dtype for p in model.parameters() if p.dtype.kind == "f"), None)
    return x if dtype is None or x.dtype.kind != "f" else x.astype(dtype)


def _record(
    model: Module,
    value: Tensor,
    outputs: Any,
    watch: Origins,
    epoch: int,
    before: dict[str, Array],
) -> tuple[Record, dict[str, Array]]:
    root = value._cell.node
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    scalar = ops.reshape(root, ()) if root.size == 1 else None
    if scalar is None:
        raise ExplainError(f"the monitor needs a loss of one number, got the shape {root.shape}")
    seen = _seen(root, watch, model)
    first = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    nodes = [node for _, _, node in seen]
    leaves = [p._cell.node for _, p in named]
    made = [wrap(node) for node in (*nodes, first._cell.node, root)]
    made += [wrap(ops.gradient(scalar, leaf)) for leaf in leaves]
    arrays = [t.numpy() for t in made]
    count = len(nodes)
    weights = {name: p.numpy() for name, p in named}
    layers = [
        _layer(name, kind, array)
        for (name, kind, _), array in zip(seen, arrays[:count], strict=True)
    ]
    parameters = [
        ParameterRecord(
            name,
            weights[name].shape,
            _norm(weights[name]),
            _norm(gradient),
            _norm(weights[name] - before[name]) if name in before else float("nan"),
            bool(weights[name].size > 1 and np.ptp(weights[name]) == 0),
        )
        for (name, _), gradient in zip(named, arrays[count + 2 :], strict=True)
    ]
    loss = float(arrays[count + 1].reshape(()))
    spread = _spread(arrays[count])
    return Record(epoch, loss, spread, tuple(layers), tuple(parameters)), weights


def _seen(root: Node, watch: Origins, model: Module) -> list[tuple[str, str, Node]]:
    """The activations, and each innermost layer's output: name, operation, node, in order."""
    last: dict[tuple[int, ...], Node] = {}
    found: dict[Node, tuple[str, str]] = {}
    for node in topological([root]):
        origin = watch.of(node)
        if origin is None or not node.sources or node.dtype.kind != "f" or not origin.modules:
            continue
        if origin.modules[0] is not model:
            continue
        name = path_of(origin.modules) or type(model).__name__
        kind = title(node)
        if kind in RECTIFIERS or kind in SQUASHING:
            found[node] = name, kind
        if next(iter(origin.modules[-1].children()), None) is None:
            last[origin.calls] = node
    for node in last.values():
        origin = watch.of(node)
        if node not in found and origin is not None:
            found[node] = path_of(origin.modules), type(origin.modules[-1]).__name__
    order = {node: number for number, node in enumerate(topological([root]))}
    return [(*found[node], node) for node in sorted(found, key=lambda n: order[n])]


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
