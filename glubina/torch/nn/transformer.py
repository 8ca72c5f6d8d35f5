"""`nn.Transformer`: encoder and decoder together (Vaswani et al., 2017, arXiv:1706.03762)."""

from __future__ import annotations

from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.torch.nn import init
from glubina.torch.nn.layers import LAYERS
from glubina.torch.nn.module import Module
from glubina.torch.tensor import faced


class Transformer(Module):
    """An encoder of the source, and a decoder of the target that looks at it.

    Lengths come first, (length, batch, d_model), unless batch_first. Each part ends in a
    normalisation; weights of more than one axis are drawn by Xavier's rule.
    """

    encoder: Any
    decoder: Any

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6,
        num_decoder_layers: int = 6, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: Any = "relu", custom_encoder: Any = None, custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False,
        bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        layer = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        more = {"batch_first": batch_first, "norm_first": norm_first, "bias": bias}
        for part, count, custom in (
            ("Encoder", num_encoder_layers, custom_encoder),
            ("Decoder", num_decoder_layers, custom_decoder),
        ):
            if custom is None:
                norm = LAYERS["LayerNorm"](d_model, eps=layer_norm_eps, bias=bias)
                one = LAYERS[f"Transformer{part}Layer"](*layer, **more)
                custom = LAYERS[f"Transformer{part}"](one, count, norm)
            setattr(self, part.lower(), custom)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)
        if dtype is not None:
            self.to(dtype)

    def forward(
        self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None,
        memory_mask: Any = None, src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """The shape of tgt; masks as `nn.MultiheadAttention` takes them."""
        memory = self.encoder(src, src_mask, src_key_padding_mask, bool(src_is_causal))
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        return faced(self.decoder(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal))

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """A mask (sz, sz) to be added: −∞ where a key comes after the query, else 0."""
        return faced(gl.tensor(np.triu(np.full((sz, sz), -np.inf, dtype or np.float32), 1)))
