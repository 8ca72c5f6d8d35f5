"""Where the parameters of a hand-written layer are kept, and what its backward returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from glubina.graph import ShapeError
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor.errors import GradientError


class Slots:
    """The attributes of a layer (and of layers in it) that hold parameters, each once."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.parameters: list[Parameter] = []
        self.names: list[str] = []
        self._places: list[tuple[Module, str, int]] = []
        numbers: dict[int, int] = {}
        for prefix, module in layer.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    if id(value) not in numbers:
                        numbers[id(value)] = len(self.parameters)
                        self.parameters.append(value)
                        self.names.append(f"{prefix}.{name}" if prefix else name)
                    self._places.append((module, name, numbers[id(value)]))

    @contextmanager
    def holding(self, values: Sequence[Any]) -> Iterator[None]:
        """Other values in the parameters' places for a while, one per parameter."""
        for module, name, number in self._places:
            setattr(module, name, values[number])
        try:
            yield
        finally:
            for module, name, number in self._places:
                setattr(module, name, self.parameters[number])

    def check(self, gradients: Sequence[Any]) -> None:
        """ShapeError for a gradient that is not in its parameter's shape."""
        for name, parameter, gradient in zip(self.names, self.parameters, gradients, strict=True):
            shape = getattr(gradient, "shape", None)
            if gradient is not None and shape != parameter.shape:
                raise ShapeError(
                    f"{type(self.layer).__name__}.backward: {name}.grad has the shape {shape}, "
                    f"{name} itself {parameter.shape}"
                )


def returned_gradients(layer: Any, args: Sequence[bool], returned: Any) -> list[Any]:
    """What `backward` returned, as one gradient (or None) per argument of `forward`.

    args: whether each of them is a tensor.
    """
    found = list(returned) if isinstance(returned, tuple) else [returned]
    tensors = [i for i, a in enumerate(args) if a]
    if len(found) == len(tensors) < len(args):  # numbers among the arguments need no place
        given = dict(zip(tensors, found, strict=True))
        found = [given.get(i) for i in range(len(args))]
    if len(found) != len(args):
        raise GradientError(
            f"{type(layer).__name__}.backward returned {len(found)} gradients for the "
            f"{len(args)} arguments of forward"
        )
    return found
