"""Attention: softmax(scale · Q Kᵀ + mask) V without its matrix of weights in memory.

Source: Dao et al., "FlashAttention", 2022, arXiv:2205.14135. The forward pass keeps, for each
query, the logarithm of its sum of exponentials; the gradients work the weights out again from it.

All arrays have the heads after the length: Q [B, T, H, D], K [B, S, H, D], V [B, S, H, E].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Array, Node, Primitive, Shape, Typed, make, rebuild, remake
from glubina.graph.ops import attention_plain as plain
from glubina.graph.ops.attention_plain import AttentionAttributes
from glubina.graph.ops.source import input
from glubina.graph.philox import random_bits

QUERY, KEY, VALUE = range(3)


class GradientAttributes(NamedTuple):
    """Of which attention, and with respect to what (QUERY, KEY or VALUE)."""

    of: AttentionAttributes
    which: int


# -- shapes -------------------------------------------------------------------------------------


def _check(name: str, sources: tuple[Node, ...], a: AttentionAttributes) -> Shape:
    """The shape [B, H, T, S] of the weights."""
    query, key, value = sources[:3]
    dtypes = {n.dtype for n in (query, key, value)}
    if len(dtypes) > 1 or query.dtype.kind != "f" or query.dtype.itemsize < 4:
        came = ", ".join(str(n.dtype) for n in (query, key, value))
        raise DTypeError(f"{name}: needs one dtype, float32 or float64, got {came}")
    q, k, v = query.shape, key.shape, value.shape
    fits = len(q) == len(k) == len(v) == 4 and q[0] == k[0] and k[:3] == v[:3] and q[2:] == k[2:]
    if not fits:
        raise ShapeError(
            f"{name}: query {q}, key {k} and value {v} do not fit; needs [B, T, H, D], "
            "[B, S, H, D] and [B, S, H, E]"
        )
    shape = (q[0], q[2], q[1], k[1])
    rest = list(sources[3:])
    if a.masked:
        mask = rest.pop(0)
        if mask.shape != shape:
            raise ShapeError(f"{name}: a mask {mask.shape} for weights {shape}")
        if mask.dtype.kind != "b" and mask.dtype != query.dtype:
            raise DTypeError(f"{name}: the mask is bool or {query.dtype}, got {mask.dtype}")
    if a.chance is not None and (rest[0].shape != (2,) or rest[0].dtype != np.uint64):
        raise DTypeError(f"{name}: the random key is uint64 of shape (2,), got {rest[0]!r}")
    return shape


def _result_infer(sources: tuple[Node, ...], a: AttentionAttributes) -> Typed:
    b, h, t, _ = _check("attention", sources, a)
    return (b, t, h, sources[VALUE].shape[3]), sources[0].dtype


def _total_infer(sources: tuple[Node, ...], a: AttentionAttributes) -> Typed:
    return _check("attention_total", sources, a)[:3], sources[0].dtype


def _gradient_infer(sources: tuple[Node, ...], a: GradientAttributes) -> Typed:
    inner, (result, total, g) = sources[:-3], sources[-3:]
    b, h, t, _ = _check("attention_gradient", inner, a.of)
    wanted = (b, t, h, inner[VALUE].shape[3])
    if result.shape != wanted or g.shape != wanted or total.shape != (b, h, t):
        raise ShapeError(
            f"attention_gradient: result {result.shape}, gradient {g.shape} and totals "
            f"{total.shape} are not those of {wanted}"
        )
    return inner[a.which].shape, inner[a.which].dtype


# -- meaning ------------------------------------------------------------------------------------


def _scores(a: AttentionAttributes, arrays: Sequence[Array]) -> Array:
    """scale · Q Kᵀ + mask, [B, H, T, S]."""
    query, key = arrays[:2]
    scores = np.einsum("bthd,bshd->bhts", query, key) * query.dtype.type(a.scale)
    if a.masked:
        mask = arrays[3]
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    if a.causal:
        t, s = scores.shape[2:]
        scores = np.where(np.arange(s) <= np.arange(t)[:, None], scores, -np.inf)
    return np.asarray(scores, query.dtype)


def _total(a: AttentionAttributes, *arrays: Array) -> Array:
    scores = _scores(a, arrays)
    if not scores.shape[3]:
        return np.full(scores.shape[:3], np.inf, scores.dtype)
    largest = scores.max(axis=3, keepdims=True)
    largest = np.where(largest == -np.inf, 0, largest)
    total = np.exp(scores - largest).sum(axis=3)
    empty = total == 0
    logarithm = np.log(np.where(empty, 1, total)) + largest[..., 0]
    return np.asarray(np.where(empty, np.inf, logarithm), scores.dtype)


def _kept(a: AttentionAttributes, arrays: Sequence[Array], shape: Shape) -> Array | float:
    """By what dropout multiplies the weights."""
    if a.chance is None:
        return 1.0
    drawn = random_bits(arrays[3 + a.masked], a.stream, plain.drawn_shape(shape))
    kept = drawn[..., : shape[3]] < a.chance
    return np.asarray(kept * a.grown, arrays[0].dtype)


def _result(a: AttentionAttributes, *arrays: Array) -> Array:
    scores = _scores(a, arrays)
    weights = np.exp(scores - _total(a, *arrays)[..., None])
    kept = weights * _kept(a, arrays, scores.shape)
    return np.asarray(np.einsum("bhts,bshe->bthe", kept, arrays[VALUE]), scores.dtype)


def _gradient(a: GradientAttributes, *arrays: Array) -> Array:
    (query, key, value), (result, total, g) = arrays[:3], arrays[-3:]
    scores = _scores(a.of, arrays)
    kept = _kept(a.of, arrays, scores.shape)
    weights = np.exp(scores - total[..., None])
    if a.which == VALUE:
        return np.asarray(np.einsum("bhts,bthe->bshe", weights * kept, g), g.dtype)
    share = np.einsum("bthe,bthe->bht", g, result)[..., None]
    slope = weights * (np.einsum("bthe,bshe->bhts", g, value) * kept - share)
    slope = slope * query.dtype.type(a.of.scale)
    if a.which == QUERY:
        return np.asarray(np.einsum("bhts,bshd->bthd", slope, key), g.dtype)
    return np.asarray(np.einsum("bhts,bthd->bshd", slope, query), g.dtype)


# -- derivatives --------------------------------------------------------------------------------


def _through(function: Callable[..., Node], node: Node, g: Node) -> list[Node | None]:
    """The gradients of `function(*node.sources)`, which equals the node, by plain operations.

    They are formed for inputs and then put upon the sources: of sources that depend on each other
    each is to be held fixed while another changes.
    """
    from glubina.graph.autodiff import gradients  # which knows the primitives, and so this one

    inputs = [input(s.shape, s.dtype) for s in node.sources]
    seed = input(g.shape, g.dtype)
    table = dict(zip((*inputs, seed), (*node.sources, g), strict=True))
    wrt = [i for i in inputs if i.dtype.kind == "f"]
    found = rebuild(
        gradients(function(*inputs), wrt, seed),
        lambda old, sources: table.get(old) or remake(old, sources),
    )
    by_input = dict(zip(wrt, found, strict=True))
    return [by_input.get(i) for i in inputs]


def _result_derivative(node: Node, g: Node) -> list[Node | None]:
    a: AttentionAttributes = node.attributes
    total = make(TOTAL, node.sources, a)
    sources = (*node.sources, node, total, g)
    found: list[Node | None] = [
        attention_gradient(a, which, *sources) for which in (QUERY, KEY, VALUE)
    ]
    if a.masked and node.sources[3].dtype.kind == "f":
        found.append(_through(lambda *s: plain.result(a, *s), node, g)[3])
    return [*found, *[None] * (len(node.sources) - len(found))]


def _gradient_derivative(node: Node, g: Node) -> list[Node | None]:
    a: GradientAttributes = node.attributes
    return _through(lambda *sources: plain.gradient(a.of, a.which, *sources), node, g)


ATTENTION = Primitive(
    "attention",
    "attention",
    r"\mathrm{softmax}(\alpha Q K^\top + M)\, V",
    _result_infer,
    _result,
    _result_derivative,
)

TOTAL = Primitive(
    "attention_total",
    "attention",
    r"\ln \sum_s \exp(\alpha q \cdot k_s + m_s)",
    _total_infer,
    _total,
    lambda node, g: _through(lambda *s: plain.total(node.attributes, *s), node, g),
)

GRADIENT = Primitive(
    "attention_gradient",
    "attention",
    r"\partial\, \mathrm{softmax}(\alpha Q K^\top + M)\, V",
    _gradient_infer,
    _gradient,
    _gradient_derivative,
)


def attention(
    query: Node,
    key: Node,
    value: Node,
    mask: Node | None = None,
    scale: float | None = None,
    causal: bool = False,
    dropout: tuple[Node, int, float] | None = None,
) -> Node:
    """R[b, t, h] = Σ_s w_s V[b, s, h], w = softmax over s of scale · Q[b, t, h] · K[b, s, h].

    query: [B, T, H, D]; key: [B, S, H, D]; value: [B, S, H, E]; the result is [B, T, H, E].
    mask: [B, H, T, S], bool (true: attended to) or of the query's dtype (added); scale: 1/√D
    unless given; causal: query t sees the keys up to t. A query that sees no key has the result
    zero. dropout: a random key (uint64), a stream, and the chance of a weight to be kept; kept
    ones are divided by it.
    """
    if scale is None:
        scale = 1 / math.sqrt(max(1, query.shape[-1])) if query.shape else 1.0
    chance, grown, stream = None, 1.0, 0
    sources = [query, key, value]
    if mask is not None:
        sources.append(mask)
    if dropout is not None:
        random, stream, share = dropout
        chance = min(round(share * 2**32), 2**32 - 1)
        grown = 1 / share if share else 0.0
        sources.append(random)
    a = AttentionAttributes(float(scale), causal, mask is not None, chance, grown, stream)
    return attention_of(a, *sources)


def attention_of(a: AttentionAttributes, *sources: Node) -> Node:
    """The same from attributes, of query, key, value, the mask and the random key if there are."""
    return make(ATTENTION, sources, a)


def attention_gradient(a: AttentionAttributes, which: int, *sources: Node) -> Node:
    """The gradient of an attention's query (0), key (1) or value (2).

    sources: those of the attention, its result, its totals, and the gradient of the result.
    """
    return make(GRADIENT, sources, GradientAttributes(a, which))


def attention_total(result: Node) -> Node:
    """The logarithms [B, H, T] of an attention's sums of exponentials, made together with it.

    A query that sees no key has +∞, so that its weights exp(score − total) are zero.
    """
    return make(TOTAL, result.sources, result.attributes)
