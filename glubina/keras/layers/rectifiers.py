"""Activations that are layers, with settings of their own."""

from __future__ import annotations

from typing import Any

from glubina.keras import activations
from glubina.keras.layer import Layer, known
from glubina.nn import functional as F
from glubina.tensor import Tensor, minimum


@known
class ReLU(Layer):
    """max(x, 0); with a slope below the threshold, and a largest value, if they are given."""

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.max_value, self.negative_slope = max_value, negative_slope
        self.threshold = threshold

    def call(self, inputs: Tensor) -> Tensor:
        """The function of every element."""
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


@known
class LeakyReLU(Layer):
    """x where x > 0, else negative_slope · x (alpha is its old name); 0.3 unless told."""

    def __init__(
        self, negative_slope: float = 0.3, alpha: float | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.negative_slope = float(negative_slope if alpha is None else alpha)

    def call(self, inputs: Tensor) -> Tensor:
        """The function of every element."""
        return F.leaky_relu(inputs, self.negative_slope)


@known
class ELU(Layer):
    """x where x > 0, else alpha (e^x − 1)."""

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, inputs: Tensor) -> Tensor:
        """The function of every element."""
        return F.elu(inputs, self.alpha)


@known
class ThresholdedReLU(Layer):
    """x where x > theta, else 0."""

    def __init__(self, theta: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.theta = theta

    def call(self, inputs: Tensor) -> Tensor:
        """The function of every element."""
        return F.threshold(inputs, self.theta, 0.0)


@known
class PReLU(Layer):
    """max(x, 0) + alpha · min(x, 0), alpha learned: one for every element of an example.

    shared_axes: axes (from 1) along which it is the same: (1, 2) gives one per channel of images.
    """

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.rules = (alpha_initializer, alpha_regularizer, alpha_constraint)
        self.shared_axes = tuple(shared_axes or ())

    def build(self, input_shape: Any) -> None:
        """Make the slopes."""
        shape = [1 if a in self.shared_axes else n for a, n in enumerate(input_shape)][1:]
        start, regularizer, constraint = self.rules
        self.add_weight("alpha", shape, None, start, regularizer, constraint=constraint)

    def call(self, inputs: Tensor) -> Tensor:
        """The function of every element."""
        return F.relu(inputs) + self.alpha * minimum(inputs, 0.0)  # type: ignore[attr-defined,no-any-return]


@known
class Softmax(Layer):
    """e^x_i / Σ_j e^x_j along an axis."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Tensor) -> Tensor:
        """The function along the axis."""
        return activations.softmax(inputs, self.axis)
