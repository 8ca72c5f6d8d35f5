"""The graph of layers that the functional API writes: calling layers on symbolic tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from glubina.graph import ShapeError
from glubina.keras import backend
from glubina.tensor import Tensor, no_grad, zeros
from glubina.train.protocol import behaving

if TYPE_CHECKING:
    from glubina.keras.layer import Layer

Shape = tuple[int | None, ...]

PROBES = ((2, 64), (3, 96))
"""Extents put in for those that are not known (batch, others), to see which results follow them."""


class Node:
    """One call of a layer: the symbolic tensors that went in (nested as given) and came out."""

    def __init__(self, layer: Layer, inputs: Any, options: dict[str, Any]) -> None:
        self.layer = layer
        self.inputs = inputs
        self.options = options
        self.outputs: list[KerasTensor] = []

    def sources(self) -> list[KerasTensor]:
        """The tensors that went in, in order."""
        return leaves(self.inputs)


class KerasTensor:
    """A tensor without elements: what a layer will give. The first extent, None, is the batch's."""

    def __init__(self, shape: Shape, dtype: Any, node: Node | None, name: str) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.node = node
        self.name = name

    @property
    def _keras_shape(self) -> Shape:
        return self.shape

    def get_shape(self) -> Shape:
        """The shape."""
        return self.shape

    def __repr__(self) -> str:
        return f"<KerasTensor {self.name!r}, shape {self.shape}, {self.dtype}>"

    def __bool__(self) -> bool:
        raise TypeError("a symbolic tensor has no value: it stands for what a model will compute")

    def _with(self, other: Any, merge: str, function: Callable[[Any], Any]) -> KerasTensor:
        from glubina.keras import layers

        if isinstance(other, KerasTensor):
            made: KerasTensor = getattr(layers, merge)()([self, other])
        else:
            made = layers.Lambda(function)(self)
        return made

    def __add__(self, other: Any) -> KerasTensor:
        return self._with(other, "Add", lambda x: x + other)

    def __radd__(self, other: Any) -> KerasTensor:
        return self._with(other, "Add", lambda x: x + other)

    def __sub__(self, other: Any) -> KerasTensor:
        return self._with(other, "Subtract", lambda x: x - other)

    def __mul__(self, other: Any) -> KerasTensor:
        return self._with(other, "Multiply", lambda x: x * other)

    def __rmul__(self, other: Any) -> KerasTensor:
        return self._with(other, "Multiply", lambda x: x * other)

    def __truediv__(self, other: Any) -> KerasTensor:
        if isinstance(other, KerasTensor):
            raise TypeError("divide symbolic tensors in a Lambda: Lambda(lambda t: t[0] / t[1])")
        return self._with(other, "", lambda x: x / other)


def leaves(value: Any) -> list[Any]:
    """The tensors of a nested list, tuple or dict, in order."""
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in leaves(part)]
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    return [value]


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """The same nest with a function of each tensor."""
    if isinstance(value, (list, tuple)):
        return [mapped(function, part) for part in value]
    if isinstance(value, dict):
        return {name: mapped(function, part) for name, part in value.items()}
    return function(value)


def is_symbolic(value: Any) -> bool:
    """Whether a symbolic tensor is among these."""
    return any(isinstance(leaf, KerasTensor) for leaf in leaves(value))


def call(layer: Layer, inputs: Any, options: dict[str, Any]) -> Any:
    """Write the call of a layer down; the shapes of what comes out are seen on zeros."""
    for source in leaves(inputs):
        if not isinstance(source, KerasTensor):
            raise TypeError(
                f"layer {layer.name!r} was called on a mix of symbolic tensors and "
                f"{type(source).__name__}: put fixed values into a Lambda"
            )
    unknown = any(None in source.shape[1:] for source in leaves(inputs))
    results = [_probe(layer, inputs, options, probe) for probe in PROBES[: 1 + unknown]]
    node = Node(layer, inputs, options)

    def symbol(seen: list[Tensor]) -> KerasTensor:
        one = seen[0].shape
        other = seen[-1].shape if unknown else one
        rest = tuple(n if n == m else None for n, m in zip(one[1:], other[1:], strict=True))
        name = layer.name if len(layer.nodes) == 0 else f"{layer.name}_{len(layer.nodes)}"
        made = KerasTensor((None, *rest), seen[0].dtype, node, name)
        node.outputs.append(made)
        return made

    outputs = _zipped(symbol, results)
    layer.nodes.append(node)
    return outputs


def _probe(layer: Layer, inputs: Any, options: dict[str, Any], extents: tuple[int, int]) -> Any:
    batch, other = extents

    def example(source: KerasTensor) -> Tensor:
        shape = (batch, *(other if n is None else n for n in source.shape[1:]))
        return zeros(shape, dtype=source.dtype)

    try:
        with behaving(layer, False), no_grad():
            return layer(mapped(example, inputs), **options)
    except ShapeError as error:
        shapes = ", ".join(str(source.shape) for source in leaves(inputs))
        raise ShapeError(
            f"layer {layer.name!r} on input of shape {shapes}: {error.text}"
        ) from error


def _zipped(function: Callable[[list[Any]], Any], results: list[Any]) -> Any:
    """A function of what stands at the same place in several nests."""
    if isinstance(results[0], (list, tuple)):
        return [_zipped(function, list(parts)) for parts in zip(*results)]
    return function(results)


def topological(outputs: list[KerasTensor], inputs: list[KerasTensor]) -> Iterator[Node]:
    """The calls that lead from the inputs to the outputs, each after those that it needs.

    ValueError where an output needs an Input that is not among the inputs.
    """
    given = set(inputs)
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [
        (o.node, False) for o in reversed(outputs) if o.node and o not in given
    ]
    while stack:
        node, ready = stack.pop()
        if node in done:
            continue
        if ready:
            done.add(node)
            yield node
            continue
        stack.append((node, True))
        for source in reversed(node.sources()):
            if source in given:
                continue
            if source.node is None:
                raise ValueError(
                    f"the outputs depend on {source.name!r}, which is not among the model's inputs"
                )
            stack.append((source.node, False))


def Input(
    shape: Any = None,
    batch_shape: Any = None,
    name: str | None = None,
    dtype: Any = "float32",
    batch_size: int | None = None,
) -> KerasTensor:
    """A symbolic tensor that data are put into; shape: one example's, None where it varies."""
    if (shape is None) == (batch_shape is None):
        raise ValueError("Input needs one example's shape: Input(shape=(28, 28, 1))")
    given = tuple(batch_shape)[1:] if shape is None else shape
    if isinstance(given, int):
        raise TypeError(f"Input's shape must be a tuple, got {given!r}; did you mean ({given},)?")
    return KerasTensor((None, *given), dtype, None, name or f"input_{backend.get_uid('input')}")
