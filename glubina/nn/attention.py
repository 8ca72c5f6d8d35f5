"""Scaled dot-product attention: a weighted mean of values, the weights from queries and keys."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from glubina.graph import DTypeError, Node, ShapeError, ops
from glubina.graph.node import Shape
from glubina.graph.ops import AttentionAttributes, Formula, attention_plain
from glubina.graph.techniques import used
from glubina.nn.checks import floating, probability
from glubina.tensor import Tensor
from glubina.tensor.base import consume, wrap
from glubina.tensor.mode import mode
from glubina.tensor.random import default_generator

FEW = 16
"""Up to so many keys plain products are quicker: a register block of scores is twice as wide."""


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale · Q Kᵀ + mask) V, for each of the leading axes (batch, heads).

    query: (..., T, D); key: (..., S, D); value: (..., S, E); the result is (..., T, E).
    attn_mask: broadcasts to (..., T, S); bool: true where a key is seen; floating: added to the
    scores. is_causal: query t sees the keys up to t; not together with a mask. scale: 1/√D unless
    given. dropout_p: the chance of a weight to be dropped, whatever the mode of training. A query
    that sees no key has the result zero. float32 and float64.

    The matrix of weights is never in memory. Source: Vaswani et al., 2017, arXiv:1706.03762; Dao
    et al., 2022, arXiv:2205.14135.
    """
    dropout = probability("dropout_p", dropout_p)
    if attn_mask is not None and is_causal:
        raise ValueError("attn_mask and is_causal exclude each other: give one of them")
    shape = _check(query, key, value)
    tensors = [query, key, value]
    if attn_mask is not None:
        tensors.append(_check_mask(attn_mask, query, key.shape[-2], shape))
    chosen = 1 / math.sqrt(max(1, query.shape[-1])) if scale is None else float(scale)
    settings = attributes(chosen, is_causal, attn_mask is not None, dropout)
    sources = [consume(t) for t in tensors]
    if dropout:
        sources.append(default_generator.key())
    node = _attention(*sources, settings=(*settings, shape))
    return wrap(node, mode.grad and any(t.requires_grad for t in tensors))


def attributes(scale: float, causal: bool, masked: bool, dropout: float) -> AttentionAttributes:
    """The settings of an attention whose weights are dropped with a chance."""
    if not dropout:
        return AttentionAttributes(scale, causal, masked, None, 1.0, 0)
    chance = min(round((1 - dropout) * 2**32), 2**32 - 1)
    grown = 0.0 if dropout == 1 else 1 / (1 - dropout)
    return AttentionAttributes(scale, causal, masked, chance, grown, 0)


def attend(a: AttentionAttributes, *sources: Node) -> Node:
    """Attention of [B, T, H, D] with [B, S, H, D] and [B, S, H, E]: one kernel, or products."""
    if sources[1].shape[1] <= FEW or not used("attention"):
        return attention_plain.result(a, *sources)
    return ops.attention_of(a, *sources)


@Formula
def _attention(
    scale: float, causal: bool, masked: bool, chance: int | None, grown: float, stream: int,
    leading: Shape, *sources: Node,
) -> Node:  # fmt: skip
    a = AttentionAttributes(scale, causal, masked, chance, grown, stream)
    heads = (1,) if len(leading) < 2 else leading[-1:]
    batch = math.prod(leading) // max(1, heads[0])
    placed = []
    for x in sources[:3]:
        full = ops.broadcast(x, (*leading, *x.shape[-2:]))
        four = ops.reshape(full, (batch, *heads, *x.shape[-2:]))
        placed.append(ops.transpose(four, (0, 2, 1, 3)))
    rest = list(sources[3:])
    if masked:
        size = sources[0].shape[-2], sources[1].shape[-2]
        full = ops.broadcast(rest[0], (*leading, *size))
        rest[0] = ops.reshape(full, (batch, *heads, *size))
    result = ops.transpose(attend(a, *placed, *rest), (0, 2, 1, 3))
    return ops.reshape(result, (*leading, *result.shape[-2:]))


def _check(query: Any, key: Any, value: Any) -> Shape:
    """The common leading axes."""
    for x in (query, key, value):
        floating(x)
        if len(x.shape) < 2:
            raise ShapeError(f"attention needs (..., length, features), got {x.shape}")
    if not query.dtype == key.dtype == value.dtype:
        raise DTypeError(
            f"query, key and value need one dtype, got {query.dtype}, {key.dtype}, {value.dtype}"
        )
    q, k, v = query.shape, key.shape, value.shape
    try:
        leading = np.broadcast_shapes(q[:-2], k[:-2], v[:-2])
    except ValueError:
        leading = None
    if leading is None or q[-1] != k[-1] or k[-2] != v[-2]:
        raise ShapeError(
            f"query {q}, key {k} and value {v} do not fit: expected (..., T, D), (..., S, D) and "
            "(..., S, E)"
        )
    return leading


def _check_mask(mask: Any, query: Tensor, keys: int, leading: Shape) -> Tensor:
    if not isinstance(mask, Tensor) or (mask.dtype.kind != "b" and mask.dtype != query.dtype):
        came = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise DTypeError(f"attn_mask is a tensor of bool or {query.dtype}, got {came}")
    wanted = (*leading, query.shape[-2], keys)
    try:
        fits = np.broadcast_shapes(mask.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"attn_mask {mask.shape} does not broadcast to the weights {wanted}")
    return mask
