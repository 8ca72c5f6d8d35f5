"""Attention with several heads: projections, attention of each head, and a last projection."""

from __future__ import annotations

import math
from typing import Any

import glubina.nn.init as init
from glubina.graph import DTypeError, Node, ShapeError, ops
from glubina.graph.ops import AttentionAttributes, Formula, attention_plain
from glubina.nn.architecture import register
from glubina.nn.attention import attend, attributes
from glubina.nn.checks import floating, positive, probability, same_dtype
from glubina.nn.linear import Linear
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor, logical_not, logical_or, where
from glubina.tensor.base import consume, wrap
from glubina.tensor.mode import mode
from glubina.tensor.random import default_generator

PARTS = {1: [(0, 3)], 2: [(0, 1), (1, 3)], 3: [(0, 1), (1, 2), (2, 3)]}
"""By how many arrays are projected (one; a query and what is both key and value; three): which
neighbours among query, key and value come out of one product."""


@register
class MultiheadAttention(Module):
    """concat(head₁, …, head_H) W_Oᵀ + b_O, head_i = softmax(q_i k_iᵀ / √D + mask) v_i.

    q, k and v are affine maps of query, key and value to `embed_dim` features, of which each of
    the `num_heads` heads has D = embed_dim / num_heads. in_proj_weight: (3 · embed_dim,
    embed_dim) holds the three maps (or q_proj_weight, k_proj_weight and v_proj_weight, where kdim
    or vdim differ), drawn by `xavier_uniform_`; in_proj_bias and out_proj.bias begin at zero.

    batch_first=False (PyTorch's default): arrays are (length, batch, features); otherwise
    (batch, length, features). Source: Vaswani et al., 2017, arXiv:1706.03762.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
    ) -> None:
        self.embed_dim = size = positive("embed_dim", embed_dim)
        self.num_heads = positive("num_heads", num_heads)
        if size % num_heads:
            raise ValueError(f"embed_dim {size} is not a multiple of num_heads {num_heads}")
        self.dropout = probability("dropout", dropout)
        self.kdim = size if kdim is None else positive("kdim", kdim)
        self.vdim = size if vdim is None else positive("vdim", vdim)
        self.batch_first = batch_first
        one = self.kdim == self.vdim == size
        self.in_proj_weight = Parameter.of_shape((3 * size, size)) if one else None
        self.q_proj_weight = None if one else Parameter.of_shape((size, size))
        self.k_proj_weight = None if one else Parameter.of_shape((size, self.kdim))
        self.v_proj_weight = None if one else Parameter.of_shape((size, self.vdim))
        self.in_proj_bias = Parameter.of_shape((3 * size,)) if bias else None
        self.out_proj = Linear(size, size, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        self.out_proj.reset_parameters()
        for weight in self._weights():
            init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)

    def _weights(self) -> list[Parameter]:
        apart = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return [w for w in (self.in_proj_weight, *apart) if w is not None]

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result, shaped as the query, and the weights (N, T, S), or None if not needed.

        Lengths are T and S, the batch N; arrays without a batch axis are taken too.
        key_padding_mask: (N, S); attn_mask: (T, S) or (N · num_heads, T, S). In both, bool: true
        where a key is *not* seen; floating: added to the scores. is_causal: query t sees the keys
        up to t; an attn_mask is then taken to say the same. average_attn_weights=False: the
        weights of each head, (N, num_heads, T, S). Without weights the matrix of weights is never
        in memory, which is quicker.
        """
        arrays = [query] if query is key and key is value else [query, key, value]
        if key is value and len(arrays) == 3:
            arrays.pop()
        alone = len(self._checked(query, key, value).shape) == 2
        place = 0 if self.batch_first else 1
        if alone:
            arrays = [x.unsqueeze(place) for x in arrays]
            if key_padding_mask is not None:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        batch, lengths = arrays[0].shape[place], [x.shape[1 - place] for x in arrays]
        sizes = (batch, self.num_heads, lengths[0], lengths[-1])
        mask = _merged(None if is_causal else attn_mask, key_padding_mask, sizes, query)
        result, weights = self._attention(arrays, mask, is_causal, need_weights)
        result = self.out_proj(result)
        if weights is not None and average_attn_weights:
            weights = weights.mean(axis=1)
        if alone:
            result = result.squeeze(place)
            weights = None if weights is None else weights.squeeze(0)
        return result, weights

    def _attention(
        self, arrays: list[Tensor], mask: Tensor | None, causal: bool, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The heads side by side, and the weights of each."""
        dropout = self.dropout if self.training else 0.0
        scale = 1 / math.sqrt(self.embed_dim // self.num_heads)
        biases = [] if self.in_proj_bias is None else [self.in_proj_bias]
        projections = self._weights()
        layout = (self.num_heads, self.batch_first, len(arrays), len(projections), bool(biases))
        settings = (*attributes(scale, causal, mask is not None, dropout), *layout)
        given = [*arrays, *projections, *biases, *([] if mask is None else [mask])]
        tracked = mode.grad and any(t.requires_grad for t in given)
        nodes = [consume(t) for t in given]
        if dropout:
            nodes.append(default_generator.key())
        if not need_weights:
            return wrap(_attended(*nodes, settings=settings), tracked), None
        weights = wrap(_weights(*nodes, settings=settings), tracked)
        return wrap(_weighted(consume(weights), *nodes, settings=settings), tracked), weights

    def _checked(self, query: Any, key: Any, value: Any) -> Tensor:
        for name, x, features in (
            ("query", query, self.embed_dim),
            ("key", key, self.kdim),
            ("value", value, self.vdim),
        ):
            same_dtype(x, self.out_proj.weight)
            if len(x.shape) not in (2, 3) or x.shape[-1] != features:
                layout = "(N, L, E)" if self.batch_first else "(L, N, E)"
                raise ShapeError(
                    f"expected a {name} of shape {layout} or (L, E) with E = {features}, "
                    f"got {x.shape}"
                )
        place = 0 if self.batch_first else 1
        batches = {x.shape[place] if len(x.shape) == 3 else None for x in (query, key, value)}
        if len(batches) > 1 or key.shape[:-1] != value.shape[:-1]:
            raise ShapeError(
                f"query {query.shape}, key {key.shape} and value {value.shape} differ in their "
                "batch or length"
            )
        return floating(query)

    def extra_repr(self) -> str:
        """The sizes."""
        return ", ".join(
            str(v) if name in ("embed_dim", "num_heads") else f"{name}={v}"
            for name, v in self.config().items()
        )


# -- masks --------------------------------------------------------------------------------------


def _merged(
    attn_mask: Tensor | None, padding: Tensor | None, sizes: tuple[int, int, int, int], x: Tensor
) -> Tensor | None:
    """Both masks as one that broadcasts to (N, H, T, S): bool, true where seen, or to be added."""
    n, h, t, s = sizes
    found: list[Tensor] = []
    if attn_mask is not None:
        if attn_mask.shape not in ((t, s), (n * h, t, s)):
            raise ShapeError(
                f"attn_mask is {(t, s)} or {(n * h, t, s)} here, got {attn_mask.shape}"
            )
        whole = len(attn_mask.shape) == 3
        found.append(attn_mask.reshape((n, h, t, s) if whole else (1, 1, t, s)))
    if padding is not None:
        if padding.shape != (n, s):
            raise ShapeError(f"key_padding_mask is {(n, s)} here, got {padding.shape}")
        found.append(padding.reshape((n, 1, 1, s)))
    for mask in found:
        if mask.dtype.kind != "b" and mask.dtype != x.dtype:
            raise DTypeError(f"a mask is bool or {x.dtype}, got {mask.dtype}")
    if not found:
        return None
    if all(mask.dtype.kind == "b" for mask in found):
        return logical_not(found[0] if len(found) == 1 else logical_or(*found))
    zero = x.dtype.type(0)
    added = [where(m, x.dtype.type(-math.inf), zero) if m.dtype.kind == "b" else m for m in found]
    return added[0] if len(added) == 1 else added[0] + added[1]


# -- formulas -----------------------------------------------------------------------------------


class _Given:
    """What the formulas are given, put in order; heads are [N, length, H, D]."""

    def __init__(self, settings: tuple[Any, ...], sources: tuple[Node, ...]) -> None:
        self.a = AttentionAttributes(*settings[:6])
        self.heads, self.batch_first, alike, count, biased = settings[6:]
        self.arrays, rest = list(sources[:alike]), list(sources[alike:])
        self.weights, rest = rest[:count], rest[count:]
        self.bias = rest.pop(0) if biased else None
        self.size = self.weights[0].shape[0] // (3 if count == 1 else 1)
        self.rest = rest

    def projected(self) -> list[Node]:
        """Query, key and value of every head; what comes from one array in one product."""
        found: list[Node] = []
        for start, stop in PARTS[max(len(self.arrays), len(self.weights))]:
            x = self.arrays[min(start, len(self.arrays) - 1)]
            found += self._several(x, start, stop)
        return found

    def _several(self, x: Node, start: int, stop: int) -> list[Node]:
        size, count = self.size, stop - start
        weight = self.weights[start if len(self.weights) == 3 else 0]
        if len(self.weights) == 1:
            weight = _rows(weight, start * size, count * size)
        flat = ops.reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))
        product = ops.matmul(flat, ops.transpose(weight, (1, 0)))
        if self.bias is not None:
            bias = _rows(self.bias, start * size, count * size)
            product = ops.add(product, ops.broadcast(bias, product.shape))
        depth = size // self.heads
        five = ops.reshape(product, (*x.shape[:2], count, self.heads, depth))
        one = (*x.shape[:2], 1, self.heads, depth)
        found = []
        for i in range(count):
            part = ops.slice(five, (0, 0, i, 0, 0), one, (1,) * 5)
            found.append(self.turned(ops.reshape(part, (*x.shape[:2], self.heads, depth))))
        return found

    def turned(self, x: Node) -> Node:
        """From the caller's order of batch and length to the kernel's, or back."""
        return x if self.batch_first else ops.transpose(x, (1, 0, 2, 3))

    def sources(self, query: Node, key: Node, value: Node) -> tuple[Node, ...]:
        """The sources of an attention."""
        rest = list(self.rest)
        if self.a.masked:
            shape = (query.shape[0], self.heads, query.shape[1], key.shape[1])
            rest[0] = ops.broadcast(rest[0], shape)
        return (query, key, value, *rest)

    def merged(self, result: Node) -> Node:
        """The heads side by side."""
        result = self.turned(result)
        return ops.reshape(result, (*result.shape[:2], self.size))


def _rows(x: Node, start: int, count: int) -> Node:
    """Some entries of the first axis."""
    rest = x.shape[1:]
    return ops.slice(x, (start, *(0 for _ in rest)), (count, *rest), (1,) * len(x.shape))


@Formula
def _attended(*given: Any) -> Node:
    p = _Given(*_split(given))
    return p.merged(attend(p.a, *p.sources(*p.projected())))


@Formula
def _weights(*given: Any) -> Node:
    p = _Given(*_split(given))
    return attention_plain.weights(p.a, *p.sources(*p.projected()))


@Formula
def _weighted(*given: Any) -> Node:
    """From the weights [N, H, T, S], which come first among the nodes."""
    settings, (weights, *sources) = _split(given)
    p = _Given(settings, tuple(sources))
    value = p.projected()[2]
    mean = ops.matmul(weights, ops.transpose(value, (0, 2, 1, 3)))
    return p.merged(ops.transpose(mean, (0, 2, 1, 3)))


def _split(given: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Node, ...]]:
    """The settings and the nodes of a formula."""
    return given[:11], given[11:]
