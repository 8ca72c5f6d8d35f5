"""Model: a graph of layers between symbolic tensors, or a class of one's own with `call`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from glubina import nn
from glubina.graph import ShapeError
from glubina.keras import symbolic
from glubina.keras.layer import Layer, known
from glubina.keras.layers.core import InputLayer
from glubina.keras.lookup import unknown
from glubina.keras.summary import table
from glubina.keras.symbolic import KerasTensor
from glubina.keras.training import Training
from glubina.nn.errors import ArchitectureError


@known
class Model(Training, Layer):  # type: ignore[misc]  # Keras's arguments of fit, not nn's
    """`Model(inputs, outputs)`: what leads from one to the other (tensors, or lists of them).

    Or a base class: layers as attributes made in `__init__`, `call(inputs)` written by hand.
    """

    autocast: ClassVar[bool] = False

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, **options: Any
    ) -> None:
        inputs = options.pop("input", inputs)
        outputs = options.pop("output", outputs)
        super().__init__(name=name, **options)
        self._layers: list[Layer] | None = None
        self._inputs: Any = None
        self._outputs: Any = None
        if inputs is not None or outputs is not None:
            self._connect(inputs, outputs)

    def _connect(self, inputs: Any, outputs: Any) -> None:
        """Take the layers between these tensors."""
        for kind, given in (("inputs", inputs), ("outputs", outputs)):
            for tensor in symbolic.leaves(given):
                if not isinstance(tensor, KerasTensor):
                    raise TypeError(
                        f"Model's {kind} must be symbolic tensors (Input(...) and what layers make "
                        f"of it), got {type(tensor).__name__}"
                    )
        self._inputs, self._outputs = inputs, outputs
        given = symbolic.leaves(inputs)
        self._nodes = list(symbolic.topological(symbolic.leaves(outputs), given))
        layers: list[Layer] = [
            InputLayer(tensor.shape[1:], name=tensor.name, dtype=tensor.dtype) for tensor in given
        ]
        for node in self._nodes:
            if node.layer not in layers:
                layers.append(node.layer)
        names = [layer.name for layer in layers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two layers of the model are named {name!r}")
        self._layers, self.built = layers, True

    @property
    def layers(self) -> list[Layer]:
        """The layers in order; the inputs of a functional model are the first ones."""
        if self._layers is not None:
            return list(self._layers)
        return [child for child in super().children() if isinstance(child, Layer)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name, or of a place."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise unknown("layer", name, [layer.name for layer in self.layers])

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """The layers by name."""
        if self._layers is None:
            yield from super().named_children()
        else:
            yield from ((layer.name, layer) for layer in self._layers)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [tensor.name for tensor in symbolic.leaves(self._inputs) if tensor is not None]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that give the outputs; numbered where they are not known."""
        leaves = [t for t in symbolic.leaves(self._outputs) if t is not None]
        return [t.node.layer.name if t.node else t.name for t in leaves]

    @property
    def inputs(self) -> list[Any]:
        """The symbolic tensors that data are put into."""
        return symbolic.leaves(self._inputs)

    @property
    def outputs(self) -> list[Any]:
        """The symbolic tensors that come out."""
        return symbolic.leaves(self._outputs)

    @property
    def input(self) -> Any:
        """The symbolic input(s)."""
        return self._inputs

    @property
    def output(self) -> Any:
        """The symbolic output(s)."""
        return self._outputs

    def call(self, inputs: Any) -> Any:
        """Every layer on what it was called on."""
        if self._layers is None:
            raise NotImplementedError(f"{type(self).__name__} must define call(inputs)")
        given, places = self._placed(inputs), symbolic.leaves(self._inputs)
        values: dict[KerasTensor, tuple[Any, Any]] = {}
        for place, value in zip(places, given):
            _check(place, value)
            values[place] = (value, None)
        for node in self._nodes:
            here = symbolic.mapped(lambda t: values[t][0], node.inputs)
            masks = symbolic.mapped(lambda t: values[t][1], node.inputs)
            mask = masks if any(m is not None for m in symbolic.leaves(masks)) else None
            result, after = node.layer.run(here, mask, dict(node.options))
            several = isinstance(after, list) and len(after) == len(node.outputs) > 1
            for number, (symbol, value) in enumerate(zip(node.outputs, symbolic.leaves(result))):
                values[symbol] = (value, after[number] if several else after)
        return symbolic.mapped(lambda t: values[t][0], self._outputs)

    def _placed(self, inputs: Any) -> list[Any]:
        """The data in the order of the inputs, of which a dict gives the names."""
        if isinstance(inputs, dict):
            for name in inputs:
                if name not in self.input_names:
                    raise unknown("input", name, self.input_names)
            inputs = [inputs[name] for name in self.input_names]
        given = symbolic.leaves(inputs)
        if len(given) != len(self.inputs):
            raise ShapeError(
                f"model {self.name!r} has {len(self.inputs)} inputs "
                f"({', '.join(self.input_names)}), got {len(given)}"
            )
        return given

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for this input shape (it begins with None for the batch)."""

    def count_params(self) -> int:
        """The number of elements of all weights."""
        return sum(weight.size for weight in self.weights)

    def summary(self, line_length: int = 65, print_fn: Any = None, **_: Any) -> None:  # type: ignore[override]
        """Print the layers with output shapes and numbers of parameters."""
        (print_fn or print)(table(self, line_length))

    # -- as plain data ----------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Layers, and which one is called on what."""
        if type(self) is not Model or self._layers is None:
            raise ArchitectureError(
                f"{type(self).__name__} has a call of its own, which no file can hold: save the "
                "weights (save_weights) and build the model in code"
            )
        places: dict[KerasTensor, list[int]] = {
            tensor: [-1, number] for number, tensor in enumerate(self.inputs)
        }
        calls = []
        for number, node in enumerate(self._nodes):
            places.update({t: [number, i] for i, t in enumerate(node.outputs)})
            source = symbolic.mapped(lambda t: {"at": places[t]}, node.inputs)
            calls.append([self._layers.index(node.layer), source, node.options])
        return {
            "name": self.name,
            "inputs": [[t.name, list(t.shape[1:]), str(t.dtype)] for t in self.inputs],
            "layers": self._layers[len(self.inputs) :],
            "calls": calls,
            "outputs": symbolic.mapped(lambda t: {"at": places[t]}, self._outputs),
            "compiled": self.compiled_config(),
        }

    @classmethod
    def from_config(cls, **config: Any) -> Any:
        """The opposite of `config`."""
        inputs = [symbolic.Input(shape, name=n, dtype=d) for n, shape, d in config["inputs"]]
        made: list[Any] = [[]] * 0
        layers = [None] * len(inputs) + list(config["layers"])

        def found(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return [found(part) for part in value]
            call, number = value["at"]
            return inputs[number] if call < 0 else made[call][number]

        for index, source, options in config["calls"]:
            made.append(symbolic.leaves(layers[index](found(source), **options)))
        given = inputs[0] if len(inputs) == 1 else inputs
        model = cls(given, found(config["outputs"]), name=config["name"])
        model.recompile(config["compiled"])
        return model


def _check(place: KerasTensor, value: Any) -> None:
    """ShapeError unless a value has the shape of the input that it is for."""
    got, wanted = value.shape, place.shape
    fits = len(got) == len(wanted) and all(m in (None, n) for n, m in zip(got, wanted))
    if not fits:
        hint = ""
        if len(got) + 1 == len(wanted) and wanted[-1] == 1:
            hint = "; the axis of the channels is missing: x[..., None]"
        raise ShapeError(f"input {place.name!r} takes data of shape {wanted}, got {got}{hint}")
