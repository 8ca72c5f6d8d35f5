"""The summary of a network: its layers with output shapes, parameters, arithmetic, memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from glubina.graph import ShapeError
from glubina.graph.flops import flops_of
from glubina.graph.node import Shape
from glubina.nn.checks import positive
from glubina.nn.embedding import Embedding
from glubina.nn.module import Module
from glubina.nn.planned import StepPlan, plan_step
from glubina.tensor import Tensor, no_grad


@dataclass(frozen=True)
class Row:
    """One layer. `output` is one example's shape; `flops` are one example's forward."""

    name: str
    kind: str
    output: Shape | None
    parameters: int
    frozen: int
    flops: int | None


@dataclass(frozen=True)
class Summary:
    """The layers of a network, and what they come to.

    bytes: of parameters and buffers. activations: bytes of all layers' outputs for one example
    (None without an input shape). step: what a training step takes (None without a batch size).
    """

    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    bytes: int
    flops: int | None
    activations: int | None
    step: StepPlan | None = None

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "FLOPs")
        body = [
            (
                row.name,
                row.kind,
                "?" if row.output is None else str(row.output),
                f"{row.parameters:,}",
                "?" if row.flops is None else f"{row.flops:,}",
            )
            for row in self.rows
        ]
        widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
        lines = [_line(head, widths), "─" * (sum(widths) + 2 * len(widths) - 2)]
        lines += [_line(line, widths) for line in body]
        lines.append(lines[1])
        frozen = self.parameters - self.trainable
        note = f", {frozen:,} of them frozen" if frozen else ""
        lines.append(f"{self.parameters:,} parameters{note}; {_bytes(self.bytes)} with buffers")
        if self.flops is not None and self.activations is not None:
            lines.append(
                f"per example: {self.flops:,} FLOPs forward, "
                f"{_bytes(self.activations)} of layer outputs"
            )
        if self.step is not None:
            step = self.step
            lines.append(
                f"a training step of {step.batch_size:,}: {step.flops:,} FLOPs; "
                f"{_bytes(step.peak)} of memory, {_bytes(step.working)} of it between its kernels"
            )
        return "\n".join(lines)


def summary(
    model: Module,
    input_shape: Shape | Any = None,
    dtype: Any = None,
    batch_size: int | None = None,
) -> Summary:
    """What a network consists of; nothing is computed.

    input_shape: one example's, without the batch axis. Layers that take their sizes from the data
    take them from it. Or a mini-batch itself, a tensor or array, which tells shape, dtype and size
    of the batch. dtype: of the input; the parameters' unless given, or int64 for a network
    that begins with an embedding. batch_size: plan a training step of so many examples, with the
    loss and the optimizer that the model was compiled with.
    """
    if isinstance(input_shape, (Tensor, np.ndarray)):
        if not input_shape.shape:
            raise ValueError("summary: a mini-batch has an axis of examples, this is a scalar")
        dtype = input_shape.dtype if dtype is None else dtype
        batch_size = input_shape.shape[0] if batch_size is None else batch_size
        input_shape = input_shape.shape[1:]
    outputs: dict[Module, tuple[Shape, int, int]] = {}
    step = None
    if input_shape is not None and not isinstance(input_shape, (tuple, list)):
        raise TypeError(
            f"summary: input_shape is that of one example, such as (28, 28, 1), got {input_shape!r}"
        )
    if input_shape is not None:
        wanted = np.dtype(_input_dtype(model) if dtype is None else dtype)
        outputs, result = _outputs(model, tuple(input_shape), wanted)
        if batch_size is not None:
            given = tuple(input_shape), wanted
            step = plan_step(model, positive("batch_size", batch_size), given, result)
    elif batch_size is not None:
        raise ValueError("summary: a batch_size needs the input_shape too")
    rows = [
        _row(name or type(model).__name__, module, outputs)
        for name, module in model.named_modules()
        if _is_shown(module)
    ]
    parameters = list(model.parameters())
    held = (*parameters, *model.buffers())
    known = all(module in outputs for module in model.modules() if _is_leaf(module))
    found = list(outputs.values())
    return Summary(
        rows=tuple(rows),
        parameters=sum(math.prod(p.shape) for p in parameters),
        trainable=sum(math.prod(p.shape) for p in parameters if p.requires_grad),
        bytes=sum(math.prod(t.shape) * t.dtype.itemsize for t in held),
        flops=sum(flops for _, flops, _ in found) if found and known else None,
        activations=sum(size for _, _, size in found) if found and known else None,
        step=step,
    )


def _is_leaf(module: Module) -> bool:
    return not any(True for _ in module.children())


def _is_shown(module: Module) -> bool:
    """Layers, and modules that have parameters of their own beside children."""
    return _is_leaf(module) or any(True for _ in module.parameters(recurse=False))


def _row(name: str, module: Module, outputs: dict[Module, tuple[Shape, int, int]]) -> Row:
    own = list(module.parameters(recurse=_is_leaf(module)))
    count = sum(math.prod(p.shape) for p in own)
    frozen = sum(math.prod(p.shape) for p in own if not p.requires_grad)
    shape, flops, _ = outputs.get(module, (None, None, 0))
    return Row(name, type(module).__name__, shape, count, frozen, flops)


def _outputs(
    model: Module, input_shape: Shape, dtype: np.dtype[Any]
) -> tuple[dict[Module, tuple[Shape, int, int]], Shape]:
    """Of each layer the output's shape, FLOPs and bytes, from a forward that stays pending.

    Besides, the shape of one example's outputs of the whole network.
    """
    x = Tensor(np.zeros((1, *input_shape), dtype))
    found: dict[Module, tuple[Shape, int, int]] = {}
    counted: set[object] = set()

    def look(module: Module, arguments: tuple[Any, ...], result: Any) -> None:
        if isinstance(result, tuple) and result:  # a recurrent layer's outputs, then its states
            result = result[0]
        if isinstance(result, Tensor):
            flops = flops_of([result._cell.node], counted)
            _, before, _ = found.get(module, ((), 0, 0))
            size = math.prod(result.shape) * result.dtype.itemsize
            found[module] = (result.shape[1:], before + flops, size)

    layers = [module for module in model.modules() if _is_leaf(module)]
    removers = [module.register_forward_hook(look) for module in layers]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with no_grad():
            result = model(x)
    except ShapeError as error:
        raise ShapeError(f"summary for examples of shape {input_shape}: {error.text}") from error
    finally:
        for module, mode in modes.items():
            module.training = mode
        for remove in removers:
            remove()
    while isinstance(result, (tuple, list)) and result:
        result = result[0]
    return found, result.shape[1:]


def _input_dtype(model: Module) -> Any:
    """What the first layer with parameters takes."""
    for module in model.modules():
        if isinstance(module, Embedding):
            return np.int64
        for parameter in module.parameters(recurse=False):
            if _is_leaf(module) and parameter.dtype.kind == "f":
                return parameter.dtype
    return next((p.dtype for p in model.parameters() if p.dtype.kind == "f"), np.float32)


def _bytes(count: int) -> str:
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [text.ljust(width) for text, width in zip(cells[:3], widths[:3])]
    right = [text.rjust(width) for text, width in zip(cells[3:], widths[3:])]
    return "  ".join((*left, *right)).rstrip()
