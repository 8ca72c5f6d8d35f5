"""A small GPT: a transformer that says what comes next."""

from __future__ import annotations

import math

from glubina.graph import ShapeError
from glubina.models.registry import add
from glubina.nn import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    ModuleList,
    Parameter,
    TransformerEncoderLayer,
    init,
)
from glubina.nn.architecture import register
from glubina.nn.checks import positive
from glubina.nn.functional import linear
from glubina.tensor import Tensor


@register
class GPT(Module):
    """Transformer layers with causal attention: symbols (N, T) to logits (N, T, num_symbols).

    context: the most symbols that it can look at, T is at most that. Normalisation stands before
    each part, the feed-forward part is 4 · width wide with GELU, positions are learned, and the
    last layer's weight is that of the embedding. `GPT(50257, 1024, 768, 12, 12)` is GPT-2, with
    124,439,808 parameters; the defaults are a size for letters.

    Source: Radford et al., "Language models are unsupervised multitask learners", 2019; the
    drawing of the weights is theirs too.
    """

    def __init__(
        self,
        num_symbols: int = 65,
        context: int = 256,
        width: int = 384,
        layers: int = 6,
        heads: int = 6,
        dropout: float = 0.2,
    ) -> None:
        self.context = positive("context", context)
        self.embedding = Embedding(num_symbols, width)
        self.positions = Parameter.of_shape((context, width))
        self.dropout = Dropout(dropout)
        self.layers = ModuleList(
            [
                TransformerEncoderLayer(
                    width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(positive("layers", layers))
            ]
        )
        self.norm = LayerNorm(width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew: deviation 0.02, less at the end of residual branches."""
        for name, parameter in self.named_parameters():
            if name.endswith(("out_proj.weight", "linear2.weight")):
                init.normal_(parameter, 0, 0.02 / math.sqrt(2 * len(self.layers)))
            elif len(parameter.shape) > 1:
                init.normal_(parameter, 0, 0.02)
        for module in self.modules():
            if isinstance(module, Linear) and module.bias is not None:
                init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """From whole numbers (N, T) to (N, T, num_symbols)."""
        if len(x.shape) != 2 or not 1 <= x.shape[1] <= self.context:
            raise ShapeError(
                f"expected symbols of shape (N, T) with T from 1 to {self.context}, the context; "
                f"got {x.shape}"
            )
        y = self.dropout(self.embedding(x) + self.positions[: x.shape[1]])
        for layer in self.layers:
            y = layer(y, is_causal=True)
        return linear(self.norm(y), self.embedding.weight)


add("gpt-small", GPT, "Radford et al., 2019", (256,), "int64")
