"""Layers that learn their number of channels from the first input, then ordinary ones."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from glubina.graph import ShapeError
from glubina.nn.architecture import register
from glubina.nn.checks import floating, images, positive
from glubina.nn.group_norm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, _InstanceNorm
from glubina.nn.module import Module
from glubina.nn.normalisation import BatchNorm1d, BatchNorm2d, BatchNorm3d, _BatchNorm
from glubina.nn.parameter import Parameter, put
from glubina.nn.transposed import (
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Extents,
    _ConvTranspose,
)
from glubina.tensor import Tensor
from glubina.tensor.creation import tensor as held
from glubina.tensor.trace import outside


class _Waiting(Tensor):
    """A buffer whose shape is not known yet; a state of any shape may be loaded into it."""

    __slots__ = ()
    is_uninitialised = True


class _LazyNorm(Module):
    """What the normalisations share: one number per channel, once the channels are known."""

    becomes: ClassVar[type[Any]]
    num_features: int
    track_running_stats: bool
    weight: Parameter | None
    bias: Parameter | None

    def _wait(self, affine: bool) -> None:
        """Forget the sizes that the ordinary layer was made with."""
        self.num_features = 0
        self.weight = Parameter.uninitialised() if affine else None
        self.bias = Parameter.uninitialised() if affine else None
        for name in ("running_mean", "running_var"):
            if getattr(self, name) is not None:
                waiting = held(np.zeros(0, np.float32))
                waiting.__class__ = _Waiting
                self.register_buffer(name, waiting)

    def forward(self, x: Tensor) -> Tensor:
        """Become the layer for inputs like x, and run it."""
        if len(floating(x).shape) < 2:
            raise ShapeError(f"expected input of shape (N, *, C), got {x.shape}")
        becomes = type(self).becomes
        with outside():
            self.materialise(x.shape[-1])
        result: Tensor = becomes.forward(self, x)
        return result

    def materialise(self, channels: int) -> None:
        """Become the layer for this many channels: weight and variance 1, bias and mean 0."""
        self.num_features = channels
        start = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
        for name, value in start.items():
            tensor = getattr(self, name)
            if tensor is not None:
                put(tensor, np.full(channels, value, np.float32))
        self.loaded()

    def loaded(self) -> None:
        """Become the layer if the number of its channels is known now."""
        there = [getattr(self, name) for name in ("weight", "bias", "running_mean", "running_var")]
        there = [tensor for tensor in there if tensor is not None]
        if not self.num_features and there and there[0].size:
            self.num_features = there[0].size
        if self.num_features:
            for tensor in there:
                if isinstance(tensor, Parameter):
                    tensor.is_uninitialised = False
            for name in ("running_mean", "running_var"):
                if getattr(self, name) is not None:
                    self.register_buffer(name, held(getattr(self, name).numpy()))
            given = {"num_features": self.num_features, **self.config()}
            given |= {
                "affine": self.weight is not None,
                "track_running_stats": self.track_running_stats,
            }
            self._arguments = ((), given)
            self.__class__ = self.becomes

    def extra_repr(self) -> str:
        """That the channels are not known."""
        return "num_features not known yet"


class _LazyBatchNorm(_LazyNorm, _BatchNorm):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        _BatchNorm.__init__(self, 1, eps, momentum, affine, track_running_stats)
        self._wait(affine)


class _LazyInstanceNorm(_LazyNorm, _InstanceNorm):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        _InstanceNorm.__init__(self, 1, eps, momentum, affine, track_running_stats)
        self._wait(affine)


class _LazyConvTranspose(_ConvTranspose):
    becomes: ClassVar[type[Any]]

    def __init__(
        self,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents = 1,
        padding: Extents = 0,
        output_padding: Extents = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extents = 1,
    ) -> None:
        self.in_channels = 0
        self.out_channels = positive("out_channels", out_channels)
        self._set_geometry(kernel_size, stride, padding, output_padding, groups, dilation)
        self.weight = Parameter.uninitialised()
        self.bias = Parameter.uninitialised() if bias else None

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """Become the convolution for inputs like x, and run it."""
        images(x, self.rank)
        with outside():
            self.materialise(x.shape[-1])
        return _ConvTranspose.forward(self, x, output_size)

    def materialise(self, in_channels: int) -> None:
        """Become the convolution with this many input channels, freshly drawn."""
        self.in_channels = in_channels
        self._check_groups()
        self.weight.materialise(self._weight_shape())
        if self.bias is not None:
            self.bias.materialise((self.out_channels,))
        self.loaded()
        self.reset_parameters()

    def loaded(self) -> None:
        """Become the convolution if the weight has its shape now."""
        if not self.weight.is_uninitialised:
            self.in_channels = self.weight.shape[-2]
            self._arguments = ((), {"in_channels": self.in_channels, **self.config()})
            self.__class__ = self.becomes


@register
class LazyBatchNorm1d(_LazyBatchNorm):
    """A `BatchNorm1d` that learns num_features from its first input."""

    ranks, accepts, becomes = (2, 3), "(N, C) or (N, L, C)", BatchNorm1d


@register
class LazyBatchNorm2d(_LazyBatchNorm):
    """A `BatchNorm2d` that learns num_features from its first input."""

    ranks, accepts, becomes = (4,), "(N, H, W, C)", BatchNorm2d


@register
class LazyBatchNorm3d(_LazyBatchNorm):
    """A `BatchNorm3d` that learns num_features from its first input."""

    ranks, accepts, becomes = (5,), "(N, D, H, W, C)", BatchNorm3d


@register
class LazyInstanceNorm1d(_LazyInstanceNorm):
    """An `InstanceNorm1d` that learns num_features from its first input."""

    rank, accepts, becomes = 3, "(N, L, C)", InstanceNorm1d


@register
class LazyInstanceNorm2d(_LazyInstanceNorm):
    """An `InstanceNorm2d` that learns num_features from its first input."""

    rank, accepts, becomes = 4, "(N, H, W, C)", InstanceNorm2d


@register
class LazyInstanceNorm3d(_LazyInstanceNorm):
    """An `InstanceNorm3d` that learns num_features from its first input."""

    rank, accepts, becomes = 5, "(N, D, H, W, C)", InstanceNorm3d


@register
class LazyConvTranspose1d(_LazyConvTranspose):
    """A `ConvTranspose1d` that learns in_channels from its first input."""

    rank, becomes = 1, ConvTranspose1d


@register
class LazyConvTranspose2d(_LazyConvTranspose):
    """A `ConvTranspose2d` that learns in_channels from its first input."""

    rank, becomes = 2, ConvTranspose2d


@register
class LazyConvTranspose3d(_LazyConvTranspose):
    """A `ConvTranspose3d` that learns in_channels from its first input."""

    rank, becomes = 3, ConvTranspose3d
