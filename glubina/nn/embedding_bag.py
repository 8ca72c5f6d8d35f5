"""Bags of symbols: the sum, the mean or the largest of their vectors."""

from __future__ import annotations

import math
from typing import Any

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import positive, whole_numbers
from glubina.nn.embedding import draw_rows, symbol
from glubina.nn.formula import apply, scaled
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor

MODES = ("sum", "mean", "max")


@Formula
def _rows(mode: str, padding: int, indices: Node, weight: Node, *factors: Node) -> Node:
    """Bags of equal size, one a row."""
    vectors = _scaled(ops.take(weight, indices, 0), (2,), factors)
    counts = None if padding < 0 else _counts(indices, padding)
    if mode == "max":
        return _largest(vectors, counts)
    if counts is None:
        total = ops.sum(vectors, (1,))
        return scaled(total, 1 / max(indices.shape[1], 1)) if mode == "mean" else total
    total = ops.sum(_kept(counts, vectors, 0.0), (1,))
    return _mean(total, counts) if mode == "mean" else total


@Formula
def _between(
    mode: str, padding: int, indices: Node, offsets: Node, weight: Node, *factors: Node
) -> Node:
    """Bags one after the other: that of a symbol is the last one that begins at it or before."""
    (n,), (bags,) = indices.shape, offsets.shape
    begins = ops.broadcast(ops.reshape(offsets, (1, bags)), (n, bags))
    reached = ops.less_equal(begins, ops.iota((n, bags), 0, offsets.dtype))
    bag = ops.sum(ops.cast(reached, offsets.dtype), (1,))
    bag = ops.subtract(bag, ops.full_like(bag, 1))
    vectors = _scaled(ops.take(weight, indices, 0), (1,), factors)
    there = None if padding < 0 else _counts(indices, padding)
    if mode == "max":  # of all vectors, those of other bags left out
        own = ops.equal(
            ops.broadcast(ops.reshape(bag, (1, n)), (bags, n)), ops.iota((bags, n), 0, bag.dtype)
        )
        if there is not None:
            own = ops.logical_and(own, ops.restored(there, (0,), own.shape))
        return _largest(ops.restored(vectors, (0,), (bags, *vectors.shape)), own)
    if there is not None:
        vectors = _kept(there, vectors, 0.0)
    total = ops.scatter_add(bag, vectors, (bags, weight.shape[1]), 0)
    if mode == "sum":
        return total
    one = ops.broadcast(ops.constant(1, weight.dtype), (n,))
    one = one if there is None else ops.cast(there, weight.dtype)
    return _divided(total, ops.scatter_add(bag, one, (bags,), 0))


def _scaled(vectors: Node, axes: tuple[int, ...], factors: tuple[Node, ...]) -> Node:
    """The vectors times their factors, if there are any."""
    if not factors:
        return vectors
    return ops.multiply(vectors, ops.restored(factors[0], axes, vectors.shape))


def _counts(indices: Node, padding: int) -> Node:
    """Which symbols count: those that are not the padding."""
    return ops.not_equal(indices, ops.full_like(indices, padding))


def _kept(there: Node, vectors: Node, otherwise: float) -> Node:
    """The vectors that count, another value in place of the rest."""
    wide = ops.restored(there, (len(vectors.shape) - 1,), vectors.shape)
    return ops.where(wide, vectors, ops.full_like(vectors, otherwise))


def _largest(vectors: Node, there: Node | None) -> Node:
    """The largest over axis 1 of those that count; 0 where none does."""
    if there is None:
        return ops.max(vectors, (1,))
    found = ops.max(_kept(there, vectors, -math.inf), (1,))
    return _kept(ops.max(there, (1,)), found, 0.0)


def _mean(total: Node, there: Node) -> Node:
    return _divided(total, ops.sum(ops.cast(there, total.dtype), (1,)))


def _divided(total: Node, counts: Node) -> Node:
    """Sums by their numbers of elements; those of none are 0."""
    counts = ops.maximum(counts, ops.full_like(counts, 1))
    return ops.divide(total, ops.restored(counts, (1,), total.shape))


def embedding_bag(
    x: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    mode: str = "mean",
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, the mean or the largest of the vectors of each bag: (bags, width).

    x: symbols (bags, symbols in each), or all of them in one row with `offsets`, the places where
    the bags begin (the first is 0; an empty bag gives zeros). weight: (symbols, width).
    per_sample_weights: a factor for each symbol, with "sum" only. include_last_offset: the last of
    the offsets is the end, and no bag begins there. padding_idx: a symbol that does not count.
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
    settings = mode, -1 if padding_idx is None else symbol(padding_idx, weight.shape[0])
    if offsets is None:
        return apply(_rows, x, weight, *factors, settings=settings)
    whole_numbers(offsets)
    begins = offsets[:-1] if include_last_offset else offsets
    return apply(_between, x, begins, weight, *factors, settings=settings)


@register
class EmbeddingBag(Module):
    """A vector for each of `num_embeddings` symbols, of which whole bags are summed or averaged.

    weight: (num_embeddings, embedding_dim), drawn from the standard normal distribution; the row of
    `padding_idx`, which does not count, is zero. See `embedding_bag`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> None:
        self.num_embeddings = positive("num_embeddings", num_embeddings)
        self.embedding_dim = positive("embedding_dim", embedding_dim)
        if mode not in MODES:
            raise ValueError(f"mode is 'sum', 'mean' or 'max', got {mode!r}")
        self.mode, self.include_last_offset = mode, bool(include_last_offset)
        self.padding_idx = None if padding_idx is None else symbol(padding_idx, num_embeddings)
        self.weight = Parameter.of_shape((num_embeddings, embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        draw_rows(self.weight, self.padding_idx)

    def forward(
        self, x: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        """From symbols (bags, symbols), or (symbols,) and offsets, to (bags, embedding_dim)."""
        return embedding_bag(
            x, self.weight, offsets, self.mode, per_sample_weights, self.include_last_offset,
            self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
