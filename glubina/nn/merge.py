"""Layers with several inputs: sum, product, mean, maximum, side by side, bilinear."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn import init
from glubina.nn.architecture import register
from glubina.nn.checks import floating, positive, same_dtype
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor, concat, maximum


class _Merge(Module):
    """Called with several tensors, or with a list of them."""

    def forward(self, *tensors: Tensor | Sequence[Tensor]) -> Tensor:
        """One tensor from several."""
        given = [
            t for item in tensors for t in (item if isinstance(item, (list, tuple)) else [item])
        ]
        if not given:
            raise ShapeError(f"{type(self).__name__} needs at least one tensor, got none")
        return self.merged([floating(t) for t in given])

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """What the layer makes of the list."""
        raise NotImplementedError


@register
class Add(_Merge):
    """The sum of its inputs, element by element (they are broadcast): a residual connection."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The sum."""
        return reduce(lambda a, b: a + b, tensors)


@register
class Multiply(_Merge):
    """The product of its inputs, element by element: a gate."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The product."""
        return reduce(lambda a, b: a * b, tensors)


@register
class Average(_Merge):
    """The mean of its inputs, element by element."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The mean."""
        return reduce(lambda a, b: a + b, tensors) * (1 / len(tensors))


@register
class Maximum(_Merge):
    """The largest of its inputs, element by element: maxout."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The maximum."""
        return reduce(maximum, tensors)


@register
class Concatenate(_Merge):
    """Its inputs side by side along an axis, the channels unless told: inception, dense blocks."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """All of them as one tensor."""
        return concat(tensors, axis=self.axis)

    def extra_repr(self) -> str:
        """The axis."""
        return f"axis={self.axis}"


@Formula
def _bilinear(a: Node, b: Node, weight: Node, bias: Node | None = None) -> Node:
    """Σ_ij a_i W_oij b_j: one product with a, then one row against another."""
    outputs, first, second = weight.shape
    rows = a.size // first
    flat = ops.reshape(ops.transpose(weight, (1, 0, 2)), (first, outputs * second))
    half = ops.reshape(ops.matmul(ops.reshape(a, (rows, first)), flat), (rows, outputs, second))
    other = ops.broadcast(ops.reshape(b, (rows, 1, second)), half.shape)
    y = ops.sum(ops.multiply(half, other), (2,))
    if bias is not None:
        y = ops.add(y, ops.broadcast(bias, y.shape))
    return ops.reshape(y, (*a.shape[:-1], outputs))


def bilinear(a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = aᵀ W_o b + bias_o for a (..., in1) and b (..., in2); weight: (out, in1, in2)."""
    same_dtype(a, weight)
    same_dtype(b, weight)
    _, first, second = weight.shape
    if a.shape[:-1] != b.shape[:-1] or a.shape[-1:] != (first,) or b.shape[-1:] != (second,):
        raise ShapeError(
            f"expected inputs of shapes (..., {first}) and (..., {second}), got {a.shape} and "
            f"{b.shape}"
        )
    return apply(_bilinear, a, b, weight, *(() if bias is None else (bias,)))


@register
class Bilinear(Module):
    """y_o = x₁ᵀ W_o x₂ + b_o, from (..., in1) and (..., in2) to (..., out).

    weight: (out_features, in1_features, in2_features), drawn uniformly from ±1/√in1_features.
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True
    ) -> None:
        self.in1_features = positive("in1_features", in1_features)
        self.in2_features = positive("in2_features", in2_features)
        self.out_features = positive("out_features", out_features)
        self.weight = Parameter.of_shape((out_features, in1_features, in2_features))
        self.bias = Parameter.of_shape((out_features,)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        bound = 1 / self.in1_features**0.5
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """From (..., in1_features) and (..., in2_features) to (..., out_features)."""
        return bilinear(first, second, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.in1_features}, {self.in2_features}, {self.out_features}"
