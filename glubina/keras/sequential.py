"""Sequential: layers one after another."""

from __future__ import annotations

from typing import Any

from glubina.graph import ShapeError
from glubina.keras import symbolic
from glubina.keras.layer import Layer, known
from glubina.keras.layers.core import InputLayer
from glubina.keras.model import Model
from glubina.keras.symbolic import KerasTensor
from glubina.nn.errors import ArchitectureError


@known
class Sequential(Model):
    """Layers one after another, given as a list or by `add`.

    Weights are made as soon as the input's shape is known: from `input_shape` of the first layer,
    from an `Input` before it, or else from the first data.
    """

    def __init__(self, layers: Any = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self._stack: list[Layer] = []
        self._start: KerasTensor | None = None
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Put a layer at the end."""
        if isinstance(layer, KerasTensor):
            layer = InputLayer(layer.shape[1:], name=layer.name, dtype=layer.dtype)
        if not isinstance(layer, Layer):
            hint = f"; did you mean {layer.__name__}()?" if isinstance(layer, type) else ""
            raise TypeError(f"Sequential holds layers of keras.layers, got {layer!r}{hint}")
        if layer.name in [other.name for other in self._stack]:
            raise ValueError(f"two layers of the model are named {layer.name!r}")
        if isinstance(layer, InputLayer):
            if self._stack or self._start is not None:
                raise ValueError("an input layer must be the first one of a Sequential")
            self._begin(layer.given_shape, layer.name)
            return
        shape = layer.given_shape
        if shape is None and isinstance(layer, Model) and layer._inputs is not None:
            shape = layer.inputs[0].shape[1:]
        if not self._stack and self._start is None and shape is not None:
            self._begin(shape, f"{layer.name}_input")
        self._stack.append(layer)
        try:
            self._grow(layer)
        except Exception:
            self._stack.pop()
            raise

    def _begin(self, shape: Any, name: str) -> None:
        self._start = symbolic.Input(shape, name=name)

    def _grow(self, layer: Layer) -> None:
        """Call the new layer on the last output, if the shapes are known."""
        if self._start is None:
            return
        last = self._start if len(self._stack) == 1 else self._outputs
        self._connect(self._start, layer(last))

    def _connect(self, inputs: Any, outputs: Any) -> None:
        super()._connect(inputs, outputs)
        self._layers = list(self._stack)

    def pop(self) -> None:
        """Take the last layer away."""
        if not self._stack:
            raise TypeError("there are no layers to pop")
        self._stack.pop()
        if self._start is not None and self._stack:
            last = next(n for n in self._nodes if n.layer is self._stack[-1])
            self._connect(self._start, last.outputs[0])

    @property
    def layers(self) -> list[Layer]:
        """The layers in order."""
        return list(self._stack)

    def named_children(self) -> Any:
        """The layers by name."""
        return iter([(layer.name, layer) for layer in self._stack])

    def build_for(self, shape: Any) -> None:
        """Make the weights of all layers for inputs of this shape."""
        if isinstance(shape, (list, dict)):
            raise ShapeError("a Sequential has one input; Model(inputs=[...], ...) takes several")
        if not self._stack:
            raise ValueError("the Sequential has no layers: add some")
        self._begin(tuple(shape)[1:], f"{self.name}_input")
        outputs: Any = self._start
        for layer in self._stack:
            outputs = layer(outputs)
        self._connect(self._start, outputs)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for this input shape (it begins with None for the batch)."""
        if input_shape is not None and not self.built:
            self.build_for(input_shape)

    def config(self) -> dict[str, Any]:
        """The layers, and the shape of the input."""
        if type(self) is not Sequential:
            raise ArchitectureError(f"{type(self).__name__} is not a class of glubina.keras")
        if self._start is None:
            raise ArchitectureError(
                f"{self.name!r} has no weights yet: they are made when the input's shape is known"
            )
        return {
            "name": self.name,
            "layers": list(self._stack),
            "input_shape": list(self._start.shape[1:]),
            "compiled": self.compiled_config(),
        }

    @classmethod
    def from_config(cls, **config: Any) -> Any:
        """The opposite of `config`."""
        model = cls([symbolic.Input(config["input_shape"]), *config["layers"]], config["name"])
        model.recompile(config["compiled"])
        return model
