"""A recurrent network that reads text letter by letter and says what comes next."""

from __future__ import annotations

from glubina.models.registry import add
from glubina.nn import LSTM, Embedding, Linear, Module
from glubina.nn.architecture import register
from glubina.tensor import Tensor, zeros


@register
class CharLSTM(Module):
    """Embedding, LSTM layers, a linear layer: symbols (N, L) to logits (N, L, num_symbols).

    The logits at a step are of the next symbol. width: of the embedding; hidden: of each of the
    `layers`; dropout: between layers. Source: Graves, 2013, arXiv:1308.0850.
    """

    def __init__(
        self,
        num_symbols: int = 128,
        width: int = 64,
        hidden: int = 256,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        self.embedding = Embedding(num_symbols, width)
        self.lstm = LSTM(width, hidden, layers, batch_first=True, dropout=dropout)
        self.head = Linear(hidden, num_symbols)

    def forward(self, x: Tensor) -> Tensor:
        """From whole numbers (N, L) to (N, L, num_symbols)."""
        return self.continued(x)[0]

    def continued(
        self, x: Tensor, states: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The logits, and the states to go on with; `states` are those of the text before."""
        y, after = self.lstm(self.embedding(x), states)
        return self.head(y), after

    def begin(self, batch: int) -> tuple[Tensor, Tensor]:
        """The states before any text: zeros."""
        shape = (self.lstm.num_layers, batch, self.lstm.hidden_size)
        dtype = self.head.weight.dtype
        return zeros(shape, dtype=dtype), zeros(shape, dtype=dtype)


add("char-lstm", CharLSTM, "Graves, 2013, arXiv:1308.0850", (128,), "int64")
