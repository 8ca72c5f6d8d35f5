"""Linear, logistic and softmax regression: one layer, three losses."""

from __future__ import annotations

from glubina.models.registry import add
from glubina.nn import Flatten, Linear, Module
from glubina.nn.architecture import register
from glubina.tensor import Tensor


class _Regression(Module):
    """An affine map of all features of an example."""

    def __init__(self, in_features: int, outputs: int) -> None:
        self.flatten = Flatten()
        self.linear = Linear(in_features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, ...) with in_features numbers for each example to (N, outputs)."""
        result: Tensor = self.linear(self.flatten(x))
        return result


@register
class LinearRegression(_Regression):
    """y = W x + b, to be trained with the mean squared error ("mse").

    Source: Legendre, 1805; Gauss, 1809.
    """

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__(in_features, out_features)


@register
class LogisticRegression(_Regression):
    """The logit w · x + b of p(y = 1 | x), to be trained with "bce_with_logits".

    Source: Cox, "The regression analysis of binary sequences", 1958.
    """

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, 1)


@register
class SoftmaxRegression(_Regression):
    """The logits W x + b of several classes, to be trained with "cross_entropy"."""

    def __init__(self, in_features: int, num_classes: int = 10) -> None:
        super().__init__(in_features, num_classes)


add("linear-regression", LinearRegression, "Legendre, 1805", (13,), in_features=13)
add("logistic-regression", LogisticRegression, "Cox, 1958", (30,), in_features=30)
add("softmax-regression", SoftmaxRegression, "Cox, 1966", (28, 28, 1), in_features=784)
