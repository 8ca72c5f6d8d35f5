"""The base of the layers: built when the input's shape is known, called on tensors or symbols."""

from __future__ import annotations

import inspect
import re
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glubina import nn
from glubina.graph import GraphError, ShapeError
from glubina.graph.names import suggestion
from glubina.keras import activations, backend, constraints, initializers, regularizers, symbolic
from glubina.keras.lookup import described
from glubina.nn.architecture import register
from glubina.nn.budget import require_elements
from glubina.nn.parameter import Parameter, put
from glubina.tensor import Tensor, asarray
from glubina.tensor.creation import tensor as held
from glubina.tensor.trace import outside
from glubina.train.protocol import behaving

OPTIONS = (
    *("name", "trainable", "input_shape", "batch_input_shape", "input_dim", "dtype", "weights"),
    "activity_regularizer",
)


def known(kind: type) -> type:
    """Let architecture files name this class as "keras.<its name>" (a decorator)."""
    return register(kind, f"keras.{kind.__name__}")


class Layer(nn.Module):
    """A layer with Keras's ways; subclass it with `build(input_shape)` and `call(inputs)`.

    Options of every layer: name, trainable, and for the first one of a Sequential input_shape
    (one example's), batch_input_shape or input_dim. `add_weight` makes weights in `build`.
    Whole numbers that come in are made floating, unless `autocast` is False.
    """

    training = False
    autocast: ClassVar[bool] = True
    built: bool

    def __init__(self, **options: Any) -> None:
        for name in options:
            if name not in OPTIONS:
                near = inspect.signature(type(self).__init__).parameters
                taken = [n for n in near if n not in ("self", "options")]
                raise TypeError(
                    f"{type(self).__name__} has no argument {name!r}"
                    f"{suggestion(name, [*taken, *OPTIONS])} (it takes "
                    f"{', '.join([*taken, *OPTIONS])})"
                )
        kind = type(self).__name__
        self.name: str = options.get("name") or automatic_name(kind)
        self.built = False
        self.nodes: list[symbolic.Node] = []
        self.given_shape = _given_shape(options)
        self._trainable = bool(options.get("trainable", True))
        self._initial = options.get("weights")
        self._penalties: list[tuple[str, Any]] = []
        self._constraints: list[tuple[str, Any]] = []
        given = options.get("activity_regularizer")
        self._activity_penalty = None if given is None else regularizers.get(given)
        self._activity: Tensor | None = None
        self._added: list[Tensor] = []
        self._weight_names: list[str] = []

    # -- what layers define ---------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Make the weights; input_shape begins with None for the batch (a list of several)."""

    def call(self, inputs: Any) -> Any:
        """The layer's outputs."""
        raise NotImplementedError(f"{type(self).__name__} must define call(inputs)")

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The mask of the outputs: as it came, unless a layer knows better."""
        return mask

    def add_weight(
        self,
        name: str = "weight",
        shape: Any = (),
        dtype: Any = None,
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        trainable: bool = True,
        constraint: Any = None,
    ) -> Tensor:
        """Make a weight, which is the attribute of this name as well."""
        require_elements(tuple(int(n) for n in shape))
        values = np.asarray(initializers.get(initializer)(tuple(shape)), dtype or backend.floatx())
        if trainable:
            made: Tensor = Parameter(values, self.trainable)
            setattr(self, name, made)
        else:
            made = held(values)
            self.register_buffer(name, made)
        self._weight_names.append(name)
        if regularizer is not None:
            self._penalties.append((name, regularizers.get(regularizer)))
        if constraint is not None:
            self._constraints.append((name, constraints.get(constraint)))
        return made

    # -- calling --------------------------------------------------------------------------------

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the layer, or write its call down where the input is symbolic."""
        if "_weight_names" not in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}.__init__ must begin with super().__init__()")
        inputs = args[0] if len(args) == 1 else list(args)
        if options.get("initial_state") is not None:
            states = options.pop("initial_state")
            inputs = [inputs, *(states if isinstance(states, (list, tuple)) else [states])]
        options.pop("initial_state", None)
        if symbolic.is_symbolic(inputs):
            return symbolic.call(self, inputs, options)
        inputs = symbolic.mapped(_as_tensor, inputs)
        training = options.pop("training", None)
        if training is None:
            return super().__call__(inputs, **options)
        with behaving(self, bool(training)):
            return super().__call__(inputs, **options)

    def forward(self, inputs: Any, **options: Any) -> Any:
        """Make the weights if that is still to be done, and run `call`."""
        if self.autocast:
            inputs = symbolic.mapped(_floating, inputs)
        if not self.built:
            with outside():
                self.build_for(symbolic.mapped(lambda t: (None, *t.shape[1:]), inputs))
        if "training" in self._call_names() and "training" not in options:
            options["training"] = self.training
        self._added = []
        outputs = self.call(inputs, **options)
        if self._activity_penalty is not None:  # per example, as Keras counts it
            self._activity = self._activity_penalty(outputs) / outputs.shape[0]
        return outputs

    def add_loss(self, loss: Any) -> None:
        """Within `call`: add a rank-0 tensor to what training minimises."""
        if not isinstance(loss, Tensor) or loss.shape != ():
            what = loss.shape if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"add_loss takes a tensor of one number, within call; got {what}")
        self._added.append(loss)

    def build_for(self, shape: Any) -> None:
        """Make the weights for this input shape."""
        self.build(shape)
        self.built = True
        if self._initial is not None:
            self.set_weights(self._initial)

    def run(self, inputs: Any, mask: Any, options: dict[str, Any]) -> tuple[Any, Any]:
        """The outputs, and the mask that goes with them."""
        if mask is not None and "mask" in self._call_names():
            options = {**options, "mask": mask}
        return self(inputs, **options), self.compute_mask(inputs, mask)

    @classmethod
    def _call_names(cls) -> Any:
        return inspect.signature(cls.call).parameters

    # -- weights --------------------------------------------------------------------------------

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it counts for all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for parameter in self.parameters(recurse=False):
            parameter.requires_grad_(bool(value))
        for child in self.children():
            if isinstance(child, Layer):
                child.trainable = value

    @property
    def weights(self) -> list[Tensor]:
        """The trained weights and then the others, layer by layer."""
        own = [getattr(self, name) for name in self._weight_names]
        parameters = [w for w in own if isinstance(w, Parameter)]
        others = [w for w in own if not isinstance(w, Parameter)]
        inner = [w for child in self.children() if isinstance(child, Layer) for w in child.weights]
        return [*parameters, *others, *inner]

    @property
    def trainable_weights(self) -> list[Tensor]:
        """The weights that training changes."""
        return [w for w in self.weights if w.requires_grad]

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        """The weights that training leaves (running statistics are moved by the data)."""
        return [w for w in self.weights if not w.requires_grad]

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of the weights, in Keras's order and layout."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Give the weights values, in the order of `get_weights`."""
        own, given = self.weights, [np.asarray(w) for w in weights]
        if [w.shape for w in own] != [w.shape for w in given]:
            raise ShapeError(
                f"layer {self.name!r} has weights of shapes {[w.shape for w in own]}, got "
                f"{[w.shape for w in given]}"
            )
        for weight, values in zip(own, given):
            put(weight, values.astype(weight.dtype))

    def count_params(self) -> int:
        """The number of elements of all weights."""
        if not self.built:
            raise ValueError(
                f"layer {self.name!r} has no weights yet: they are made when the input's shape is "
                "known (give input_shape, or call it on data)"
            )
        return sum(weight.size for weight in self.weights)

    @property
    def losses(self) -> list[Tensor]:
        """The penalties on this layer's weights and outputs, and those of the layers inside."""
        own = [penalty(getattr(self, name)) for name, penalty in self._penalties]
        own += [] if self._activity is None else [self._activity]
        own += self._added
        return own + [p for c in self.children() if isinstance(c, Layer) for p in c.losses]

    def constrained(self) -> list[tuple[Tensor, Any]]:
        """The weights that are kept within bounds, with what does it."""
        own = [(getattr(self, name), bound) for name, bound in self._constraints]
        return own + [p for c in self.children() if isinstance(c, Layer) for p in c.constrained()]

    # -- what is known of its calls ---------------------------------------------------------------

    @property
    def output(self) -> Any:
        """The symbolic tensor(s) that the layer gave when it was called."""
        outputs = self._only_node().outputs
        return outputs[0] if len(outputs) == 1 else outputs

    @property
    def input(self) -> Any:
        """The symbolic tensor(s) that the layer was called on."""
        return self._only_node().inputs

    @property
    def output_shape(self) -> Any:
        """The shape of `output`."""
        return symbolic.mapped(lambda t: t.shape, self.output)

    @property
    def input_shape(self) -> Any:
        """The shape of `input`."""
        return symbolic.mapped(lambda t: t.shape, self.input)

    def _only_node(self) -> symbolic.Node:
        if not self.nodes:
            raise AttributeError(
                f"layer {self.name!r} has not been called on a symbolic tensor yet, so it has no "
                "input or output"
            )
        return self.nodes[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer by name."""
        return self.config()

    def config(self) -> dict[str, Any]:
        """The arguments as plain data, with the layer's name."""
        given = super().config()
        given.update(given.pop("options", {}))
        given.pop("weights", None)
        config = {name: described(activations.name_of(value)) for name, value in given.items()}
        return {**config, "name": self.name, **({} if self.trainable else {"trainable": False})}

    def extra_repr(self) -> str:
        """The name."""
        return f"name={self.name!r}"


def automatic_name(kind: str) -> str:
    """'conv2d' for the first Conv2D, then 'conv2d_1', ...; see `backend.clear_session`."""
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", kind).lower()
    number = backend.get_uid(stem)
    return stem if number == 1 else f"{stem}_{number - 1}"


def _given_shape(options: dict[str, Any]) -> tuple[int | None, ...] | None:
    """One example's shape, as the first layer of a Sequential is told it."""
    if options.get("input_shape") is not None:
        shape = options["input_shape"]
        if isinstance(shape, int):
            raise TypeError(f"input_shape must be a tuple, got {shape}; did you mean ({shape},)?")
        return tuple(shape)
    if options.get("batch_input_shape") is not None:
        return tuple(options["batch_input_shape"])[1:]
    if options.get("input_dim") is not None:
        return (int(options["input_dim"]),)
    return None


def _as_tensor(value: Any) -> Any:
    if isinstance(value, Tensor) or value is None:
        return value
    array = np.asarray(value)
    return asarray(array.astype(np.float32) if array.dtype == np.float64 else array)


def _floating(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype.kind != "f":
        return value.astype(np.float32)
    return value


__all__ = ["GraphError", "Layer", "known"]
