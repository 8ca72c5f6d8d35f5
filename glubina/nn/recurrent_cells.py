"""Single steps of recurrent networks, for loops of one's own: RNNCell, LSTMCell, GRUCell."""

from __future__ import annotations

import math

from glubina.graph import ShapeError
from glubina.nn import init, recurrence
from glubina.nn.architecture import register
from glubina.nn.checks import positive, same_dtype
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor


class _Cell(Module):
    """What the cells share."""

    _kind = "tanh"

    def __init__(self, input_size: int, hidden_size: int, bias: bool) -> None:
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        rows = recurrence.GATES[self._kind] * hidden_size
        self.weight_ih = Parameter.of_shape((rows, input_size))
        self.weight_hh = Parameter.of_shape((rows, hidden_size))
        self.bias_ih = Parameter.of_shape((rows,)) if bias else None
        self.bias_hh = Parameter.of_shape((rows,)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights and biases anew, uniform in ±1/√hidden_size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        same_dtype(x, self.weight_ih)
        single = len(x.shape) == 1
        if len(x.shape) not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(f"expected input of shape (batch, {self.input_size}), got {x.shape}")
        wanted = (*x.shape[:-1], self.hidden_size)
        for state in states:
            same_dtype(state, self.weight_hh)
            if state.shape != wanted:
                raise ShapeError(f"expected states of shape {wanted}, got {state.shape}")
        if single:
            x, *rest = (apply(recurrence.with_axis, t, settings=(0,)) for t in (x, *states))
            states = tuple(rest)
        weights = [self.weight_ih, self.weight_hh]
        weights += [b for b in (self.bias_ih, self.bias_hh) if b is not None]
        after = [
            apply(
                recurrence.cell, x, *weights, *states,
                settings=(self._kind, which, self.bias_ih is not None),
            )
            for which in range(recurrence.state_count(self._kind))
        ]  # fmt: skip
        if single:
            after = [apply(recurrence.without_axis, t, settings=(0,)) for t in after]
        return tuple(after)

    def extra_repr(self) -> str:
        """The sizes."""
        end = "" if self.bias_ih is not None else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{end}"


@register
class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh); 'relu' instead of tanh if asked for.

    weight_ih: (hidden_size, input_size); weight_hh: (hidden_size, hidden_size); bias_ih, bias_hh:
    (hidden_size,); all drawn uniformly from ±1/√hidden_size.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh"
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = self._kind = nonlinearity
        super().__init__(input_size, hidden_size, bias)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """From x (batch, input_size) and h (batch, hidden_size; zeros unless given) to h'."""
        return self._step(x, () if h is None else (h,))[0]

    def extra_repr(self) -> str:
        """The sizes."""
        end = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().extra_repr() + end


@register
class GRUCell(_Cell):
    """One step of `GRU`, with its formula; the rows of r, z, n stand one after another."""

    _kind = "gru"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """From x (batch, input_size) and h (batch, hidden_size; zeros unless given) to h'."""
        return self._step(x, () if h is None else (h,))[0]


@register
class LSTMCell(_Cell):
    """One step of `LSTM`, with its formula; the rows of i, f, g, o stand one after another."""

    _kind = "lstm"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)

    def forward(
        self, x: Tensor, states: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """From x (batch, input_size) and (h, c), both (batch, hidden_size), to (h', c')."""
        h, c = self._step(x, () if states is None else tuple(states))
        return h, c
