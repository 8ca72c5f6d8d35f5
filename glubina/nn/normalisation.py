"""Normalisation of activations: by the batch, by the example."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import extents, floating, positive, same_dtype
from glubina.nn.formula import apply, scaled, share, write, zeros
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter, filled
from glubina.tensor import Tensor
from glubina.tensor.arguments import between, not_negative
from glubina.tensor.creation import tensor as held

DOUBLE = np.dtype(np.float64)


def moments(x: Node, axes: tuple[int, ...]) -> tuple[Node, Node]:
    """Mean and (biased) variance over the axes, which are removed; in two passes, for accuracy."""
    part = share(math.prod(x.shape[i] for i in axes))
    mean = scaled(ops.sum(x, axes), part)
    centred = ops.subtract(x, ops.restored(mean, axes, x.shape))
    return mean, scaled(ops.sum(ops.multiply(centred, centred), axes), part)


def batch_moments(x: Node, axes: tuple[int, ...]) -> tuple[Node, Node]:
    """Mean and (biased) variance over the axes, which are removed; in one pass over x."""
    part = share(math.prod(x.shape[i] for i in axes))
    return ops.mean(x, axes), scaled(ops.squared_deviations(x, axes), part)


def normalised(
    x: Node,
    axes: tuple[int, ...],
    mean: Node,
    variance: Node,
    eps: float,
    weight: Node | None,
    bias: Node | None,
    outside: bool = False,
) -> Node:
    """(x − mean) / √(variance + eps) · weight + bias, the factor worked out once per feature.

    outside: divide by √variance + eps instead.
    """
    if outside:
        deviation = ops.add(ops.sqrt(variance), ops.full_like(variance, eps))
    else:
        deviation = ops.sqrt(ops.add(variance, ops.full_like(variance, eps)))
    factor = ops.divide(ops.full_like(deviation, 1), deviation)
    if weight is not None:
        factor = ops.multiply(factor, weight)
    centred = ops.subtract(x, ops.restored(mean, axes, x.shape))
    y = ops.multiply(centred, ops.restored(factor, axes, x.shape))
    return y if bias is None else ops.add(y, ops.restored(bias, axes, x.shape))


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
    eps_outside: bool = False,
) -> Tensor:
    """(x − mean) / √(variance + eps) · weight + bias, for each feature of the last axis.

    In training mean and (biased) variance are those of x, and the running ones, if given, are
    moved in place: running ← running + momentum · (batch − running), with the unbiased variance.
    Otherwise the running ones are used. eps_outside: divide by √variance + eps, as many lectures
    write it.
    """
    floating(x)
    affine = [p for p in (weight, bias) if p is not None]
    settings = (eps, weight is not None, eps_outside)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm without training needs running_mean and running_var")
        return apply(_by_statistics, x, running_mean, running_var, *affine, settings=settings)
    count = math.prod(x.shape[:-1])
    if count == 1:
        raise ShapeError(
            f"training needs more than one value per feature, got {x.shape}: take larger "
            "mini-batches, leave a last small one out (drop_last), or call eval() to use the layer"
        )
    if not count:
        none = zeros(x.shape[-1], x.dtype)
        return apply(_by_statistics, x, none, none, *affine, settings=settings)
    if running_mean is not None and running_var is not None:
        varying = isinstance(momentum, Tensor)
        rate = (momentum,) if isinstance(momentum, Tensor) else ()
        moved = (None if varying else momentum,)
        write(running_mean, _moved_mean, running_mean, x, *rate, settings=moved)
        write(running_var, _moved_variance, running_var, x, *rate, settings=moved)
    return apply(_by_batch, x, *affine, settings=settings)


@Formula
def _by_batch(eps: float, weighted: bool, outside: bool, x: Node, *affine: Node) -> Node:
    axes = tuple(range(len(x.shape) - 1))
    mean, variance = batch_moments(x, axes)
    return normalised(x, axes, mean, variance, eps, *weight_and_bias(weighted, affine), outside)


@Formula
def _by_statistics(
    eps: float,
    weighted: bool,
    outside: bool,
    x: Node,
    mean: Node,
    variance: Node,
    *affine: Node,
) -> Node:
    axes = tuple(range(len(x.shape) - 1))
    return normalised(x, axes, mean, variance, eps, *weight_and_bias(weighted, affine), outside)


def weight_and_bias(weighted: bool, given: tuple[Node, ...]) -> tuple[Node | None, Node | None]:
    """Both from those of them that are there."""
    if weighted:
        return given[0], given[1] if len(given) == 2 else None
    return None, given[0] if given else None


def _moved(momentum: float | None, old: Node, new: Node, *rate: Node) -> Node:
    step = ops.subtract(new, old)
    if momentum is not None:
        return ops.add(old, scaled(step, momentum))
    share = ops.broadcast(ops.cast(rate[0], old.dtype), old.shape)
    return ops.add(old, ops.multiply(step, share))


@Formula
def _moved_mean(momentum: float | None, old: Node, x: Node, *rate: Node) -> Node:
    axes = tuple(range(len(x.shape) - 1))
    return _moved(momentum, old, ops.mean(x, axes), *rate)


@Formula
def _moved_variance(momentum: float | None, old: Node, x: Node, *rate: Node) -> Node:
    axes = tuple(range(len(x.shape) - 1))
    count = math.prod(x.shape[:-1])
    unbiased = scaled(batch_moments(x, axes)[1], count / (count - 1))
    return _moved(momentum, old, unbiased, *rate)


class _BatchNorm(Module):
    """What batch normalisation of vectors and of images shares."""

    ranks: ClassVar[tuple[int, ...]]
    accepts: ClassVar[str]
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        eps_outside: bool = False,
    ) -> None:
        self.num_features = positive("num_features", num_features)
        self.eps = not_negative("eps", eps)
        self.momentum = None if momentum is None else between("momentum", momentum, 0, 1)
        self.eps_outside = bool(eps_outside)
        self.track_running_stats = track_running_stats
        ones, zeros = filled((num_features,), 1), filled((num_features,), 0)
        self.weight = Parameter(ones) if affine else None
        self.bias = Parameter(zeros) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", held(zeros) if tracked else None)
        self.register_buffer("running_var", held(ones) if tracked else None)
        batches = held(np.zeros((), np.int64)) if tracked else None
        self.register_buffer("num_batches_tracked", batches)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with every feature (last axis) normalised."""
        self._check(x)
        rate = self._rate() if self.training and self.track_running_stats else 0.0
        return batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            rate,
            self.eps,
            self.eps_outside,
        )

    def _rate(self) -> float | Tensor:
        """Count the batch; the share by which the running statistics move."""
        batches = self.num_batches_tracked
        assert batches is not None
        write(batches, lambda n: ops.add(n, ops.full_like(n, 1)), batches)
        if self.momentum is not None:
            return self.momentum
        return apply(lambda n: ops.divide(ops.constant(1, DOUBLE), ops.cast(n, DOUBLE)), batches)

    def _check(self, x: Any) -> None:
        if self.weight is not None:
            same_dtype(x, self.weight)
        floating(x)
        if len(x.shape) not in self.ranks or x.shape[-1] != self.num_features:
            raise ShapeError(
                f"expected input of shape {self.accepts} with C = {self.num_features}, "
                f"got {x.shape}"
            )

    def extra_repr(self) -> str:
        """The number of features, and what is not the default."""
        parts = [str(self.num_features)]
        usual = {"eps": 1e-5, "momentum": 0.1, "track_running_stats": True, "eps_outside": False}
        parts += [
            f"{name}={getattr(self, name)}"
            for name, value in usual.items()
            if getattr(self, name) != value
        ]
        if self.weight is None:
            parts.append("affine=False")
        return ", ".join(parts)


@register
class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, L, C): every feature to mean 0 and variance 1.

    y = (x − mean) / √(variance + eps) · weight + bias, per feature C. In training mean and
    (biased) variance are the batch's, and the running ones move toward them:
    running = (1 − momentum) · running + momentum · batch, with the unbiased variance; with
    momentum None they are the average over all batches. In use (`eval`) the running ones count.
    eps_outside: divide by √variance + eps, as many lectures write it.
    Source: Ioffe and Szegedy, 2015, arXiv:1502.03167.
    """

    ranks = (2, 3)
    accepts = "(N, C) or (N, L, C)"


@register
class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, H, W, C), per channel; see `BatchNorm1d`."""

    ranks = (4,)
    accepts = "(N, H, W, C)"


@register
class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes (N, D, H, W, C), per channel; see `BatchNorm1d`."""

    ranks = (5,)
    accepts = "(N, D, H, W, C)"


def layer_norm(
    x: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(variance + eps) · weight + bias, over the last axes of each example."""
    rank = len(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else 1
    shape = extents("normalized_shape", normalized_shape, rank)
    floating(x)
    if x.shape[-rank:] != shape:
        wanted = ", ".join(map(str, shape))
        raise ShapeError(f"expected input of shape (..., {wanted}), got {x.shape}")
    axes = tuple(range(len(x.shape) - rank, len(x.shape)))
    affine = [p for p in (weight, bias) if p is not None]
    return apply(_by_example, x, *affine, settings=(axes, eps, weight is not None))


@Formula
def _by_example(axes: tuple[int, ...], eps: float, weighted: bool, x: Node, *affine: Node) -> Node:
    mean, variance = moments(x, axes)
    y = normalised(x, axes, mean, variance, eps, None, None)
    weight, bias = weight_and_bias(weighted, affine)
    y = y if weight is None else ops.multiply(y, ops.broadcast(weight, y.shape))
    return y if bias is None else ops.add(y, ops.broadcast(bias, y.shape))


@register
class LayerNorm(Module):
    """Every example's features to mean 0 and variance 1: the same in training and in use.

    Over the last axes, those of `normalized_shape`; weight and bias have that shape. Source: Ba,
    Kiros and Hinton, 2016, arXiv:1607.06450.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        rank = len(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else 1
        self.normalized_shape = extents("normalized_shape", normalized_shape, rank)
        self.eps = not_negative("eps", eps)
        shape = self.normalized_shape
        self.weight = Parameter(filled(shape, 1)) if elementwise_affine else None
        self.bias = Parameter(filled(shape, 0)) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with every example normalised."""
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The shape, and what is not the default."""
        return f"{self.normalized_shape}" + (f", eps={self.eps}" if self.eps != 1e-5 else "")
