"""The table of a model as Keras prints it."""

from __future__ import annotations

import math
from typing import Any


def table(model: Any, width: int = 65) -> str:
    """Layers, output shapes, numbers of parameters; the layers before, where there are several."""
    several = len(model.inputs) > 1 or any(_many(layer) for layer in model.layers)
    shares = (0.33, 0.55, 0.67, 1.0) if several else (0.45, 0.85, 1.0)
    width = max(width, 98) if several else width
    ends = [int(width * share) for share in shares]
    heads = ["Layer (type)", "Output Shape", "Param #", *(["Connected to"] if several else [])]
    rows = [_row(layer, several) for layer in model.layers]
    rule, double = "_" * width, "=" * width
    lines = [f'Model: "{model.name}"', rule, _line(heads, ends), double]
    for number, row in enumerate(rows):
        lines += [_line(row, ends), double if number == len(rows) - 1 else rule]
    trained = _size([w for w in model.weights if w.requires_grad])
    total = _size(model.weights)
    lines += [
        f"Total params: {total:,}",
        f"Trainable params: {trained:,}",
        f"Non-trainable params: {total - trained:,}",
        rule,
    ]
    return "\n".join(lines)


def _size(weights: list[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _many(layer: Any) -> bool:
    return any(len(node.sources()) > 1 for node in layer.nodes)


def _row(layer: Any, several: bool) -> list[str]:
    shape = "?"
    if layer.nodes:
        shapes = [tensor.shape for tensor in layer.nodes[0].outputs]
        shape = str(shapes[0] if len(shapes) == 1 else shapes)
    elif layer.given_shape is not None:
        shape = str((None, *layer.given_shape))
    row = [f"{layer.name} ({type(layer).__name__})", shape, f"{_size(layer.weights):,}"]
    if several:
        sources = layer.nodes[0].sources() if layer.nodes else []
        names = [t.node.layer.name if t.node else t.name for t in sources]
        row.append(", ".join(names))
    return row


def _line(cells: list[str], ends: list[int]) -> str:
    text = ""
    for cell, end in zip(cells, ends):
        text = (text + cell)[: end - 1].ljust(end)
    return text.rstrip()
