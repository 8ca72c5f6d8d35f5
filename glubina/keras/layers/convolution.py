"""Convolutions: ordinary, depthwise, separable, transposed, with unshared weights."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from glubina.graph import ShapeError
from glubina.keras import activations, initializers
from glubina.keras.layer import Layer, known
from glubina.keras.layers.core import add_bias, add_kernel
from glubina.keras.layers.geometry import channels_last, padded_same
from glubina.keras.lookup import unknown
from glubina.nn import functional as F
from glubina.nn.checks import extents, images, positive
from glubina.nn.convolution import convolution
from glubina.nn.folding import places
from glubina.nn.locally import geometry
from glubina.tensor import Tensor, permute_dims, reshape


class _Convolution(Layer):
    """What the convolutions share: geometry, kernel, bias, activation."""

    rank: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        channels_last(data_format)
        self.filters = positive("filters", filters)
        self.kernel_size = extents("kernel_size", kernel_size, self.rank)
        self.strides = extents("strides", strides, self.rank)
        self.dilation_rate = extents("dilation_rate", dilation_rate, self.rank)
        self.groups = positive("groups", groups)
        self.padding = str(padding).lower()
        if self.padding not in self.paddings:
            raise unknown("padding", padding, self.paddings)
        self.activation, self.use_bias = activations.get(activation), use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_rules = (kernel_regularizer, kernel_constraint)
        self.bias_rules = (bias_regularizer, bias_constraint)

    def channels(self, input_shape: Any) -> int:
        """The channels of the input; ShapeError unless it is an image (a signal, a volume)."""
        if len(input_shape) != self.rank + 2:
            axes = {1: "(N, L, C)", 2: "(N, H, W, C)", 3: "(N, D, H, W, C)"}[self.rank]
            raise ShapeError(
                f"{type(self).__name__} expects input of shape {axes}, got {input_shape}"
            )
        return int(input_shape[-1])

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        inputs = self.channels(input_shape)
        if inputs % self.groups or self.filters % self.groups:
            raise ValueError(
                f"groups must divide the channels: {inputs} in, {self.filters} filters, "
                f"{self.groups} groups"
            )
        add_kernel(self, (*self.kernel_size, inputs // self.groups, self.filters))
        add_bias(self, self.filters)

    def convolved(self, x: Tensor, kernel: Any, bias: Any, groups: int) -> Tensor:
        """The convolution of the layer's geometry."""
        return padded_same(
            lambda given, padding: convolution(
                given, kernel, bias, self.strides, padding, self.dilation_rate, groups
            ),
            x,
            *(self.padding, self.kernel_size, self.strides, self.dilation_rate),
        )

    def call(self, inputs: Tensor) -> Tensor:
        """From (N, *spatial, C) to (N, *output, filters)."""
        images(inputs, self.rank)
        y = self.convolved(inputs, self.kernel, self.bias, self.groups)  # type: ignore[attr-defined]
        return self.activation(y)  # type: ignore[no-any-return]


@known
class Conv1D(_Convolution):
    """A convolution of (N, L, C); padding 'valid', 'same' or 'causal'. kernel: (K, C, filters)."""

    rank = 1
    paddings = ("valid", "same", "causal")


@known
class Conv2D(_Convolution):
    """A convolution of images (N, H, W, C). kernel: (KH, KW, C, filters)."""

    rank = 2


@known
class Conv3D(_Convolution):
    """A convolution of volumes (N, D, H, W, C). kernel: (KD, KH, KW, C, filters)."""

    rank = 3


@known
class DepthwiseConv2D(_Convolution):
    """Each channel by itself, `depth_multiplier` filters for each. kernel: (KH, KW, C, mult)."""

    rank = 2

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        depthwise_initializer: Any = "glorot_uniform",
        depthwise_regularizer: Any = None,
        depthwise_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(1, kernel_size, strides, padding, **options)
        self.depth_multiplier = positive("depth_multiplier", depth_multiplier)
        self.kernel_initializer = initializers.get(depthwise_initializer)
        self.kernel_rules = (depthwise_regularizer, depthwise_constraint)

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        inputs = self.channels(input_shape)
        add_kernel(self, (*self.kernel_size, inputs, self.depth_multiplier), "depthwise_kernel")
        add_bias(self, inputs * self.depth_multiplier)

    def call(self, inputs: Tensor) -> Tensor:
        """From (N, H, W, C) to (N, H', W', C · depth_multiplier)."""
        y = _depthwise(self, inputs, self.bias)  # type: ignore[attr-defined]
        return self.activation(y)  # type: ignore[no-any-return]


def _depthwise(layer: Any, x: Tensor, bias: Any) -> Tensor:
    *window, inputs, multiplier = layer.depthwise_kernel.shape
    kernel = reshape(layer.depthwise_kernel, (*window, 1, inputs * multiplier))
    images(x, layer.rank, inputs)
    convolved: Tensor = layer.convolved(x, kernel, bias, inputs)
    return convolved


class _SeparableConv(_Convolution):
    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, **options)
        self.depth_multiplier = positive("depth_multiplier", depth_multiplier)
        self.initializers = (depthwise_initializer, pointwise_initializer)
        self.regularizers = (depthwise_regularizer, pointwise_regularizer)

    def build(self, input_shape: Any) -> None:
        """Make the two kernels and the bias."""
        inputs = self.channels(input_shape)
        wide = inputs * self.depth_multiplier
        shapes = (
            (*self.kernel_size, inputs, self.depth_multiplier),
            (*(1,) * self.rank, wide, self.filters),
        )
        names = ("depthwise_kernel", "pointwise_kernel")
        for name, shape, start, rule in zip(names, shapes, self.initializers, self.regularizers):
            self.add_weight(name, shape, None, start, rule)
        add_bias(self, self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        """From (N, *spatial, C) to (N, *output, filters)."""
        y = convolution(_depthwise(self, inputs, None), self.pointwise_kernel, self.bias)  # type: ignore[attr-defined]
        return self.activation(y)  # type: ignore[no-any-return]


@known
class SeparableConv1D(_SeparableConv):
    """A depthwise convolution of (N, L, C), then one of width 1 over all channels."""

    rank = 1
    paddings = ("valid", "same", "causal")


@known
class SeparableConv2D(_SeparableConv):
    """A depthwise convolution of (N, H, W, C), then one of 1 × 1 over all channels."""

    rank = 2


class _ConvTranspose(_Convolution):
    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid",
        output_padding: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(filters, kernel_size, strides, padding, **options)
        self.output_padding = output_padding
        if output_padding is not None:
            raise ValueError("output_padding is not supported: its default, None, is")

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        add_kernel(self, (*self.kernel_size, self.filters, self.channels(input_shape)))
        add_bias(self, self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        """From (N, *spatial, C) to (N, *output, filters); 'same' gives spatial · strides."""
        images(inputs, self.rank)
        axes = (*range(self.rank), self.rank + 1, self.rank)
        kernel = permute_dims(self.kernel, axes)  # type: ignore[attr-defined]
        steps, spread = self.strides, self.dilation_rate
        y = F.conv_transpose(inputs, kernel, None, steps, dilation=spread)
        y = _fitted(y, inputs.shape[1:-1], self)
        return self.activation(y if self.bias is None else y + self.bias)  # type: ignore[attr-defined,no-any-return]


def _fitted(y: Tensor, before: tuple[int, ...], layer: _ConvTranspose) -> Tensor:
    """Cut or filled with zeros to Keras's extents: the convolution back has to fit."""
    cuts: list[Any] = [slice(None)]
    more = []
    for n, k, s, d in zip(before, layer.kernel_size, layer.strides, layer.dilation_rate):
        full, reach = (n - 1) * s + d * (k - 1) + 1, d * (k - 1) + 1
        if layer.padding == "same":
            low = max(reach - s, 0) // 2
            cuts.append(slice(low, min(low + n * s, full)))
            more.append(max(n * s - full, 0))
        else:
            cuts.append(slice(None))
            more.append(max(s - reach, 0))
    y = y[tuple(cuts)]
    if any(more):
        y = F.pad(y, [number for m in reversed(more) for number in (0, m)])
    return y


@known
class Conv1DTranspose(_ConvTranspose):
    """A transposed convolution of (N, L, C). kernel: (K, filters, C)."""

    rank = 1


@known
class Conv2DTranspose(_ConvTranspose):
    """A transposed convolution of images (N, H, W, C). kernel: (KH, KW, filters, C)."""

    rank = 2


class _LocallyConnected(_Convolution):
    """A convolution whose filter is another one at every place."""

    def build(self, input_shape: Any) -> None:
        """Make the kernels of all places, and the biases."""
        inputs = self.channels(input_shape)
        if None in input_shape[1:]:
            raise ShapeError(f"{type(self).__name__} needs a known input shape, got {input_shape}")
        spatial = tuple(input_shape[1:-1])
        self.places = places(
            geometry(spatial, self.kernel_size, self.strides, self.padding), spatial
        )
        taps = math.prod(self.kernel_size) * inputs
        add_kernel(self, (math.prod(self.places), taps, self.filters))
        add_bias(self, *self.places, self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        """From (N, *spatial, C) to (N, *places, filters)."""
        images(inputs, self.rank)
        kernel: Tensor = self.kernel  # type: ignore[attr-defined]
        geometry = self.kernel_size, self.strides, self.padding
        y = F.locally_connected(inputs, kernel, self.bias, *geometry)  # type: ignore[attr-defined]
        return self.activation(y)  # type: ignore[no-any-return]


@known
class LocallyConnected1D(_LocallyConnected):
    """Unshared weights over (N, L, C). kernel: (places, K · C, filters)."""

    rank = 1


@known
class LocallyConnected2D(_LocallyConnected):
    """Unshared weights over images (N, H, W, C). kernel: (places, KH · KW · C, filters)."""

    rank = 2


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
SeparableConvolution2D, Deconvolution2D = SeparableConv2D, Conv2DTranspose
