"""Normalisation by the batch and by the example."""

from __future__ import annotations

from typing import Any

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.keras.layer import Layer, known
from glubina.nn import functional as F
from glubina.nn.formula import apply, scaled, write
from glubina.nn.normalisation import batch_moments
from glubina.tensor import Tensor


@Formula
def _moved(variance: bool, momentum: float, old: Node, x: Node) -> Node:
    """old · momentum + batch · (1 − momentum), with the biased variance, as in Keras."""
    mean, spread = batch_moments(x, tuple(range(len(x.shape) - 1)))
    new = spread if variance else mean
    return ops.add(old, scaled(ops.subtract(new, old), 1 - momentum))


@known
class BatchNormalization(Layer):
    """(x − mean) / √(variance + epsilon) · gamma + beta, per channel of the last axis.

    In training mean and variance are the batch's, and the moving ones become
    moving · momentum + batch · (1 − momentum); otherwise (and when frozen) the moving ones count.
    Source: Ioffe and Szegedy, 2015, arXiv:1502.03167.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis, self.momentum, self.epsilon = axis, float(momentum), float(epsilon)
        self.center, self.scale = center, scale
        self.gamma_rules = (gamma_initializer, gamma_regularizer, gamma_constraint)
        self.beta_rules = (beta_initializer, beta_regularizer, beta_constraint)
        self.moving_rules = (moving_mean_initializer, moving_variance_initializer)

    def build(self, input_shape: Any) -> None:
        """Make gamma, beta and the moving statistics."""
        if self.axis not in (-1, len(input_shape) - 1):
            raise ShapeError(
                f"BatchNormalization normalises the last axis of {input_shape}, got axis="
                f"{self.axis}: images are channels-last here"
            )
        width = (input_shape[-1],)
        self.gamma: Tensor | None = None
        self.beta: Tensor | None = None
        for name, wanted, rules in (
            ("gamma", self.scale, self.gamma_rules),
            ("beta", self.center, self.beta_rules),
        ):
            if wanted:
                self.add_weight(name, width, None, rules[0], rules[1], constraint=rules[2])
        for name, start in zip(("moving_mean", "moving_variance"), self.moving_rules):
            self.add_weight(name, width, None, start, trainable=False)

    def call(self, inputs: Tensor) -> Tensor:
        """The same shape, with every channel normalised."""
        mean, variance = self.moving_mean, self.moving_variance  # type: ignore[attr-defined]
        affine = (self.gamma, self.beta)
        if not (self.training and self.trainable):
            return F.batch_norm(inputs, mean, variance, *affine, False, 0.0, self.epsilon)
        write(mean, _moved, mean, inputs, settings=(False, self.momentum))
        write(variance, _moved, variance, inputs, settings=(True, self.momentum))
        return F.batch_norm(inputs, None, None, *affine, True, 0.0, self.epsilon)


@known
class LayerNormalization(Layer):
    """(x − mean) / √(variance + epsilon) · gamma + beta, over the last axis of each example."""

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = (axis,) if isinstance(axis, int) else tuple(axis)
        self.epsilon, self.center, self.scale = float(epsilon), center, scale
        self.starts = (gamma_initializer, beta_initializer)

    def build(self, input_shape: Any) -> None:
        """Make gamma and beta."""
        rank = len(input_shape)
        axes = sorted(axis % rank for axis in self.axis)
        if axes != list(range(rank - len(axes), rank)):
            raise ShapeError(f"LayerNormalization normalises the last axes, got axis={self.axis}")
        self.normalized = tuple(input_shape[axis] for axis in axes)
        self.gamma: Tensor | None = None
        self.beta: Tensor | None = None
        if self.scale:
            self.add_weight("gamma", self.normalized, None, self.starts[0])
        if self.center:
            self.add_weight("beta", self.normalized, None, self.starts[1])

    def call(self, inputs: Tensor) -> Tensor:
        """The same shape, with every example normalised."""
        return F.layer_norm(inputs, self.normalized, self.gamma, self.beta, self.epsilon)


@known
class UnitNormalization(Layer):
    """Every example divided by its norm along an axis."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Tensor) -> Tensor:
        """The same shape, with norms of 1."""
        norm = (inputs * inputs).sum(axis=self.axis, keepdims=True)
        return inputs / apply(ops.sqrt, norm + 1e-12)
