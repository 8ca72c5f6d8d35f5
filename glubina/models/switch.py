"""A transformer whose feed-forward parts are mixtures of experts."""

from __future__ import annotations

from glubina.graph import ShapeError
from glubina.models.registry import add
from glubina.nn import Embedding, LayerNorm, Linear, Module, ModuleList, MultiheadAttention
from glubina.nn.architecture import register
from glubina.nn.blocks import SwitchFeedForward
from glubina.nn.checks import positive
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor


class _Layer(Module):
    """Causal attention, then the experts, each added to its input."""

    def __init__(self, width: int, heads: int, hidden: int, experts: int, room: float) -> None:
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.attention = MultiheadAttention(width, heads, batch_first=True)
        self.experts = SwitchFeedForward(width, hidden, experts, room)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same shape, and the load-balancing loss."""
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False, is_causal=True)[0]
        y, balance = self.experts(self.norm2(x))
        return x + y, balance


@register
class SwitchTransformer(Module):
    """Symbols (N, T) to logits (N, T, num_symbols) of the next ones, with a choice of experts.

    `forward` gives the logits alone; `with_balance` gives the mean of the layers' load-balancing
    losses too, which is to be added to the loss with a factor of about 0.01. See
    `SwitchFeedForward`. Only one expert of each layer works on a symbol, so more experts make
    the network larger, not slower.

    Source: Fedus, Zoph and Shazeer, 2021, arXiv:2101.03961 (there an encoder and decoder).
    """

    def __init__(
        self,
        num_symbols: int = 65,
        context: int = 128,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        experts: int = 8,
        hidden: int = 512,
        capacity_factor: float = 1.25,
    ) -> None:
        self.context = positive("context", context)
        self.embedding = Embedding(num_symbols, width)
        self.positions = Parameter.of_shape((context, width))
        self.layers = ModuleList(
            [_Layer(width, heads, hidden, experts, capacity_factor) for _ in range(layers)]
        )
        self.norm = LayerNorm(width)
        self.head = Linear(width, num_symbols)

    def forward(self, x: Tensor) -> Tensor:
        """From whole numbers (N, T) to (N, T, num_symbols)."""
        return self.with_balance(x)[0]

    def with_balance(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the load-balancing loss, 1 where the load is even."""
        if len(x.shape) != 2 or not 1 <= x.shape[1] <= self.context:
            raise ShapeError(
                f"expected symbols of shape (N, T) with T from 1 to {self.context}, the context; "
                f"got {x.shape}"
            )
        y = self.embedding(x) + self.positions[: x.shape[1]]
        total: Tensor | None = None
        for layer in self.layers:
            y, balance = layer(y)
            total = balance if total is None else total + balance
        assert total is not None
        return self.head(self.norm(y)), total * (1 / len(self.layers))


add("switch-small", SwitchTransformer, "Fedus et al., 2021, arXiv:2101.03961", (128,), "int64")
