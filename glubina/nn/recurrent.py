"""Recurrent layers over whole sequences: RNN, LSTM, GRU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from glubina.graph import IndexRangeError, ShapeError
from glubina.nn import init, recurrence
from glubina.nn.architecture import register
from glubina.nn.checks import MANY, positive, probability, same_dtype, whole_numbers
from glubina.nn.dropout import dropout
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor
from glubina.tensor.creation import tensor as held
from glubina.tensor.ranges import out_of_range


class _Recurrent(Module):
    """What the recurrent layers share: their weights, layers and directions."""

    _kind = "tanh"

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool,
        dropout: float, bidirectional: bool,
    ) -> None:  # fmt: skip
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.num_layers = positive("num_layers", num_layers, MANY)
        self.bias, self.batch_first = bool(bias), batch_first
        self.dropout = probability("dropout", dropout)
        self.bidirectional = bidirectional
        rows = recurrence.GATES[self._kind] * hidden_size
        for layer in range(num_layers):
            features = input_size if layer == 0 else hidden_size * self._directions
            for direction in range(self._directions):
                shapes = [(rows, features), (rows, hidden_size)] + [(rows,)] * (2 * self.bias)
                names = self._names(layer, direction)
                for name, shape in zip(names, shapes, strict=True):
                    setattr(self, name, Parameter.of_shape(shape))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _names(self, layer: int, direction: int) -> list[str]:
        """The names of a layer's parameters in one direction."""
        stems = ["weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ())]
        return [f"{stem}_l{layer}{'_reverse' * direction}" for stem in stems]

    def reset_parameters(self) -> None:
        """Draw all weights and biases anew, uniform in ±1/√hidden_size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _run(
        self, x: Tensor, initial: tuple[Tensor, ...], lengths: Any
    ) -> tuple[Tensor, list[Tensor]]:
        """The last layer's outputs, and each state after the last step."""
        same_dtype(x, self.weight_ih_l0)  # type: ignore[attr-defined]
        single = len(x.shape) == 2
        batch_axis = 0 if self.batch_first else 1
        if len(x.shape) not in (2, 3) or x.shape[-1] != self.input_size:
            axes = "(batch, steps" if self.batch_first else "(steps, batch"
            raise ShapeError(
                f"expected input of shape {axes}, {self.input_size}) or (steps, "
                f"{self.input_size}), got {x.shape}"
            )
        if single:
            x = apply(recurrence.with_axis, x, settings=(batch_axis,))
            initial = tuple(apply(recurrence.with_axis, s, settings=(1,)) for s in initial)
        batch = x.shape[batch_axis]
        self._check_states(initial, batch, single)
        limits = None if lengths is None else _lengths(lengths, batch, x.shape[1 - batch_axis])
        if self.batch_first:
            x = apply(recurrence.steps_first, x)
        y, finals = self._layers(x, initial, limits)
        if self.batch_first:
            y = apply(recurrence.steps_first, y)
        if single:
            y = apply(recurrence.without_axis, y, settings=(batch_axis,))
            finals = [apply(recurrence.without_axis, s, settings=(1,)) for s in finals]
        return y, finals

    def _check_states(self, initial: tuple[Tensor, ...], batch: int, single: bool) -> None:
        count = self.num_layers * self._directions
        for name, state in zip(("h_0", "c_0"), initial, strict=False):
            same_dtype(state, self.weight_hh_l0)  # type: ignore[attr-defined]
            if state.shape != (count, batch, self.hidden_size):
                got = (state.shape[0], *state.shape[2:]) if single else state.shape
                wanted = (count, *(() if single else (batch,)), self.hidden_size)
                raise ShapeError(
                    f"expected {name} of shape {wanted} (layers · directions"
                    f"{'' if single else ', batch'}, hidden_size), got {got}"
                )

    def _layers(
        self, x: Tensor, initial: tuple[Tensor, ...], lengths: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        finals: list[list[Tensor]] = [[] for _ in range(recurrence.state_count(self._kind))]
        for layer in range(self.num_layers):
            if layer:
                x = dropout(x, self.dropout, self.training)
            outputs = []
            for direction in range(self._directions):
                number = layer * self._directions + direction
                tensors = [x, *(getattr(self, n) for n in self._names(layer, direction))]
                tensors += [apply(recurrence.row, s, settings=(number,)) for s in initial]
                tensors += [] if lengths is None else [lengths]
                given = (self.bias, bool(initial), lengths is not None, direction == 1)
                outputs.append(self._result(tensors, -1, given))
                for which, states in enumerate(finals):
                    states.append(self._result(tensors, which, given))
            x = outputs[0] if len(outputs) == 1 else apply(recurrence.side_by_side, *outputs)
        return x, [apply(recurrence.one_above_another, *states) for states in finals]

    def _result(self, tensors: list[Tensor], which: int, given: tuple[bool, ...]) -> Tensor:
        return apply(recurrence.sequence, *tensors, settings=(self._kind, which, *given))

    def flatten_parameters(self) -> None:
        """Nothing is to be done: how weights lie in memory is the compiler's concern (PyTorch)."""

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False,
        }  # fmt: skip
        parts += [
            f"{name}={getattr(self, name)}"
            for name, value in defaults.items()
            if getattr(self, name) != value
        ]
        return ", ".join(parts)


def _lengths(lengths: Any, batch: int, steps: int) -> Tensor:
    """The sequences' lengths as a tensor of whole numbers (batch,)."""
    if isinstance(lengths, Tensor):
        tensor: Tensor = lengths
    else:
        array = np.asarray(lengths)
        if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() > steps):
            raise ValueError(f"lengths must be whole numbers from 0 to {steps}, got {lengths!r}")
        tensor = held(array.astype(np.int64))
    whole_numbers(tensor)
    if tensor.shape != (batch,):
        raise ShapeError(f"expected lengths of shape ({batch},), got {tensor.shape}")
    wrong = out_of_range(tensor, 0, steps + 1)
    if wrong is not None:
        raise IndexRangeError(f"length {wrong} is none of a sequence of {steps} steps")
    whole: Tensor = tensor if tensor.dtype == np.int64 else tensor.astype(np.int64)
    return whole


@register
class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), in each of `num_layers` layers.

    nonlinearity: 'tanh' or 'relu'. batch_first: sequences are (batch, steps, features) instead of
    (steps, batch, features). dropout: between layers, in training. bidirectional: a second
    recurrence runs from the last step to the first, and both outputs stand side by side.

    weight_ih_l[k]: (hidden_size, features of layer k); weight_hh_l[k]: (hidden_size, hidden_size);
    bias_ih_l[k], bias_hh_l[k]: (hidden_size,); with `_reverse` those of the other direction. All
    are drawn uniformly from ±1/√hidden_size. Source: Elman, "Finding Structure in Time", 1990.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = self._kind = nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )

    def forward(
        self, x: Tensor, h_0: Tensor | None = None, lengths: Any = None
    ) -> tuple[Tensor, Tensor]:
        """The outputs of all steps, and the states after the last.

        x: (steps, batch, input_size), or without the batch axis. h_0: (layers · directions, batch,
        hidden_size), zeros unless given. lengths: (batch,), where sequences are shorter than x:
        their outputs beyond are zero, and their final state is that of their own last step.

        Returns y: (steps, batch, directions · hidden_size) and h_n, shaped as h_0.
        """
        y, (h,) = self._run(x, () if h_0 is None else (h_0,), lengths)
        return y, h

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        end = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().extra_repr() + end


@register
class GRU(_Recurrent):
    """The gated recurrent unit.

    r = σ(W_ir x + b_ir + W_hr h + b_hr);  z = σ(W_iz x + b_iz + W_hz h + b_hz);
    n = tanh(W_in x + b_in + r · (W_hn h + b_hn));  h' = (1 − z) · n + z · h.

    The arguments are those of `RNN` (without nonlinearity), and so are the parameters, with the
    rows of r, z, n one after another: weight_ih_l[k] is (3 · hidden_size, features).
    Source: Cho et al., 2014, arXiv:1406.1078 (with the reset gate after the product).
    """

    _kind = "gru"

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )

    def forward(
        self, x: Tensor, h_0: Tensor | None = None, lengths: Any = None
    ) -> tuple[Tensor, Tensor]:
        """As `RNN.forward`: the outputs of all steps, and the states after the last."""
        y, (h,) = self._run(x, () if h_0 is None else (h_0,), lengths)
        return y, h


@register
class LSTM(_Recurrent):
    """Long short-term memory.

    i = σ(W_ii x + b_ii + W_hi h + b_hi), and likewise f and o;  g = tanh(W_ig x + b_ig + W_hg h
    + b_hg);  c' = f · c + i · g;  h' = o · tanh(c').

    The arguments are those of `RNN` (without nonlinearity), and so are the parameters, with the
    rows of i, f, g, o one after another: weight_ih_l[k] is (4 · hidden_size, features).
    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; the forget gate is by Gers
    et al., 2000.
    """

    _kind = "lstm"

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )

    def forward(
        self, x: Tensor, states: tuple[Tensor, Tensor] | None = None, lengths: Any = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The outputs of all steps, and the states (h_n, c_n) after the last.

        x: (steps, batch, input_size), or without the batch axis. states: (h_0, c_0), both
        (layers · directions, batch, hidden_size), zeros unless given. lengths: as in `RNN`.
        """
        y, (h, c) = self._run(x, () if states is None else tuple(states), lengths)
        return y, (h, c)
