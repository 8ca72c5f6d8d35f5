"""Attention written with plain operations: for higher derivatives, weights, and few queries."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from glubina.graph.node import Node, Shape
from glubina.graph.ops.contraction import matmul, swap_last
from glubina.graph.ops.elementwise import (
    add,
    divide,
    equal,
    exp,
    full_like,
    less,
    less_equal,
    log,
    multiply,
    subtract,
    where,
)
from glubina.graph.ops.marker import detach
from glubina.graph.ops.movement import restored, slice, sum, transpose
from glubina.graph.ops.reduction import max
from glubina.graph.ops.source import iota, random_bits
from glubina.graph.philox import GROUP

_INDEX = np.dtype(np.int64)


class AttentionAttributes(NamedTuple):
    """What an attention is given besides arrays.

    masked: whether there is a mask among its sources. chance: below which a weight's random bits
    keep it (None: there is no dropout, and no random key among the sources); grown: what it is
    multiplied by then; stream: of the random bits.
    """

    scale: float
    causal: bool
    masked: bool
    chance: int | None
    grown: float
    stream: int


def drawn_shape(shape: Shape) -> Shape:
    """The shape in which the bits for dropout are drawn: each row begins with a new group."""
    return (*shape[:3], -(-shape[3] // GROUP) * GROUP)


def _heads_first(x: Node) -> Node:
    return transpose(x, (0, 2, 1, 3))


def scores(a: AttentionAttributes, sources: tuple[Node, ...]) -> Node:
    """scale · Q Kᵀ + mask, [B, H, T, S]; −∞ where nothing is seen."""
    query, key = sources[:2]
    product = matmul(_heads_first(query), swap_last(_heads_first(key)))
    found = multiply(product, full_like(product, a.scale))
    nothing = full_like(found, -math.inf)
    if a.masked:
        mask = sources[3]
        found = where(mask, found, nothing) if mask.dtype.kind == "b" else add(found, mask)
    if a.causal:
        places = iota(found.shape, 3, _INDEX), iota(found.shape, 2, _INDEX)
        found = where(less_equal(*places), found, nothing)
    return found


def _exponentials(z: Node) -> tuple[Node, Node, Node, Node]:
    """exp(z − largest), the largest, the sum, and whether all z are −∞ (then: 0, and 1)."""
    largest = detach(max(z, (3,)))
    nothing = equal(largest, full_like(largest, -math.inf))
    largest = where(nothing, full_like(largest, 0), largest)
    e = exp(subtract(z, restored(largest, (3,), z.shape)))
    total = sum(e, (3,))
    return e, largest, where(nothing, full_like(total, 1), total), nothing


def weights(a: AttentionAttributes, *sources: Node) -> Node:
    """The weights [B, H, T, S], after dropout; zero for a query that sees no key."""
    z = scores(a, sources)
    e, _, total, _ = _exponentials(z)
    return _dropped(a, divide(e, restored(total, (3,), z.shape)), sources)


def _dropped(a: AttentionAttributes, w: Node, sources: tuple[Node, ...]) -> Node:
    if a.chance is None:
        return w
    drawn = random_bits(sources[3 + a.masked], a.stream, drawn_shape(w.shape))
    bits = slice(drawn, (0,) * 4, w.shape, (1,) * 4)
    kept = less(bits, full_like(bits, a.chance))
    return where(kept, multiply(w, full_like(w, a.grown)), full_like(w, 0))


def result(a: AttentionAttributes, *sources: Node) -> Node:
    """What the primitive `attention` gives, [B, T, H, E]."""
    return _heads_first(matmul(weights(a, *sources), _heads_first(sources[2])))


def total(a: AttentionAttributes, *sources: Node) -> Node:
    """What the primitive `attention_total` gives, [B, H, T]."""
    z = scores(a, sources)
    _, largest, summed, nothing = _exponentials(z)
    return where(nothing, full_like(largest, math.inf), add(largest, log(summed)))


def gradient(a: AttentionAttributes, which: int, *sources: Node) -> Node:
    """What the primitive `attention_gradient` gives for the query (0), key (1) or value (2)."""
    inner, (given, totals, g) = sources[:-3], sources[-3:]
    query, key, value = (_heads_first(x) for x in inner[:3])
    g_heads = _heads_first(g)
    z = scores(a, inner)
    w = exp(subtract(z, restored(totals, (3,), z.shape)))
    if which == 2:
        return _heads_first(matmul(swap_last(_dropped(a, w, inner)), g_heads))
    share = transpose(sum(multiply(g, given), (3,)), (0, 2, 1))
    slope = _dropped(a, matmul(g_heads, swap_last(value)), inner)
    slope = multiply(w, subtract(slope, restored(share, (3,), z.shape)))
    slope = multiply(slope, full_like(slope, a.scale))
    if which == 0:
        return _heads_first(matmul(slope, key))
    return _heads_first(matmul(swap_last(slope), query))
