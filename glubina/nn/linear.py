"""The fully connected layer: y = x Wᵀ + b."""

from __future__ import annotations

import math

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn import init
from glubina.nn.architecture import register
from glubina.nn.checks import floating, positive, same_dtype
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor
from glubina.tensor.trace import outside


@Formula
def _linear(x: Node, weight: Node, bias: Node | None = None) -> Node:
    """One product of all rows with the transposed weight."""
    rows = x if len(x.shape) == 2 else ops.reshape(x, (x.size // x.shape[-1], x.shape[-1]))
    product = ops.matmul(rows, ops.transpose(weight, (1, 0)))
    if bias is not None:
        product = ops.add(product, ops.broadcast(bias, product.shape))
    return product if rows is x else ops.reshape(product, (*x.shape[:-1], product.shape[-1]))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The affine map x Wᵀ + b.

    x: (..., in_features); weight: (out_features, in_features); bias: (out_features,); the result
    is (..., out_features). ShapeError where the last axis of x is not in_features.
    """
    same_dtype(x, weight)
    if not x.shape or x.shape[-1] != weight.shape[1]:
        hint = ""
        if len(x.shape) > 2 and math.prod(x.shape[1:]) == weight.shape[1]:
            hint = "; flatten it first (nn.Flatten())"
        raise ShapeError(f"expected input of shape (..., {weight.shape[1]}), got {x.shape}{hint}")
    return apply(_linear, x, weight) if bias is None else apply(_linear, x, weight, bias)


@register
class Linear(Module):
    """y = x Wᵀ + b, from (..., in_features) to (..., out_features).

    weight: (out_features, in_features) and bias: (out_features,), both drawn uniformly from
    ±1/√in_features.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        self.weight = Parameter.of_shape((out_features, in_features))
        self.bias = Parameter.of_shape((out_features,)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        init.default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """From (..., in_features) to (..., out_features)."""
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        end = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{end}"


@register
class LazyLinear(Linear):
    """A `Linear` that learns in_features from its first input, and is one from then on."""

    def __init__(self, out_features: int, bias: bool = True) -> None:
        self.in_features = 0
        self.out_features = positive("out_features", out_features)
        self.weight = Parameter.uninitialised()
        self.bias = Parameter.uninitialised() if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Become a Linear for inputs like x, and run it."""
        floating(x)
        if not x.shape:
            raise ShapeError("expected input of shape (..., in_features), got ()")
        with outside():
            self.materialise(x.shape[-1])
        return Linear.forward(self, x)

    def materialise(self, in_features: int) -> None:
        """Become a Linear with this many inputs, freshly drawn."""
        self.weight.materialise((self.out_features, in_features))
        if self.bias is not None:
            self.bias.materialise((self.out_features,))
        self.loaded()
        self.reset_parameters()

    def loaded(self) -> None:
        """Become a Linear if the weight has its shape now."""
        if self.weight.is_uninitialised:
            return
        self.in_features = self.weight.shape[1]
        bias = self.bias is not None
        self._arguments = ((self.in_features, self.out_features), {} if bias else {"bias": False})
        self.__class__ = Linear  # type: ignore[assignment]

    def extra_repr(self) -> str:
        """The sizes."""
        return super().extra_repr().replace("0,", "in_features not known yet,", 1)
