"""Locally connected layers: convolutions whose filter is another one at every position."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn import init
from glubina.nn.architecture import register
from glubina.nn.checks import extents, images, positive, same_dtype
from glubina.nn.folding import Steps, columns, places
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor

Extents = int | tuple[int, ...]


@Formula
def _unshared(s: Steps, x: Node, weight: Node, bias: Node | None = None) -> Node:
    """One product per position: (N, taps · C) by (taps · C, out)."""
    windows = columns(s, x)
    n, *counts, taps, channels = windows.shape
    count = math.prod(counts)
    rows = ops.reshape(windows, (n, count, taps * channels))
    y = ops.matmul(ops.transpose(rows, (1, 0, 2)), weight)
    y = ops.reshape(ops.transpose(y, (1, 0, 2)), (n, *counts, weight.shape[-1]))
    return y if bias is None else ops.add(y, ops.broadcast(bias, y.shape))


def geometry(
    spatial: tuple[int, ...], kernel_size: Any, stride: Any = 1, padding: Any = "valid"
) -> Steps:
    """Of a layer over images of these extents; 'same' gives ⌈n / stride⌉ positions per axis."""
    rank = len(spatial)
    window, stride = extents("kernel_size", kernel_size, rank), extents("stride", stride, rank)
    around: Any
    if padding == "valid":
        around = ((0, 0),) * rank
    elif padding == "same":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(spatial, window, stride)]
        around = tuple((t // 2, t - t // 2) for t in totals)
    elif isinstance(padding, str):
        raise ValueError(f"padding is a number, a tuple, 'valid' or 'same', got {padding!r}")
    else:
        around = tuple((p, p) for p in extents("padding", padding, rank, 0))
    return Steps(window, (1,) * rank, around, stride)


def locally_connected(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    kernel_size: Extents = 1,
    stride: Extents = 1,
    padding: str | Extents = "valid",
) -> Tensor:
    """A convolution with a filter of its own at each position.

    x: (N, *spatial, C); weight: (positions, taps · C, out), positions and taps row by row, as in
    Keras; bias: (*positions, out), or (out,); the result is (N, *positions, out). ShapeError where
    the weight does not fit.
    """
    rank = len(x.shape) - 2
    if rank not in (1, 2, 3):
        raise ShapeError(f"expected input of shape (N, *spatial, C), got {x.shape}")
    same_dtype(x, weight)
    s = geometry(x.shape[1:-1], kernel_size, stride, padding)
    wanted = (math.prod(places(s, x.shape[1:-1])), math.prod(s.window) * x.shape[-1])
    if weight.shape[:-1] != wanted:
        raise ShapeError(
            f"expected a weight ({wanted[0]}, {wanted[1]}, out) for input {x.shape} and windows "
            f"{s.window}, got {weight.shape}"
        )
    return apply(_unshared, x, weight, *(() if bias is None else (bias,)), settings=(s,))


class _LocallyConnected(Module):
    """What the layers over one and two axes share."""

    rank: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Extents,
        kernel_size: Extents,
        stride: Extents = 1,
        padding: str | Extents = "valid",
        bias: bool = True,
    ) -> None:
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.input_size = extents("input_size", input_size, self.rank)
        self._geometry = geometry(self.input_size, kernel_size, stride, padding)
        self.kernel_size, self.stride = self._geometry.window, self._geometry.stride
        self.padding = padding
        self.output_size = places(self._geometry, self.input_size)
        taps = math.prod(self.kernel_size) * self.in_channels
        self.weight = Parameter.of_shape((math.prod(self.output_size), taps, self.out_channels))
        self.bias = Parameter.of_shape((*self.output_size, self.out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew: uniform in ±1/√(window · in_channels)."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, *input_size, in_channels) to (N, *positions, out_channels)."""
        same_dtype(x, self.weight)
        images(x, self.rank, self.in_channels)
        if x.shape[1:-1] != self.input_size:
            raise ShapeError(
                f"expected images of {self.input_size}, for which there are weights, got {x.shape}"
            )
        given = (self.weight,) if self.bias is None else (self.weight, self.bias)
        return apply(_unshared, x, *given, settings=(self._geometry,))

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}"
        )


@register
class LocallyConnected1d(_LocallyConnected):
    """Unshared weights over (N, L, C): (N, L', out_channels). See `LocallyConnected2d`."""

    rank = 1


@register
class LocallyConnected2d(_LocallyConnected):
    """A convolution whose weights are not shared: each position has a filter of its own.

    (N, H, W, in_channels), with H and W = `input_size`, to (N, H', W', out_channels); weight:
    (H' · W', KH · KW · in_channels, out_channels), bias: (H', W', out_channels). `padding`: a
    number, one per axis, 'valid' (none) or 'same' (⌈n / stride⌉ positions). Source: LeCun, 1989,
    "Generalization and network design strategies"; Taigman et al., 2014 (DeepFace).
    """

    rank = 2
