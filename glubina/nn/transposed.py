"""Transposed convolutions over 1, 2 or 3 spatial axes, channels last."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import ConvAttributes, Formula
from glubina.nn import init
from glubina.nn.architecture import register
from glubina.nn.checks import extents, images, positive, same_dtype
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor

Extents = int | tuple[int, ...]


def _geometry(
    window: tuple[int, ...], stride: Any, padding: Any, output_padding: Any, dilation: Any,
    groups: int,
) -> ConvAttributes:  # fmt: skip
    """Of the convolution that does the same: over the input with zeros between its elements."""
    rank = len(window)
    steps = extents("stride", stride, rank)
    cut = extents("padding", padding, rank, 0)
    more = extents("output_padding", output_padding, rank, 0)
    spread = extents("dilation", dilation, rank)
    if any(m >= max(s, d) for m, s, d in zip(more, steps, spread)):
        raise ValueError(
            f"output_padding must be less than stride or dilation: {more}, {steps} and {spread}"
        )
    around = []
    for k, d, c, m in zip(window, spread, cut, more, strict=True):
        reach = d * (k - 1) - c
        around.append((reach, reach + m))
    return ConvAttributes((1,) * rank, tuple(around), spread, steps, groups)


@Formula
def _transposed(geometry: ConvAttributes, x: Node, weight: Node, bias: Node | None = None) -> Node:
    *window, inputs, share = weight.shape
    rank, groups = len(window), geometry.groups
    weight = ops.flip(weight, tuple(range(rank)))
    if groups > 1:  # each group's filters stand below one another: put them side by side
        apart = ops.reshape(weight, (*window, groups, inputs // groups, share))
        beside = ops.transpose(apart, (*range(rank), rank + 1, rank, rank + 2))
        weight = ops.reshape(beside, (*window, inputs // groups, groups * share))
    y = ops.conv(x, weight, geometry)
    return y if bias is None else ops.add(y, ops.broadcast(bias, y.shape))


def _apply(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvAttributes) -> Tensor:
    given: tuple[Tensor, ...] = (x, weight) if bias is None else (x, weight, bias)
    return apply(_transposed, *given, settings=(geometry,))


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Extents = 0,
    output_padding: Extents = 0,
    groups: int = 1,
    dilation: Extents = 1,
) -> Tensor:
    """The derivative of a convolution for its input: y[n, i·stride + k·dilation − padding, j] is
    b_j + the sum of w[k, c, j] x[n, i, c] over all i, k that lead there.

    x: (N, *spatial, C_in), weight: (*window, C_in, C_out/groups), bias: (C_out,); the result is
    (N, *output, C_out), where an axis of extent n gives
    (n − 1)·stride − 2·padding + dilation·(k − 1) + output_padding + 1. ShapeError where the shapes
    do not fit. Source: Dumoulin and Visin, 2016, arXiv:1603.07285.
    """  # noqa: D205 — the formula is the first sentence
    rank = len(weight.shape) - 2
    same_dtype(x, weight)
    images(x, rank, weight.shape[-2])
    if x.shape[-1] % groups:
        raise ShapeError(f"conv_transpose: {groups} groups do not divide {x.shape[-1]} channels")
    geometry = _geometry(weight.shape[:-2], stride, padding, output_padding, dilation, groups)
    return _apply(x, weight, bias, geometry)


def conv_transpose1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any
) -> Tensor:
    """`conv_transpose` over (N, L, C) with a weight (K, C_in, C_out/groups)."""
    return conv_transpose(x, _weight_of(weight, 1), bias, **options)


def conv_transpose2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any
) -> Tensor:
    """`conv_transpose` over (N, H, W, C) with a weight (KH, KW, C_in, C_out/groups)."""
    return conv_transpose(x, _weight_of(weight, 2), bias, **options)


def conv_transpose3d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any
) -> Tensor:
    """`conv_transpose` over (N, D, H, W, C) with a weight (KD, KH, KW, C_in, C_out/groups)."""
    return conv_transpose(x, _weight_of(weight, 3), bias, **options)


def _weight_of(weight: Tensor, rank: int) -> Tensor:
    if len(weight.shape) != rank + 2:
        raise ShapeError(
            f"conv_transpose{rank}d: a weight has {rank + 2} axes, got shape {weight.shape}"
        )
    return weight


class _ConvTranspose(Module):
    """What the transposed convolutions over 1, 2 and 3 axes share."""

    rank: ClassVar[int]
    weight_order: ClassVar[str] = "in out"  # PyTorch's, before the window; here both stand last

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents = 1,
        padding: Extents = 0,
        output_padding: Extents = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extents = 1,
    ) -> None:
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self._set_geometry(kernel_size, stride, padding, output_padding, groups, dilation)
        self._check_groups()
        self.weight = Parameter.of_shape(self._weight_shape())
        self.bias = Parameter.of_shape((self.out_channels,)) if bias else None
        self.reset_parameters()

    def _set_geometry(
        self, kernel_size: Any, stride: Any, padding: Any, output_padding: Any, groups: int,
        dilation: Any,
    ) -> None:  # fmt: skip
        self.groups = positive("groups", groups)
        self.kernel_size = extents("kernel_size", kernel_size, self.rank)
        self.stride = extents("stride", stride, self.rank)
        self.padding = extents("padding", padding, self.rank, 0)
        self.output_padding = extents("output_padding", output_padding, self.rank, 0)
        self.dilation = extents("dilation", dilation, self.rank)
        self._geometry = self._geometry_with(self.output_padding)

    def _geometry_with(self, output_padding: tuple[int, ...]) -> ConvAttributes:
        return _geometry(
            *(self.kernel_size, self.stride, self.padding, output_padding, self.dilation),
            self.groups,
        )

    def _check_groups(self) -> None:
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide the channels: {self.in_channels} in, {self.out_channels} "
                f"out, {self.groups} groups"
            )

    def _geometry_for(self, spatial: tuple[int, ...], output_size: Any) -> ConvAttributes:
        """The geometry whose output has the size asked for: output_padding makes up for the rest.

        Several extents are made the same by a convolution with a stride; the way back can lead to
        any of them.
        """
        if output_size is None:
            return self._geometry
        sizes = output_size if isinstance(output_size, int) else tuple(output_size)
        if isinstance(sizes, tuple) and len(sizes) == self.rank + 2:
            sizes = sizes[1:-1]
        wanted = extents("output_size", sizes, self.rank)
        found = zip(spatial, self.kernel_size, self.stride, self.padding, self.dilation)
        least = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in found)
        more = tuple(w - m for w, m in zip(wanted, least, strict=True))
        if any(not 0 <= m < s for m, s in zip(more, self.stride)):
            raise ValueError(
                f"output_size for an input of {spatial} must be from {least} to "
                f"{tuple(m + s - 1 for m, s in zip(least, self.stride))}, got {output_size!r}"
            )
        return self._geometry_with(more)

    def _weight_shape(self) -> tuple[int, ...]:
        return (*self.kernel_size, self.in_channels, self.out_channels // self.groups)

    def reset_parameters(self) -> None:
        """Draw the weights anew: uniform in ±1/√(window · out_channels/groups), as in PyTorch."""
        bound = 1 / math.sqrt(math.prod(self.kernel_size) * self.weight.shape[-1])
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """From (N, *spatial, in_channels) to (N, *output, out_channels).

        output_size: the extents *output, in place of what `output_padding` gives.
        """
        same_dtype(x, self.weight)
        images(x, self.rank, self.in_channels)
        geometry = self._geometry_for(x.shape[1:-1], output_size)
        return _apply(x, self.weight, self.bias, geometry)

    def extra_repr(self) -> str:
        """The channels, the window, and what is not the default."""
        known = str(self.in_channels or "in_channels not known yet")
        parts = [known, str(self.out_channels), f"kernel_size={self.kernel_size}"]
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
        for name, number in usual.items():
            value = getattr(self, name)
            if value != (number,) * self.rank:
                parts.append(f"{name}={value!r}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


@register
class ConvTranspose1d(_ConvTranspose):
    """A transposed convolution: (N, L, in_channels) to (N, L', out_channels).

    weight: (K, in_channels, out_channels/groups). Arguments as in `ConvTranspose2d`.
    """

    rank = 1


@register
class ConvTranspose2d(_ConvTranspose):
    """A transposed convolution of images: (N, H, W, in_channels) to (N, H', W', out_channels).

    weight: (KH, KW, in_channels, out_channels/groups); bias: (out_channels,). What `Conv2d` with
    the same stride and padding makes smaller, it makes larger: H' = (H − 1)·stride − 2·padding +
    dilation·(KH − 1) + output_padding + 1. See `conv_transpose` for the formula.
    """

    rank = 2


@register
class ConvTranspose3d(_ConvTranspose):
    """A transposed convolution of volumes: (N, D, H, W, in_channels) to (N, ..., out_channels).

    weight: (KD, KH, KW, in_channels, out_channels/groups). Arguments as in `ConvTranspose2d`.
    """

    rank = 3
