"""Recurrent layers over (N, steps, features), through the native loop of `nn`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from glubina.graph import ShapeError
from glubina.keras import activations, constraints, initializers, regularizers
from glubina.keras.layer import Layer, known
from glubina.nn import functional as F
from glubina.nn import recurrence
from glubina.nn.checks import positive, probability
from glubina.nn.formula import apply
from glubina.nn.parameter import put
from glubina.tensor import Tensor, concat, flip, permute_dims, zeros
from glubina.train.several import listed


class _Recurrent(Layer):
    """What the recurrent layers share.

    return_sequences: the outputs of all steps (N, steps, units) instead of the last. return_state:
    the final states too. go_backwards: from the last step to the first. dropout: of the inputs, the
    same features in all steps. A mask leaves steps out: the state stays, the step's output is zero.
    """

    kind: ClassVar[str] = "tanh"
    order: ClassVar[tuple[int, ...]] = (0,)
    states: ClassVar[int] = 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        input_length: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units, self.use_bias = positive("units", units), use_bias
        self.activation = activations.name_of(activations.get(activation))
        if recurrent_dropout or stateful:
            raise ValueError("recurrent_dropout and stateful are not supported")
        if self.activation not in self._activations():
            raise ValueError(
                f"{type(self).__name__}'s activation is one of {', '.join(self._activations())} "
                f"here, got {activation!r}"
            )
        self.rules = {
            "kernel": (kernel_initializer, kernel_regularizer, kernel_constraint),
            "recurrent_kernel": (
                *(recurrent_initializer, recurrent_regularizer, recurrent_constraint),
            ),
            "bias": (bias_initializer, bias_regularizer, bias_constraint),
        }
        self.dropout = probability("dropout", dropout)
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards = go_backwards

    def _activations(self) -> tuple[str, ...]:
        return ("tanh",)

    def build(self, input_shape: Any) -> None:
        """Make the two kernels and the bias."""
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        if len(shape) != 3:
            raise ShapeError(
                f"{type(self).__name__} expects input of shape (N, steps, features), got {shape}"
            )
        gates = len(self.order) * self.units
        shapes: dict[str, Any] = {
            "kernel": (shape[-1], gates),
            "recurrent_kernel": (self.units, gates),
        }
        if self.use_bias:
            shapes["bias"] = self._bias_shape(gates)
        for name, wanted in shapes.items():
            start, regularizer, constraint = self.rules[name]
            self.add_weight(
                name, wanted, None, initializers.get(start), regularizers.get(regularizer),
                constraint=constraints.get(constraint),
            )  # fmt: skip

    def _bias_shape(self, gates: int) -> tuple[int, ...]:
        return (gates,)

    def call(self, inputs: Any, mask: Tensor | None = None) -> Any:
        """The outputs, as the arguments of the layer say."""
        x, *initial = inputs if isinstance(inputs, list) else [inputs]
        mask = listed(mask)[0]
        if len(initial) not in (0, self.states):
            raise ShapeError(
                f"{type(self).__name__} has {self.states} states, got {len(initial)} initial ones"
            )
        x = F.dropout1d(x, self.dropout, self.training)
        nodes = [permute_dims(x, (1, 0, 2)), *self._weights(), *initial]
        if mask is not None:
            nodes.append(permute_dims(mask, (1, 0)))
        given = (self.use_bias, bool(initial), mask is not None, self.go_backwards)

        def result(which: int) -> Tensor:
            return apply(recurrence.sequence, *nodes, settings=(self.kind, which, *given))

        if self.return_sequences:
            y = permute_dims(result(-1), (1, 0, 2))
            y = flip(y, axis=1) if self.go_backwards else y
        else:
            y = result(0)
        return [y, *(result(n) for n in range(self.states))] if self.return_state else y

    def _weights(self) -> list[Tensor]:
        """The weights as `nn` has them: (gates, in), in its order of the gates."""
        weights = [self._ordered(self.kernel), self._ordered(self.recurrent_kernel)]  # type: ignore[attr-defined]
        weights = [permute_dims(w, (1, 0)) for w in weights]
        if self.use_bias:
            weights += self._biases(self.bias)  # type: ignore[attr-defined]
        return weights

    def _biases(self, bias: Tensor) -> list[Tensor]:
        return [self._ordered(bias), zeros(bias.shape)]

    def _ordered(self, weight: Tensor) -> Tensor:
        """The gates along the last axis in the order of `nn`."""
        if list(self.order) == sorted(self.order):
            return weight
        parts = [weight[..., g * self.units : (g + 1) * self.units] for g in self.order]
        return concat(parts, axis=-1)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The steps' mask goes on where there are steps."""
        return mask if self.return_sequences and not self.return_state else None


@known
class SimpleRNN(_Recurrent):
    """h_t = tanh(x_t W + h_{t−1} U + b); activation 'tanh' or 'relu'. Source: Elman, 1990."""

    def _activations(self) -> tuple[str, ...]:
        return ("tanh", "relu")

    def build(self, input_shape: Any) -> None:
        """Make the two kernels and the bias."""
        self.kind = self.activation  # type: ignore[misc]
        super().build(input_shape)


@known
class LSTM(_Recurrent):
    """Long short-term memory; the gates i, f, c, o stand side by side in the kernels.

    unit_forget_bias: the forget gate's bias begins at 1. Source: Hochreiter and Schmidhuber, 1997.
    """

    kind = "lstm"
    order = (0, 1, 2, 3)
    states = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, activation, **options)
        _only_sigmoid(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    def build(self, input_shape: Any) -> None:
        """Make the two kernels and the bias."""
        super().build(input_shape)
        if self.use_bias and self.unit_forget_bias:
            bias = np.array(self.bias.numpy())  # type: ignore[attr-defined]
            bias[self.units : 2 * self.units] = 1
            put(self.bias, bias)  # type: ignore[attr-defined]


@known
class GRU(_Recurrent):
    """The gated recurrent unit; the gates z, r, h stand side by side in the kernels.

    Only reset_after=True, today's default: bias is (2, 3 · units), of the input and of the state.
    Source: Cho et al., 2014, arXiv:1406.1078.
    """

    kind = "gru"
    order = (1, 0, 2)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, activation, **options)
        _only_sigmoid(recurrent_activation)
        if not reset_after:
            raise ValueError("GRU has reset_after=True here, the form of Keras's fast kernels")

    def _bias_shape(self, gates: int) -> tuple[int, ...]:
        return (2, gates)

    def _biases(self, bias: Tensor) -> list[Tensor]:
        return [self._ordered(bias[0]), self._ordered(bias[1])]


def _only_sigmoid(activation: Any) -> None:
    if activations.get(activation) is not activations.sigmoid:
        raise ValueError(f"recurrent_activation is 'sigmoid' here, got {activation!r}")


@known
class Embedding(Layer):
    """A trained vector for each symbol: whole numbers (N, steps) to (N, steps, output_dim).

    mask_zero: symbol 0 is padding, which the recurrent layers after it leave out.
    """

    autocast = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        input_length: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.input_dim = positive("input_dim", input_dim)
        self.output_dim = positive("output_dim", output_dim)
        self.rules = (embeddings_initializer, embeddings_regularizer, embeddings_constraint)
        self.mask_zero = mask_zero
        if input_length is not None and self.given_shape is None:
            self.given_shape = (input_length,)

    def build(self, input_shape: Any) -> None:
        """Make the vectors."""
        start, regularizer, constraint = self.rules
        shape = (self.input_dim, self.output_dim)
        self.add_weight("embeddings", shape, None, start, regularizer, constraint=constraint)

    def call(self, inputs: Tensor) -> Tensor:
        """The vectors."""
        from glubina.nn.embedding import embedding

        whole = inputs if inputs.dtype.kind in "iu" else inputs.astype(np.int32)
        return embedding(whole, self.embeddings)  # type: ignore[attr-defined]

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """Where a symbol is no padding."""
        return inputs != 0 if self.mask_zero else None


class _Wrapper(Layer):
    """A layer around another one."""

    def __init__(self, layer: Layer, **options: Any) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"{type(self).__name__} wraps a layer, got {type(layer).__name__}")
        super().__init__(**options)
        self.layer = layer
        if self.given_shape is None:
            self.given_shape = layer.given_shape


@known
class TimeDistributed(_Wrapper):
    """The same layer on every step: (N, steps, ...) to (N, steps, ...)."""

    def call(self, inputs: Tensor) -> Tensor:
        """The layer's outputs for all steps."""
        if len(inputs.shape) < 3:
            raise ShapeError(f"expected input of shape (N, steps, ...), got {inputs.shape}")
        rows, steps = inputs.shape[:2]
        y = self.layer(inputs.reshape((rows * steps, *inputs.shape[2:])))
        return y.reshape((rows, steps, *y.shape[1:]))  # type: ignore[no-any-return]


@known
class Bidirectional(_Wrapper):
    """A recurrent layer in both directions; merge_mode: 'concat', 'sum', 'mul', 'ave' or None."""

    def __init__(self, layer: Layer, merge_mode: str | None = "concat", **options: Any) -> None:
        super().__init__(layer, **options)
        if not isinstance(layer, _Recurrent):
            raise TypeError(f"Bidirectional wraps a recurrent layer, got {type(layer).__name__}")
        modes = ("concat", "sum", "mul", "ave", None)
        if merge_mode not in modes:
            raise ValueError(f"merge_mode is one of {modes}, got {merge_mode!r}")
        self.merge_mode = merge_mode
        config = {**layer.config(), "name": f"backward_{layer.name}"}
        self.backward = type(layer)(**{**config, "go_backwards": not layer.go_backwards})

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        """Both directions, merged."""
        forth, back = self.layer(inputs, mask=mask), self.backward(inputs, mask=mask)
        states = []
        if self.layer.return_state:  # type: ignore[attr-defined]
            (forth, *first), (back, *second) = forth, back
            states = [*first, *second]
        if self.layer.return_sequences:  # type: ignore[attr-defined]
            back = flip(back, axis=1)
        y = self._merged(forth, back)
        return [*(y if isinstance(y, list) else [y]), *states] if states else y

    def _merged(self, forth: Tensor, back: Tensor) -> Any:
        if self.merge_mode == "concat":
            return concat([forth, back], axis=-1)
        if self.merge_mode == "mul":
            return forth * back
        if self.merge_mode is None:
            return [forth, back]
        return (forth + back) * (0.5 if self.merge_mode == "ave" else 1.0)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The steps' mask goes on where there are steps."""
        return self.layer.compute_mask(inputs, mask)


__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Embedding",
    "SimpleRNN",
    "TimeDistributed",
]
