"""Dense, activations, and the layers that only rearrange."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from glubina.graph import ShapeError
from glubina.keras import activations, initializers
from glubina.keras.layer import Layer, known
from glubina.nn import functional as F
from glubina.nn.checks import positive, probability
from glubina.tensor import (
    Tensor,
    any,
    broadcast_to,
    not_equal,
    permute_dims,
    randn_like,
    reshape,
)
from glubina.tensor.arguments import real


@known
class InputLayer(Layer):
    """Where data come in: the first layer of a Sequential may be one."""

    autocast: ClassVar[bool] = False

    def __init__(self, input_shape: Any = None, shape: Any = None, **options: Any) -> None:
        super().__init__(input_shape=shape if input_shape is None else input_shape, **options)

    def call(self, inputs: Tensor) -> Tensor:
        """The data."""
        return inputs


@known
class Dense(Layer):
    """activation(x W + b) from (N, ..., inputs) to (N, ..., units); kernel: (inputs, units)."""

    def __init__(
        self,
        units: int,
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
        self.units = positive("units", units)
        self.activation, self.use_bias = activations.get(activation), use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_rules = (kernel_regularizer, kernel_constraint)
        self.bias_rules = (bias_regularizer, bias_constraint)

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        if len(input_shape) < 2:
            raise ShapeError(f"Dense expects input of shape (N, ..., inputs), got {input_shape}")
        add_kernel(self, (input_shape[-1], self.units))
        add_bias(self, self.units)

    def call(self, inputs: Tensor) -> Tensor:
        """The layer's outputs."""
        y = F.linear(inputs, permute_dims(self.kernel, (1, 0)), self.bias)  # type: ignore[attr-defined]
        return self.activation(y)  # type: ignore[no-any-return]


def add_kernel(layer: Any, shape: tuple[int, ...], name: str = "kernel") -> None:
    """Make a layer's kernel by its arguments."""
    regularizer, constraint = layer.kernel_rules
    layer.add_weight(
        name, shape, None, layer.kernel_initializer, regularizer, constraint=constraint
    )


def add_bias(layer: Any, *shape: int) -> None:
    """Make a layer's bias, if it has one; otherwise `bias` is None."""
    layer.bias = None
    if layer.use_bias:
        regularizer, constraint = layer.bias_rules
        layer.add_weight(
            "bias", shape, None, layer.bias_initializer, regularizer, constraint=constraint
        )


@known
class Activation(Layer):
    """An activation by name, or any function of a tensor."""

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, inputs: Tensor) -> Tensor:
        """The function of the inputs."""
        return self.activation(inputs)  # type: ignore[no-any-return]


class _Moved(Layer):
    """Layers that move elements: whole numbers stay what they are."""

    autocast: ClassVar[bool] = False

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The axis of the steps may be gone."""
        return None


@known
class Flatten(_Moved):
    """One row of numbers per example: (N, ...) to (N, all)."""

    def call(self, inputs: Tensor) -> Tensor:
        """The rows."""
        return reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))


@known
class Reshape(_Moved):
    """Each example in another shape; one extent may be -1."""

    def __init__(self, target_shape: Any, **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """The tensor in the new shape."""
        size, wanted = math.prod(inputs.shape[1:]), math.prod(self.target_shape)
        if size != wanted if -1 not in self.target_shape else size % -wanted:
            raise ShapeError(
                f"Reshape: examples of shape {inputs.shape[1:]} have {size} elements and do not "
                f"fit {self.target_shape}"
            )
        return reshape(inputs, (inputs.shape[0], *self.target_shape))


@known
class Permute(_Moved):
    """The axes of each example in another order, counted from 1: (2, 1) exchanges the first two."""

    def __init__(self, dims: Any, **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"dims must be 1, 2, ... in any order, got {self.dims}")

    def call(self, inputs: Tensor) -> Tensor:
        """The tensor with its axes in the new order."""
        return permute_dims(inputs, (0, *self.dims))


@known
class Rescaling(Layer):
    """inputs · scale + offset, such as bytes to numbers from 0 to 1 by 1/255."""

    def __init__(self, scale: float, offset: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.offset = real("scale", scale), real("offset", offset)

    def call(self, inputs: Tensor) -> Tensor:
        """The numbers in the new scale."""
        return inputs * self.scale + self.offset


@known
class RepeatVector(Layer):
    """(N, features) to (N, n, features): the same vector n times."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = positive("n", n)

    def call(self, inputs: Tensor) -> Tensor:
        """The vectors."""
        if len(inputs.shape) != 2:
            raise ShapeError(f"expected input of shape (N, features), got {inputs.shape}")
        rows, features = inputs.shape
        return broadcast_to(reshape(inputs, (rows, 1, features)), (rows, self.n, features))


@known
class Lambda(Layer):
    """Any function of a tensor (or of a list of them) as a layer; no file can hold it."""

    def __init__(self, function: Callable[..., Any], arguments: Any = None, **options: Any) -> None:
        options.pop("output_shape", None)  # it is seen by trying
        super().__init__(**options)
        self.function, self.arguments = function, dict(arguments or {})

    def call(self, inputs: Any) -> Any:
        """The function of the inputs."""
        return self.function(inputs, **self.arguments)


@known
class Masking(Layer):
    """Steps whose features all are `mask_value` are left out by the recurrent layers after it."""

    def __init__(self, mask_value: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, inputs: Tensor) -> Tensor:
        """The inputs, with zeros in the masked steps."""
        there = self.compute_mask(inputs, None)
        return inputs * reshape(there, (*there.shape, 1)).astype(inputs.dtype)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """Where a step is there: (N, steps)."""
        return any(not_equal(inputs, self.mask_value), axis=-1)


@known
class Dropout(Layer):
    """In training, zero with probability `rate`, and scaled by 1 / (1 − rate) otherwise.

    noise_shape: extents of 1 share one draw along that axis.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: Any = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.rate = probability("rate", rate)
        self.noise_shape = noise_shape

    def call(self, inputs: Tensor) -> Tensor:
        """The same shape, with elements dropped in training."""
        if self.noise_shape is None or not self.training or self.rate in (0, 1):
            return F.dropout(inputs, self.rate, self.training)
        shape = tuple(m or n for n, m in zip(inputs.shape, self.noise_shape, strict=True))
        one = broadcast_to(inputs[(slice(0, 1),) * len(shape)] * 0 + 1, shape).detach()
        return inputs * F.dropout(one, self.rate)


class _ChannelDropout(Layer):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = probability("rate", rate)

    def call(self, inputs: Tensor) -> Tensor:
        """The same shape, with channels dropped in training."""
        return type(self).function(inputs, self.rate, self.training)


@known
class SpatialDropout1D(_ChannelDropout):
    """Drops whole channels of (N, L, C) in training."""

    function = F.dropout1d


@known
class SpatialDropout2D(_ChannelDropout):
    """Drops whole channels of (N, H, W, C) in training."""

    function = F.dropout2d


@known
class SpatialDropout3D(_ChannelDropout):
    """Drops whole channels of (N, D, H, W, C) in training."""

    function = F.dropout3d


@known
class AlphaDropout(_ChannelDropout):
    """Dropout that keeps mean and variance, for networks with selu."""

    function = F.alpha_dropout


@known
class GaussianNoise(Layer):
    """In training, adds normal noise of this standard deviation."""

    def __init__(self, stddev: float, **options: Any) -> None:
        super().__init__(**options)
        self.stddev = stddev

    def call(self, inputs: Tensor) -> Tensor:
        """The same shape, with noise in training."""
        return inputs + randn_like(inputs) * self.stddev if self.training else inputs


@known
class GaussianDropout(Layer):
    """In training, times normal noise of mean 1 and variance rate / (1 − rate)."""

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = probability("rate", rate)

    def call(self, inputs: Tensor) -> Tensor:
        """The same shape, with noise in training."""
        spread = math.sqrt(self.rate / (1 - self.rate))
        return inputs * (randn_like(inputs) * spread + 1) if self.training else inputs
