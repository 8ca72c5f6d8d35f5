"""Noise in training: dropped channels, dropped weights, dropped branches, added numbers."""

from __future__ import annotations

import math
from typing import ClassVar

from glubina.graph import Node, ShapeError, ops
from glubina.graph.node import Shape
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating, probability
from glubina.nn.dropout import chance_of
from glubina.nn.formula import number, scaled
from glubina.nn.linear import Linear, linear
from glubina.nn.module import Module
from glubina.tensor import Tensor
from glubina.tensor.arguments import not_negative
from glubina.tensor.base import consume, wrap
from glubina.tensor.mode import mode
from glubina.tensor.random import default_generator, randn_like

SELU_FLOOR = -1.7580993408473766
"""What SELU gives far below zero: −λα."""


def _kept(key: Node, chance: int, shape: Shape) -> Node:
    bits = ops.random_bits(key, 0, shape)
    return ops.less(bits, ops.full_like(bits, chance))


@Formula
def _drop_spread(chance: int, scale: float, mask: Shape, x: Node, key: Node) -> Node:
    """A draw for each element of the smaller shape `mask`, which is spread over x."""
    keep = ops.broadcast(_kept(key, chance, mask), x.shape)
    return ops.where(keep, scaled(x, scale), number(x, 0))


@Formula
def _alpha_drop(chance: int, p: float, x: Node, key: Node) -> Node:
    a = 1 / math.sqrt((SELU_FLOOR**2 * p + 1) * (1 - p))
    kept = ops.where(_kept(key, chance, x.shape), x, number(x, SELU_FLOOR))
    return ops.add(scaled(kept, a), number(x, -a * SELU_FLOOR * p))


def _drawn(x: Tensor, formula: Formula, settings: tuple[object, ...]) -> Tensor:
    node = formula(consume(x), default_generator.key(), settings=settings)
    return wrap(node, mode.grad and x.requires_grad)


def _dropped(x: Tensor, p: float, mask: Shape) -> Tensor:
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return _drawn(x, _drop_spread, (chance_of(p), scale, mask))


def _channel_dropout(name: str, x: Tensor, p: float, training: bool, rank: int) -> Tensor:
    probability("p", p)
    floating(x)
    if len(x.shape) != rank:
        raise ShapeError(f"{name}: expected an input of {rank} axes (N, *, C), got {x.shape}")
    if not training or p == 0:
        return x
    return _dropped(x, p, (x.shape[0], *[1] * (rank - 2), x.shape[-1]))


def dropout1d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Whole channels of (N, L, C) zero with probability p, the others scaled by 1 / (1 − p)."""
    return _channel_dropout("dropout1d", x, p, training, 3)


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Whole channels of (N, H, W, C) zero with probability p, the others scaled by 1 / (1 − p)."""
    return _channel_dropout("dropout2d", x, p, training, 4)


def dropout3d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Whole channels of (N, D, H, W, C) zero with probability p, the others scaled."""
    return _channel_dropout("dropout3d", x, p, training, 5)


def alpha_dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Dropout to SELU's floor −λα instead of 0, scaled so that mean and variance stay.

    Source: Klambauer et al., 2017, arXiv:1706.02515.
    """
    probability("p", p)
    floating(x)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    return _drawn(x, _alpha_drop, (chance_of(p), float(p)))


def drop_path(x: Tensor, p: float = 0.0, training: bool = True) -> Tensor:
    """Whole examples (along the first axis) zero with probability p, the others scaled.

    Put at the end of a residual branch: stochastic depth (Huang et al., 2016, arXiv:1603.09382).
    """
    probability("p", p)
    floating(x)
    if not training or p == 0:
        return x
    return _dropped(x, p, (x.shape[0], *[1] * (len(x.shape) - 1)))


class _Drop(Module):
    """What they share: the probability."""

    default: ClassVar[float] = 0.5

    def __init__(self, p: float | None = None) -> None:
        self.p = probability("p", self.default if p is None else p)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


@register
class Dropout1d(_Drop):
    """Drops whole channels of (N, L, C) in training (Tompson et al., 2015, arXiv:1411.4280)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with channels dropped in training."""
        return dropout1d(x, self.p, self.training)


@register
class Dropout2d(_Drop):
    """Drops whole channels of (N, H, W, C) in training (Tompson et al., 2015, arXiv:1411.4280)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with channels dropped in training."""
        return dropout2d(x, self.p, self.training)


@register
class Dropout3d(_Drop):
    """Drops whole channels of (N, D, H, W, C) in training."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with channels dropped in training."""
        return dropout3d(x, self.p, self.training)


@register
class AlphaDropout(_Drop):
    """Dropout that keeps mean and variance, for networks with SELU. See `alpha_dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with elements at SELU's floor in training."""
        return alpha_dropout(x, self.p, self.training)


@register
class DropPath(_Drop):
    """Drops a residual branch, example by example, in training. See `drop_path`."""

    default: ClassVar[float] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with examples dropped in training."""
        return drop_path(x, self.p, self.training)


@register
class GaussianNoise(Module):
    """In training, adds normal noise of mean 0 and this standard deviation; in use nothing."""

    def __init__(self, std: float = 0.1) -> None:
        self.std = not_negative("std", std)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with noise in training."""
        floating(x)
        return x + randn_like(x) * self.std if self.training and self.std else x

    def extra_repr(self) -> str:
        """The standard deviation."""
        return f"std={self.std}"


@Formula
def _drop_weights(chance: int, scale: float, w: Node, key: Node) -> Node:
    return ops.where(_kept(key, chance, w.shape), scaled(w, scale), number(w, 0))


@register
class DropConnectLinear(Linear):
    """A `Linear` that drops weights, not activations: in training each is zero with probability p.

    Those that stay are scaled by 1 / (1 − p), so that in use nothing changes; the weights that are
    dropped are drawn once for the mini-batch. The bias stays.
    Source: Wan et al., "Regularization of neural networks using DropConnect", ICML 2013.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, p: float = 0.5
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.p = probability("p", p)

    def forward(self, x: Tensor) -> Tensor:
        """From (..., in_features) to (..., out_features)."""
        weight: Tensor = self.weight
        if self.training and self.p > 0:
            scale = 0.0 if self.p == 1 else 1 / (1 - self.p)
            weight = _drawn(weight, _drop_weights, (chance_of(self.p), scale))
        return linear(x, weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes and the probability."""
        return f"{super().extra_repr()}, p={self.p}"
