"""Bags of symbols: the sum, the mean or the largest of their vectors."""

from __future__ import annotations

from typing import Any

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn import init
from glubina.nn.architecture import register
from glubina.nn.checks import positive, whole_numbers
from glubina.nn.formula import apply, scaled
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor

MODES = ("sum", "mean", "max")


@Formula
def _rows(mode: str, indices: Node, weight: Node, *factors: Node) -> Node:
    """Bags of equal size, one a row."""
    vectors = ops.take(weight, indices, 0)
    if factors:
        vectors = ops.multiply(vectors, ops.restored(factors[0], (2,), vectors.shape))
    if mode == "max":
        return ops.max(vectors, (1,))
    total = ops.sum(vectors, (1,))
    return scaled(total, 1 / indices.shape[1]) if mode == "mean" else total


@Formula
def _between(mode: str, indices: Node, offsets: Node, weight: Node, *factors: Node) -> Node:
    """Bags one after the other: that of a symbol is the last one that begins at it or before."""
    (n,), (bags,) = indices.shape, offsets.shape
    begins = ops.broadcast(ops.reshape(offsets, (1, bags)), (n, bags))
    reached = ops.less_equal(begins, ops.iota((n, bags), 0, offsets.dtype))
    bag = ops.sum(ops.cast(reached, offsets.dtype), (1,))
    bag = ops.subtract(bag, ops.full_like(bag, 1))
    vectors = ops.take(weight, indices, 0)
    if factors:
        vectors = ops.multiply(vectors, ops.restored(factors[0], (1,), vectors.shape))
    total = ops.scatter_add(bag, vectors, (bags, weight.shape[1]), 0)
    if mode == "sum":
        return total
    one = ops.broadcast(ops.constant(1, weight.dtype), (n,))
    counts = ops.scatter_add(bag, one, (bags,), 0)
    counts = ops.maximum(counts, ops.full_like(counts, 1))
    return ops.divide(total, ops.restored(counts, (1,), total.shape))


def embedding_bag(
    x: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    mode: str = "mean",
    per_sample_weights: Tensor | None = None,
) -> Tensor:
    """The sum, the mean or the largest of the vectors of each bag: (bags, width).

    x: symbols (bags, symbols in each), or all of them in one row with `offsets`, the places where
    the bags begin (the first is 0; an empty bag gives zeros). weight: (symbols, width).
    per_sample_weights: a factor for each symbol, with "sum" only.
    """
    whole_numbers(x)
    if mode not in MODES:
        raise ValueError(f"mode is 'sum', 'mean' or 'max', got {mode!r}")
    if per_sample_weights is not None and mode != "sum":
        raise ValueError(f"per_sample_weights need mode 'sum', got {mode!r}")
    if len(x.shape) != (2 if offsets is None else 1):
        wanted = "(bags, symbols)" if offsets is None else "(symbols,) with offsets"
        raise ShapeError(f"expected symbols of shape {wanted}, got {x.shape}")
    factors: Any = () if per_sample_weights is None else (per_sample_weights,)
    if factors and factors[0].shape != x.shape:
        raise ShapeError(f"expected per_sample_weights {x.shape}, got {factors[0].shape}")
    if offsets is None:
        return apply(_rows, x, weight, *factors, settings=(mode,))
    if mode == "max":
        raise ValueError("mode 'max' needs bags of equal size: symbols of shape (bags, symbols)")
    whole_numbers(offsets)
    return apply(_between, x, offsets, weight, *factors, settings=(mode,))


@register
class EmbeddingBag(Module):
    """A vector for each of `num_embeddings` symbols, of which whole bags are summed or averaged.

    weight: (num_embeddings, embedding_dim), drawn from the standard normal distribution. See
    `embedding_bag`.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, mode: str = "mean") -> None:
        self.num_embeddings = positive("num_embeddings", num_embeddings)
        self.embedding_dim = positive("embedding_dim", embedding_dim)
        if mode not in MODES:
            raise ValueError(f"mode is 'sum', 'mean' or 'max', got {mode!r}")
        self.mode = mode
        self.weight = Parameter.of_shape((num_embeddings, embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        init.normal_(self.weight)

    def forward(
        self, x: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        """From symbols (bags, symbols), or (symbols,) and offsets, to (bags, embedding_dim)."""
        return embedding_bag(x, self.weight, offsets, self.mode, per_sample_weights)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
