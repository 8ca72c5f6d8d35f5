"""Layers of the transformer, and stacks of them (Vaswani et al., 2017, arXiv:1706.03762)."""

from __future__ import annotations

import copy
from collections.abc import Callable

from glubina.nn.activation import relu
from glubina.nn.architecture import register
from glubina.nn.checks import MANY
from glubina.nn.containers import ModuleList
from glubina.nn.dropout import Dropout
from glubina.nn.linear import Linear
from glubina.nn.module import Module
from glubina.nn.multihead import MultiheadAttention
from glubina.nn.normalisation import LayerNorm
from glubina.nn.smooth import gelu
from glubina.tensor import Tensor
from glubina.tensor.arguments import whole

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "gelu": gelu}

Activation = str | Callable[[Tensor], Tensor]


def _activation(given: Activation) -> Callable[[Tensor], Tensor]:
    if isinstance(given, str):
        if given not in ACTIVATIONS:
            raise ValueError(f"activation is 'relu', 'gelu' or a function, got {given!r}")
        return ACTIVATIONS[given]
    return given


class _Layer(Module):
    """What encoder and decoder layers share: attention to itself, and the feed-forward part."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self._more(d_model, nhead, dropout, bias, batch_first)
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        self.norm_first = norm_first
        for i in range(1, self._parts + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias))
        for i in range(1, self._parts + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    _parts = 2

    def _more(
        self, d_model: int, nhead: int, dropout: float, bias: bool, batch_first: bool
    ) -> None:
        """Further attention."""

    def _step(self, x: Tensor, number: int, part: Callable[[Tensor], Tensor]) -> Tensor:
        """x + dropout(part(x)), normalised before the part or after the sum."""
        norm, dropout = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        if self.norm_first:
            result: Tensor = x + dropout(part(norm(x)))
        else:
            result = norm(x + dropout(part(x)))
        return result

    def _feed_forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return result

    def extra_repr(self) -> str:
        """What is not the default."""
        return "norm_first=True" if self.norm_first else ""


@register
class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward part, each added to its input and normalised.

    norm_first: normalise before each part instead of after the sum. activation: "relu", "gelu" or
    a function. batch_first=False (PyTorch's default): (length, batch, d_model).
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The same shape; masks as `MultiheadAttention` takes them."""

        def attention(x: Tensor) -> Tensor:
            result: Tensor = self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )[0]
            return result

        return self._step(self._step(src, 1, attention), 2, self._feed_forward)


@register
class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to an encoder's result, and a feed-forward part.

    The arguments are those of `TransformerEncoderLayer`.
    """

    _parts = 3

    def _more(
        self, d_model: int, nhead: int, dropout: float, bias: bool, batch_first: bool
    ) -> None:
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first
        )

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The shape of tgt; memory: the encoder's result."""

        def itself(x: Tensor) -> Tensor:
            result: Tensor = self.self_attn(
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
            )[0]
            return result

        def other(x: Tensor) -> Tensor:
            result: Tensor = self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask,
                is_causal=memory_is_causal,
            )[0]  # fmt: skip
            return result

        x = self._step(self._step(tgt, 1, itself), 2, other)
        return self._step(x, 3, self._feed_forward)


def _copies(layer: Module, count: int) -> ModuleList:
    count = whole("num_layers", count, 0, MANY)
    return ModuleList(copy.deepcopy(layer) for _ in range(count))


@register
class TransformerEncoder(Module):
    """`num_layers` copies of a layer, one after another, and a last normalisation if given."""

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = _copies(encoder_layer, num_layers)
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The same shape; every layer gets the masks."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)


@register
class TransformerDecoder(Module):
    """`num_layers` copies of a layer, one after another, and a last normalisation if given."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = _copies(decoder_layer, num_layers)
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The shape of tgt; every layer gets the memory and the masks."""
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask,
                memory_key_padding_mask, tgt_is_causal, memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)
