"""Networks as plain data, the same for every framework: shapes, first weights, arithmetic.

A network is a tuple of layers. Each layer knows what it makes of one example's shape (images
channels-last), which weights it needs, and how many multiplications and additions its contractions
take; `frameworks/` builds the same network from the same first weights in every framework.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Weight:
    """One parameter: uniform in ±√(3 / fan_in), or the same number everywhere."""

    shape: Shape
    fan_in: int = 0
    constant: float = 0.0

    def draw(self, random: np.random.Generator) -> Array:
        """Its first value."""
        if not self.fan_in:
            return np.full(self.shape, self.constant, np.float32)
        bound = math.sqrt(3 / self.fan_in)
        return random.uniform(-bound, bound, self.shape).astype(np.float32)


class Layer:
    """A layer without weights and contractions that keeps the shape, unless it says otherwise."""

    def after(self, shape: Shape) -> Shape:
        """What it makes of one example's shape."""
        return shape

    def weights(self, shape: Shape) -> Iterator[Weight]:
        """Its parameters in the order in which every framework takes them."""
        yield from ()

    def flops(self, shape: Shape, inner: bool) -> tuple[int, int]:
        """Of one example: forward, and a training step; `inner`: the input needs a gradient."""
        forward = self.forward_flops(shape)
        return forward, forward * (3 if inner else 2)

    def forward_flops(self, shape: Shape) -> int:
        """Multiplications and additions of its contractions for one example."""
        return 0


Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Dense(Layer):
    """y = x W + b over the last axis; W is (in, out)."""

    units: int
    bias: bool = True

    def after(self, shape: Shape) -> Shape:  # noqa: D102 — as in Layer, here and below
        return (*shape[:-1], self.units)

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        yield Weight((shape[-1], self.units), fan_in=shape[-1])
        if self.bias:
            yield Weight((self.units,))

    def forward_flops(self, shape: Shape) -> int:  # noqa: D102
        return 2 * math.prod(shape) * self.units


@dataclass(frozen=True)
class Conv(Layer):
    """A convolution over all axes but the last; the filter is (*window, in/groups, filters)."""

    filters: int
    window: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = True

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        reach = self.dilation * (self.window - 1) + 1
        extents = ((n + 2 * self.padding - reach) // self.stride + 1 for n in shape[:-1])
        return (*extents, self.filters)

    def filter_shape(self, shape: Shape) -> Shape:
        """The filter's shape."""
        window = (self.window,) * (len(shape) - 1)
        return (*window, shape[-1] // self.groups, self.filters)

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        size = self.filter_shape(shape)
        yield Weight(size, fan_in=math.prod(size[:-1]))
        if self.bias:
            yield Weight((self.filters,))

    def forward_flops(self, shape: Shape) -> int:  # noqa: D102
        return 2 * math.prod(self.after(shape)) * math.prod(self.filter_shape(shape)[:-1])


@dataclass(frozen=True)
class ConvTranspose(Layer):
    """A transposed convolution whose windows lie side by side: every extent times `window`.

    The filter is (*window, in, filters).
    """

    filters: int
    window: int = 2

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        return (*(n * self.window for n in shape[:-1]), self.filters)

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        window = (self.window,) * (len(shape) - 1)
        yield Weight((*window, shape[-1], self.filters), fan_in=shape[-1])
        yield Weight((self.filters,))

    def forward_flops(self, shape: Shape) -> int:  # noqa: D102
        return 2 * math.prod(self.after(shape)) * shape[-1]


@dataclass(frozen=True)
class Activation(Layer):
    """One of "relu", "tanh" and "gelu" (the form with tanh), element by element."""

    kind: str


@dataclass(frozen=True)
class MaxPool(Layer):
    """The largest of each window; windows lie side by side unless a stride is given."""

    window: int
    stride: int = 0
    padding: int = 0

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        stride = self.stride or self.window
        reach = 2 * self.padding - self.window
        return (*((n + reach) // stride + 1 for n in shape[:-1]), shape[-1])


@dataclass(frozen=True)
class AvgPool(Layer):
    """The mean of each window; windows lie side by side."""

    window: int

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        return (*(n // self.window for n in shape[:-1]), shape[-1])


@dataclass(frozen=True)
class GlobalAvgPool(Layer):
    """The mean over all positions."""

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        return shape[-1:]


@dataclass(frozen=True)
class Flatten(Layer):
    """All axes made one."""

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        return (math.prod(shape),)


@dataclass(frozen=True)
class Dropout(Layer):
    """Zeros with this probability while training."""

    rate: float


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Normalisation by the batch, per channel; running statistics beside."""

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        yield Weight(shape[-1:], constant=1.0)
        yield Weight(shape[-1:])


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Normalisation of the last axis."""

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        yield Weight(shape[-1:], constant=1.0)
        yield Weight(shape[-1:])


@dataclass(frozen=True)
class Embedding(Layer):
    """A row of a table for every token; `positions`: and a row for every place added to it."""

    count: int
    width: int
    positions: bool = False

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        return (*shape, self.width)

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        yield Weight((self.count, self.width), fan_in=3)
        if self.positions:
            yield Weight((*shape, self.width), fan_in=300)


@dataclass(frozen=True)
class LSTM(Layer):
    """A recurrent layer over (time, features); gates in the order input, forget, cell, output."""

    units: int

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        return (shape[0], self.units)

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        yield Weight((shape[-1], 4 * self.units), fan_in=self.units)
        yield Weight((self.units, 4 * self.units), fan_in=3 * self.units)
        yield Weight((4 * self.units,))

    def forward_flops(self, shape: Shape) -> int:  # noqa: D102
        return 2 * shape[0] * 4 * self.units * (shape[-1] + self.units)


@dataclass(frozen=True)
class Attention(Layer):
    """Causal self-attention with several heads over (time, width), and its two projections."""

    heads: int

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        width = shape[-1]
        yield Weight((width, 3 * width), fan_in=width)
        yield Weight((3 * width,))
        yield Weight((width, width), fan_in=width)
        yield Weight((width,))

    def forward_flops(self, shape: Shape) -> int:  # noqa: D102
        time, width = shape
        return 2 * time * (4 * width * width + 2 * time * width)


@dataclass(frozen=True)
class Residual(Layer):
    """body(x) + shortcut(x); an empty shortcut is x itself."""

    body: Layers
    shortcut: Layers = ()

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        return after(self.body, shape)

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        yield from weights(self.body, shape)
        yield from weights(self.shortcut, shape)

    def flops(self, shape: Shape, inner: bool) -> tuple[int, int]:  # noqa: D102
        return _added(flops(path, shape, inner) for path in (self.body, self.shortcut))


@dataclass(frozen=True)
class Branches(Layer):
    """The results of several paths side by side along the channels; an empty path is x itself."""

    paths: tuple[Layers, ...]

    def after(self, shape: Shape) -> Shape:  # noqa: D102
        made = [after(path, shape) for path in self.paths]
        return (*made[0][:-1], sum(m[-1] for m in made))

    def weights(self, shape: Shape) -> Iterator[Weight]:  # noqa: D102
        for path in self.paths:
            yield from weights(path, shape)

    def flops(self, shape: Shape, inner: bool) -> tuple[int, int]:  # noqa: D102
        return _added(flops(path, shape, inner) for path in self.paths)


def after(layers: Layers, shape: Shape) -> Shape:
    """What a row of layers makes of one example's shape."""
    for layer in layers:
        shape = layer.after(shape)
    return shape


def weights(layers: Layers, shape: Shape) -> Iterator[Weight]:
    """The parameters of a row of layers, in order."""
    for layer in layers:
        yield from layer.weights(shape)
        shape = layer.after(shape)


def flops(layers: Layers, shape: Shape, inner: bool = False) -> tuple[int, int]:
    """Of one example: forward, and a training step (no gradient of the data themselves)."""
    forward = step = 0
    for layer in layers:
        part = layer.flops(shape, inner)
        forward, step = forward + part[0], step + part[1]
        inner = inner or next(layer.weights(shape), None) is not None
        shape = layer.after(shape)
    return forward, step


def first_weights(layers: Layers, shape: Shape, seed: int = 0) -> list[Array]:
    """The first values of all parameters: the same in every framework."""
    random = np.random.default_rng(seed)
    return [weight.draw(random) for weight in weights(layers, shape)]


def _added(parts: Iterator[tuple[int, int]]) -> tuple[int, int]:
    forward, step = zip(*parts, strict=True)
    return sum(forward), sum(step)
