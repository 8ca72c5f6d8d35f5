"""Normalisation by groups of channels, by single channels, and by the root mean square."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import extents, floating, positive, same_dtype
from glubina.nn.formula import apply, scaled, share, write
from glubina.nn.module import Module
from glubina.nn.normalisation import moments, normalised, weight_and_bias
from glubina.nn.parameter import Parameter, filled
from glubina.tensor import Tensor
from glubina.tensor.arguments import not_negative
from glubina.tensor.creation import tensor as held


def _affine(y: Node, weighted: bool, given: tuple[Node, ...]) -> Node:
    weight, bias = weight_and_bias(weighted, given)
    y = y if weight is None else ops.multiply(y, ops.broadcast(weight, y.shape))
    return y if bias is None else ops.add(y, ops.broadcast(bias, y.shape))


@Formula
def _by_group(groups: int, eps: float, weighted: bool, x: Node, *affine: Node) -> Node:
    channels, positions = x.shape[-1], math.prod(x.shape[1:-1])
    apart = ops.reshape(x, (x.shape[0], positions, groups, channels // groups))
    mean, variance = moments(apart, (1, 3))
    y = normalised(apart, (1, 3), mean, variance, eps, None, None)
    return _affine(ops.reshape(y, x.shape), weighted, affine)


@Formula
def _by_square(axes: tuple[int, ...], eps: float, x: Node, *weight: Node) -> Node:
    count = math.prod(x.shape[i] for i in axes)
    square = scaled(ops.sum(ops.multiply(x, x), axes), share(count))
    root = ops.sqrt(ops.add(square, ops.full_like(square, eps)))
    factor = ops.divide(ops.full_like(root, 1), root)
    return _affine(ops.multiply(x, ops.restored(factor, axes, x.shape)), bool(weight), weight)


@Formula
def _by_statistics(
    eps: float, weighted: bool, x: Node, mean: Node, variance: Node, *affine: Node
) -> Node:
    axes = tuple(range(len(x.shape) - 1))
    y = normalised(x, axes, mean, variance, eps, None, None)
    return _affine(y, weighted, affine)


def _spatial(x: Node) -> tuple[int, ...]:
    return tuple(range(1, len(x.shape) - 1))


def _over_examples(values: Node) -> Node:
    return scaled(ops.sum(values, (0,)), share(values.shape[0]))


def _moved(momentum: float, old: Node, new: Node) -> Node:
    return ops.add(old, scaled(ops.subtract(new, old), momentum))


@Formula
def _moved_mean(momentum: float, old: Node, x: Node) -> Node:
    return _moved(momentum, old, _over_examples(moments(x, _spatial(x))[0]))


@Formula
def _moved_variance(momentum: float, old: Node, x: Node) -> Node:
    count = math.prod(x.shape[1:-1])
    variance = scaled(moments(x, _spatial(x))[1], count / (count - 1))
    return _moved(momentum, old, _over_examples(variance))


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(variance + eps) · weight + bias, by example and group of channels.

    x: (N, *, C) with C a multiple of num_groups; weight and bias: (C,). Source: Wu and He, 2018,
    arXiv:1803.08494.
    """
    floating(x)
    if len(x.shape) < 2 or x.shape[-1] % num_groups:
        raise ShapeError(
            f"group_norm: {num_groups} groups need an input (N, *, C) with C a multiple of "
            f"{num_groups}, got {x.shape}"
        )
    affine = [p for p in (weight, bias) if p is not None]
    return apply(_by_group, x, *affine, settings=(num_groups, eps, weight is not None))


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(variance + eps) · weight + bias, by example and channel, over the positions.

    x: (N, *, C). The running statistics, if given, move toward the mean over the examples; without
    `use_input_stats` they are used instead. Source: Ulyanov et al., 2016, arXiv:1607.08022.
    """
    floating(x)
    affine = [p for p in (weight, bias) if p is not None]
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(
                "instance_norm without use_input_stats needs running_mean and running_var"
            )
        settings = (eps, weight is not None)
        return apply(_by_statistics, x, running_mean, running_var, *affine, settings=settings)
    if len(x.shape) < 3 or math.prod(x.shape[1:-1]) < 2:
        raise ShapeError(f"expected more than one position per channel, got {x.shape}")
    if running_mean is not None and running_var is not None:
        write(running_mean, _moved_mean, running_mean, x, settings=(float(momentum),))
        write(running_var, _moved_variance, running_var, x, settings=(float(momentum),))
    return apply(_by_group, x, *affine, settings=(x.shape[-1], eps, weight is not None))


def rms_norm(
    x: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / √(mean(x²) + eps) · weight, over the last axes; eps None is the dtype's own epsilon.

    Source: Zhang and Sennrich, 2019, arXiv:1910.07467.
    """
    rank = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    shape = extents("normalized_shape", normalized_shape, rank)
    floating(x)
    if x.shape[-rank:] != shape:
        wanted = ", ".join(map(str, shape))
        raise ShapeError(f"expected input of shape (..., {wanted}), got {x.shape}")
    axes = tuple(range(len(x.shape) - rank, len(x.shape)))
    small = float(np.finfo(x.dtype).eps) if eps is None else eps
    given = () if weight is None else (weight,)
    return apply(_by_square, x, *given, settings=(axes, small))


@register
class GroupNorm(Module):
    """Every example's groups of channels to mean 0 and variance 1; see `group_norm`.

    Input (N, *, C) with C = num_channels; weight and bias, one number per channel, with `affine`.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        self.num_groups = positive("num_groups", num_groups)
        self.num_channels = positive("num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels must be a multiple of num_groups, got {num_channels} and "
                f"{num_groups}"
            )
        self.eps = not_negative("eps", eps)
        self.weight = Parameter(filled((num_channels,), 1)) if affine else None
        self.bias = Parameter(filled((num_channels,), 0)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with every group normalised."""
        if self.weight is not None:
            same_dtype(x, self.weight)
        if not floating(x).shape or x.shape[-1] != self.num_channels:
            raise ShapeError(
                f"expected input of shape (N, *, C) with C = {self.num_channels}, got {x.shape}"
            )
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_groups}, {self.num_channels}"


@register
class RMSNorm(Module):
    """x over its root mean square, times a weight; see `rms_norm`."""

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        rank = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
        self.normalized_shape = extents("normalized_shape", normalized_shape, rank)
        self.eps = eps
        shape = self.normalized_shape
        self.weight = Parameter(filled(shape, 1)) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with every example normalised."""
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The shape."""
        return f"{self.normalized_shape}"


class _InstanceNorm(Module):
    """What they share; the rank of the input differs."""

    rank: ClassVar[int]
    accepts: ClassVar[str]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        self.num_features = positive("num_features", num_features)
        self.eps, self.momentum = eps, momentum
        self.track_running_stats = track_running_stats
        ones, zeros = filled((num_features,), 1), filled((num_features,), 0)
        self.weight = Parameter(ones) if affine else None
        self.bias = Parameter(zeros) if affine else None
        self.running_mean: Tensor | None
        self.running_var: Tensor | None
        self.register_buffer("running_mean", held(zeros) if track_running_stats else None)
        self.register_buffer("running_var", held(ones) if track_running_stats else None)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with every channel of every example normalised."""
        floating(x)
        if len(x.shape) != self.rank or x.shape[-1] != self.num_features:
            raise ShapeError(
                f"expected input of shape {self.accepts} with C = {self.num_features}, "
                f"got {x.shape}"
            )
        own = self.training or not self.track_running_stats
        running = self.running_mean, self.running_var
        affine = self.weight, self.bias
        return instance_norm(x, *running, *affine, own, self.momentum, self.eps)

    def extra_repr(self) -> str:
        """The number of channels."""
        return str(self.num_features)


@register
class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, L, C); see `instance_norm`."""

    rank = 3
    accepts = "(N, L, C)"


@register
class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of images (N, H, W, C); see `instance_norm`."""

    rank = 4
    accepts = "(N, H, W, C)"


@register
class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of volumes (N, D, H, W, C); see `instance_norm`."""

    rank = 5
    accepts = "(N, D, H, W, C)"
