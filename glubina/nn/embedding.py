"""The embedding: a trained vector for each of a number of symbols."""

from __future__ import annotations

import numpy as np

from glubina.graph import IndexRangeError, Node, ops
from glubina.graph.ops import Formula
from glubina.nn import init
from glubina.nn.architecture import register
from glubina.nn.checks import positive, whole_numbers
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter, put
from glubina.tensor import Tensor
from glubina.tensor.ranges import out_of_range


@Formula
def _embedding(padding: int, indices: Node, weight: Node) -> Node:
    """Rows of the weight; those of the padding symbol give it no gradient."""
    rows = ops.take(weight, indices, 0)
    if padding < 0:
        return rows
    is_padding = ops.equal(indices, ops.full_like(indices, padding))
    wide = ops.broadcast(ops.reshape(is_padding, (*indices.shape, 1)), rows.shape)
    return ops.where(wide, ops.detach(rows), rows)


_embedding.indices = "symbol", "symbols"


def embedding(x: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of weight (symbols, width) that the whole numbers x (...) name: (..., width).

    padding_idx: a symbol whose row gets no gradient. IndexRangeError for a symbol that is none.
    """
    whole_numbers(x)
    padding = -1 if padding_idx is None else symbol(padding_idx, weight.shape[0])
    symbols = weight.shape[0]
    wrong = out_of_range(x, 0, symbols)
    if wrong is not None:
        raise IndexRangeError(
            f"symbol {wrong} is out of range: {symbols} symbols have the numbers 0 to {symbols - 1}"
        )
    return apply(_embedding, x, weight, settings=(padding,))


def symbol(padding_idx: int, symbols: int) -> int:
    """The number of the padding symbol, counted from the first; ValueError if it is none."""
    if type(padding_idx) is bool or not isinstance(padding_idx, (int, np.integer)):
        raise TypeError(f"padding_idx must be a whole number or None, got {padding_idx!r}")
    if not -symbols <= padding_idx < symbols:
        raise ValueError(f"padding_idx {padding_idx} is none of {symbols} symbols")
    return int(padding_idx) % symbols


def draw_rows(weight: Parameter, padding_idx: int | None) -> None:
    """Draw vectors from the standard normal distribution; that of the padding symbol is zero."""
    init.normal_(weight)
    if padding_idx is not None:
        values = np.array(weight.numpy())
        values[padding_idx] = 0
        put(weight, values)


@register
class Embedding(Module):
    """A vector of `embedding_dim` numbers for each of `num_embeddings` symbols.

    padding_idx: a symbol whose vector is zero and is not trained. weight: (num_embeddings,
    embedding_dim), drawn from the standard normal distribution.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        self.num_embeddings = positive("num_embeddings", num_embeddings)
        self.embedding_dim = positive("embedding_dim", embedding_dim)
        self.padding_idx = None if padding_idx is None else symbol(padding_idx, num_embeddings)
        self.weight = Parameter.of_shape((num_embeddings, embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        draw_rows(self.weight, self.padding_idx)

    def forward(self, x: Tensor) -> Tensor:
        """From symbols (...), whole numbers, to vectors (..., embedding_dim)."""
        return embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes."""
        end = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{end}"
