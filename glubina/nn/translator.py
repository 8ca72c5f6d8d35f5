"""The whole transformer of the paper: an encoder, and a decoder that attends to its result."""

from __future__ import annotations

import numpy as np

from glubina.graph import ShapeError
from glubina.nn import init
from glubina.nn.architecture import register
from glubina.nn.module import Module
from glubina.nn.normalisation import LayerNorm
from glubina.nn.transformer import (
    Activation,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from glubina.tensor import Tensor
from glubina.tensor.creation import tensor as held


@register
class Transformer(Module):
    """Encoder and decoder, for instance to translate: (S, N, d) and (T, N, d) to (T, N, d).

    With batch_first (N, S, d) and (N, T, d). Weights are drawn by Xavier and Glorot's rule. Source:
    Vaswani et al., 2017, arXiv:1706.03762.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        given = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        more = batch_first, norm_first, bias
        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*given, *more),
            num_encoder_layers,
            LayerNorm(d_model, layer_norm_eps, bias=bias),
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*given, *more),
            num_decoder_layers,
            LayerNorm(d_model, layer_norm_eps, bias=bias),
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the matrices anew."""
        for parameter in self.parameters():
            if len(parameter.shape) > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The shape of tgt; masks as in the layers."""
        for name, x in (("src", src), ("tgt", tgt)):
            if x.shape[-1:] != (self.d_model,):
                raise ShapeError(f"expected {name} of shape (..., {self.d_model}), got {x.shape}")
        memory = self.encoder(src, src_mask, src_key_padding_mask, bool(src_is_causal))
        result: Tensor = self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            bool(tgt_is_causal), memory_is_causal,
        )  # fmt: skip
        return result

    @staticmethod
    def generate_square_subsequent_mask(size: int) -> Tensor:
        """(size, size) of 0 where step j ≤ i may be looked at, −∞ where it lies in the future."""
        return held(np.triu(np.full((size, size), -np.inf, np.float32), 1))
