"""Attention over (N, steps, features): a mean of values, weighted by queries and keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from glubina.graph import ShapeError
from glubina.keras import constraints, initializers, regularizers
from glubina.keras.layer import Layer, known
from glubina.nn import functional as F
from glubina.nn.checks import positive, probability
from glubina.tensor import Tensor, asarray, einsum, matmul, permute_dims, tanh, where

_FAR = -1e9  # added to the score of a key that is not seen; as in Keras finite


def _seen(
    query: Tensor, keys: int, mask: Any, causal: bool, attention_mask: Tensor | None
) -> Tensor | None:
    """True where a query sees a key, (N, T, S) or what broadcasts to it; None: everywhere.

    mask: of the steps of the query and of the value, (N, T) and (N, S), each may be None.
    """
    parts = []
    for position, part in enumerate(mask[:2] if isinstance(mask, (list, tuple)) else [None, mask]):
        if part is not None:
            parts.append(part[:, :, None] if position == 0 else part[:, None, :])
    if attention_mask is not None:
        parts.append(attention_mask != 0)
    if causal:
        steps = query.shape[1]
        parts.append(asarray(np.tril(np.ones((1, steps, keys), bool))))
    found = None
    for part in parts:
        found = part if found is None else found & part
    return found


def _require_steps(kind: str, query: Tensor, value: Tensor, key: Tensor) -> None:
    """ShapeError unless all are (N, steps, features) and each key has its value."""
    for name, tensor in (("query", query), ("value", value), ("key", key)):
        if len(tensor.shape) != 3:
            raise ShapeError(f"{kind}: {name} should be (N, steps, features), got {tensor.shape}")
    if value.shape[1] != key.shape[1]:
        raise ShapeError(f"{kind}: there are {value.shape[1]} values and {key.shape[1]} keys")


class _Masked(Layer):
    """What hands on the query's mask."""

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The query's."""
        return mask[0] if isinstance(mask, list) else None


class _Attention(_Masked):
    """What the layers without projections share: called with [query, value] or with the key too."""

    def __init__(self, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.dropout = probability("dropout", dropout)

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """How well each query fits each key: (N, T, D) and (N, S, D) to (N, T, S)."""
        raise NotImplementedError

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """softmax(scores) · value: (N, T, E); with return_attention_scores the weights too."""
        if not isinstance(inputs, list) or len(inputs) not in (2, 3):
            raise ShapeError(f"{type(self).__name__} takes [query, value] or [query, value, key]")
        query, value, key = (*inputs, inputs[1])[:3]
        _require_steps(type(self).__name__, query, value, key)
        scores = self.scores(query, key)
        seen = _seen(query, key.shape[1], mask, use_causal_mask, None)
        if seen is not None:
            scores = where(seen, scores, _FAR)
        weights = F.softmax(scores, -1)
        if self.dropout and training:
            weights = F.dropout(weights, self.dropout, True)
        result = matmul(weights, value)
        return (result, weights) if return_attention_scores else result


@known
class Attention(_Attention):
    """softmax(Q Kᵀ) V, not scaled (use_scale: by one learned number). Source: arXiv:1508.04025."""

    scale: Tensor

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(dropout, **options)
        if score_mode != "dot":
            raise ValueError(f"score_mode is 'dot' here (or use AdditiveAttention): {score_mode!r}")
        self.use_scale, self.score_mode = use_scale, score_mode

    def build(self, input_shape: Any) -> None:
        """Make the scale."""
        if self.use_scale:
            self.add_weight("scale", (), None, "ones")

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """The inner products."""
        products = matmul(query, permute_dims(key, (0, 2, 1)))
        return products * self.scale if self.use_scale else products


@known
class AdditiveAttention(_Attention):
    """Scores Σ s · tanh(q + k), s learned (use_scale) or 1. Source: Bahdanau, arXiv:1409.0473."""

    scale: Tensor

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(dropout, **options)
        self.use_scale = use_scale

    def build(self, input_shape: Any) -> None:
        """Make the scale, one number per feature."""
        if self.use_scale:
            self.add_weight("scale", (input_shape[0][-1],), None, "glorot_uniform")

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """The sums."""
        y = tanh(query[:, :, None, :] + key[:, None, :, :])
        return (y * self.scale if self.use_scale else y).sum(axis=-1)


@known
class MultiHeadAttention(_Masked):
    """Attention in several heads, each with its projections; called with (query, value, key=None).

    The heads' results, (N, T, num_heads, value_dim), are projected to output_shape features (the
    query's unless given). attention_mask: (N, T, S), true where a query sees a key. The weights are
    dropped with the chance `dropout` in training. A query that sees no key has the result zero
    before the last projection. Kernels have Keras's layout: (features, heads, dim), the last one's
    (heads, dim, features). Source: Vaswani et al., 2017, arXiv:1706.03762.
    """

    output_kernel: Tensor
    output_bias: Tensor

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if attention_axes not in (None, 1, (1,), [1]):
            raise ValueError(f"attention_axes: attention goes along axis 1, got {attention_axes}")
        self.num_heads = positive("num_heads", num_heads)
        self.key_dim = positive("key_dim", key_dim)
        self.value_dim = self.key_dim if value_dim is None else positive("value_dim", value_dim)
        self.dropout = probability("dropout", dropout)
        self.use_bias = use_bias
        if isinstance(output_shape, (list, tuple)):
            if len(output_shape) != 1:
                raise ValueError(f"output_shape is one number of features, got {output_shape}")
            (output_shape,) = output_shape
        self.features = None if output_shape is None else positive("output_shape", output_shape)
        self.kernel_rules = (
            initializers.get(kernel_initializer),
            regularizers.get(kernel_regularizer),
            constraints.get(kernel_constraint),
        )
        self.bias_rules = (
            initializers.get(bias_initializer),
            regularizers.get(bias_regularizer),
            constraints.get(bias_constraint),
        )

    def __call__(self, *args: Any, **options: Any) -> Any:
        """As Keras has it: query, value and key one by one, by position or by name."""
        names = ("query", "value", "key", "attention_mask")
        given = list(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else [*args]
        if len(given) > len(names):
            raise TypeError(f"MultiHeadAttention takes {', '.join(names)}; got {len(given)} inputs")
        for name in names[len(given) :]:
            given.append(options.pop(name, None))
        query, value, key, mask = given
        if query is None or value is None:
            raise TypeError("MultiHeadAttention is called with a query and a value")
        inputs = [query, value] if key is None and mask is None else [query, value, key]
        if mask is not None:
            inputs = [query, value, value if key is None else key, mask]
        return super().__call__(inputs, **options)

    def build(self, input_shape: Any) -> None:
        """Make the four projections."""
        query, value = input_shape[0][-1], input_shape[1][-1]
        key = input_shape[2][-1] if len(input_shape) > 2 else value
        heads, features = self.num_heads, self.features or query
        for name, wide, dim in (
            ("query", query, self.key_dim),
            ("key", key, self.key_dim),
            ("value", value, self.value_dim),
        ):
            self._projection(name, (wide, heads, dim), (heads, dim))
        self._projection("output", (heads, self.value_dim, features), (features,))

    def _projection(self, name: str, kernel: tuple[int, ...], bias: tuple[int, ...]) -> None:
        start, penalty, bound = self.kernel_rules
        self.add_weight(f"{name}_kernel", kernel, None, start, penalty, constraint=bound)
        if self.use_bias:
            start, penalty, bound = self.bias_rules
            self.add_weight(f"{name}_bias", bias, None, start, penalty, constraint=bound)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """(N, T, features); with return_attention_scores the weights (N, heads, T, S) too."""
        query, value = inputs[:2]
        key = inputs[2] if len(inputs) > 2 else value
        _require_steps("MultiHeadAttention", query, value, key)
        given = inputs[3] if len(inputs) > 3 else None
        if given is not None and len(given.shape) == 2:
            raise ShapeError(
                f"MultiHeadAttention: attention_mask should be (N, T, S), got {given.shape}; one "
                "of the keys alone is mask[:, None, :]"
            )
        seen = _seen(query, key.shape[1], mask, use_causal_mask, given)
        if seen is not None and len(seen.shape) == 3:
            seen = seen[:, None]
        q, k, v = (
            self._projected(t, n) for t, n in ((query, "query"), (key, "key"), (value, "value"))
        )
        dropout = self.dropout if training else 0.0
        if return_attention_scores:
            scores = matmul(q, permute_dims(k, (0, 1, 3, 2))) / self.key_dim**0.5
            weights = F.softmax(scores if seen is None else where(seen, scores, _FAR), -1)
            weights = F.dropout(weights, dropout, True) if dropout else weights
            heads = matmul(weights, v)
        else:
            heads = F.scaled_dot_product_attention(q, k, v, seen, dropout)
        result = einsum("nhtv,hvd->ntd", heads, self.output_kernel)
        result = result + self.output_bias if self.use_bias else result
        return (result, weights) if return_attention_scores else result

    def _projected(self, x: Tensor, name: str) -> Tensor:
        """(N, steps, features) to (N, heads, steps, dim)."""
        y = einsum("ntd,dhk->nthk", x, getattr(self, f"{name}_kernel"))
        if self.use_bias:
            y = y + getattr(self, f"{name}_bias")
        return permute_dims(y, (0, 2, 1, 3))
