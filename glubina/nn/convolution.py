"""Convolutions over 1, 2 or 3 spatial axes, channels last."""

from __future__ import annotations

from typing import Any, ClassVar

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import ConvAttributes, Formula
from glubina.nn import init
from glubina.nn.architecture import register
from glubina.nn.checks import extents, images, positive, same_dtype
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.padding import MODES, check_widths, surrounded
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor
from glubina.tensor.trace import outside

Padding = str | int | tuple[int, ...]


def _widths(
    padding: Any, window: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """The zeros before and after, per spatial axis."""
    if padding == "valid":
        return ((0, 0),) * len(window)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(f"padding='same' needs stride 1, got {stride}")
        totals = [d * (k - 1) for d, k in zip(dilation, window)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if isinstance(padding, str):
        raise ValueError(f"padding is a number, a tuple, 'valid' or 'same', got {padding!r}")
    return tuple((n, n) for n in extents("padding", padding, len(window), 0))


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> Tensor:
    """y[n, o, j] = b_j + Σ_{k, c} w[k, c, j] x[n, o·stride + k·dilation − padding, c].

    x: (N, *spatial, C_in), weight: (*window, C_in/groups, C_out), bias: (C_out,); the result is
    (N, *output, C_out), where an axis of extent n gives
    ⌊(n + padding before and after − dilation·(k − 1) − 1) / stride⌋ + 1. ShapeError where the
    shapes do not fit or the window is larger than the padded input.
    """
    rank = len(weight.shape) - 2
    same_dtype(x, weight)
    images(x, rank, weight.shape[-2] * groups)
    window = weight.shape[:-2]
    steps = extents("stride", stride, rank)
    spread = extents("dilation", dilation, rank)
    widths = _widths(padding, window, steps, spread)
    geometry = ConvAttributes(steps, widths, spread, (1,) * rank, groups)
    return _apply(x, weight, bias, geometry)


@Formula
def _convolution(geometry: ConvAttributes, x: Node, weight: Node, bias: Node | None = None) -> Node:
    y = ops.conv(x, weight, geometry)
    return y if bias is None else ops.add(y, ops.broadcast(bias, y.shape))


def _apply(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvAttributes) -> Tensor:
    given: tuple[Tensor, ...] = (x, weight) if bias is None else (x, weight, bias)
    return apply(_convolution, *given, settings=(geometry,))


def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """`convolution` over (N, L, C) with a weight (K, C_in/groups, C_out)."""
    return convolution(x, _weight_of(weight, 1), bias, **options)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """`convolution` over (N, H, W, C) with a weight (KH, KW, C_in/groups, C_out)."""
    return convolution(x, _weight_of(weight, 2), bias, **options)


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """`convolution` over (N, D, H, W, C) with a weight (KD, KH, KW, C_in/groups, C_out)."""
    return convolution(x, _weight_of(weight, 3), bias, **options)


def _weight_of(weight: Tensor, rank: int) -> Tensor:
    if len(weight.shape) != rank + 2:
        raise ShapeError(f"conv{rank}d: a weight has {rank + 2} axes, got shape {weight.shape}")
    return weight


class _Convolution(Module):
    """What the convolutions over 1, 2 and 3 axes share."""

    rank: ClassVar[int]
    weight_order: ClassVar[str] = "out in"  # PyTorch's, before the window; here both stand last

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: Padding = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        self.in_channels = positive("in_channels", in_channels)
        self._set_geometry(out_channels, kernel_size, stride, padding, dilation, groups)
        self._set_around(padding_mode)
        self._check_groups()
        self.weight = Parameter.of_shape(self._weight_shape())
        self.bias = Parameter.of_shape((self.out_channels,)) if bias else None
        self.reset_parameters()

    def _set_geometry(
        self, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        groups: int,
    ) -> None:  # fmt: skip
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = extents("kernel_size", kernel_size, self.rank)
        self.stride = extents("stride", stride, self.rank)
        self.dilation = extents("dilation", dilation, self.rank)
        self.groups = positive("groups", groups)
        widths = _widths(padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else tuple(low for low, _ in widths)
        self._geometry = ConvAttributes(
            self.stride, widths, self.dilation, (1,) * self.rank, self.groups
        )

    def _set_around(self, mode: str) -> None:
        """Padding other than with zeros is put around the image before the convolution."""
        if mode not in ("zeros", *MODES[1:]):
            names = ", ".join(("zeros", *MODES[1:]))
            raise ValueError(f"padding_mode is one of {names}, got {mode!r}")
        self.padding_mode = mode
        self._around = None if mode == "zeros" else self._geometry.padding
        if self._around is not None:
            self._geometry = self._geometry._replace(padding=((0, 0),) * self.rank)

    def _check_groups(self) -> None:
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide the channels: {self.in_channels} in, "
                f"{self.out_channels} out, {self.groups} groups"
            )

    def _weight_shape(self) -> tuple[int, ...]:
        return (*self.kernel_size, self.in_channels // self.groups, self.out_channels)

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        init.default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, *spatial, in_channels) to (N, *output, out_channels)."""
        same_dtype(x, self.weight)
        images(x, self.rank, self.in_channels)
        if self._around is not None:
            check_widths(x, self._around, self.padding_mode)
            x = apply(surrounded, x, settings=(self._around, self.padding_mode, 0.0))
        return _apply(x, self.weight, self.bias, self._geometry)

    def extra_repr(self) -> str:
        """The channels, the window, and what is not the default."""
        parts = [str(self.in_channels or "in_channels not known yet"), str(self.out_channels)]
        parts.append(f"kernel_size={self.kernel_size}")
        for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)):
            value = getattr(self, name)
            if value != (usual,) * self.rank:
                parts.append(f"{name}={value!r}")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode!r}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class _LazyConvolution(_Convolution):
    """A convolution that learns in_channels from its first input."""

    becomes: ClassVar[type[_Convolution]]

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: Padding = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        self.in_channels = 0
        self._set_geometry(out_channels, kernel_size, stride, padding, dilation, groups)
        self._set_around(padding_mode)
        self.weight = Parameter.uninitialised()
        self.bias = Parameter.uninitialised() if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Become the convolution for inputs like x, and run it."""
        images(x, self.rank)
        with outside():
            self.materialise(x.shape[-1])
        return _Convolution.forward(self, x)

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
        if self.weight.is_uninitialised:
            return
        self.in_channels = self.weight.shape[-2] * self.groups
        self._arguments = ((), {"in_channels": self.in_channels, **self.config()})
        self.__class__ = self.becomes  # type: ignore[assignment]


@register
class Conv1d(_Convolution):
    """A convolution over one axis: (N, L, in_channels) to (N, L', out_channels).

    weight: (K, in_channels/groups, out_channels). Arguments as in `Conv2d`.
    """

    rank = 1


@register
class Conv2d(_Convolution):
    """A convolution over images: (N, H, W, in_channels) to (N, H', W', out_channels).

    weight: (KH, KW, in_channels/groups, out_channels); bias: (out_channels,). `padding` is a
    number of zeros around the image (or one per axis), 'valid' (none) or 'same' (the output is as
    large as the input; stride 1); `padding_mode` says with what: 'zeros', 'reflect', 'replicate' or
    'circular' (see `pad`). See `convolution` for the formula. Source: LeCun et al.,
    "Gradient-based learning applied to document recognition", 1998.
    """

    rank = 2


@register
class Conv3d(_Convolution):
    """A convolution over volumes: (N, D, H, W, in_channels) to (N, D', H', W', out_channels).

    weight: (KD, KH, KW, in_channels/groups, out_channels). Arguments as in `Conv2d`.
    """

    rank = 3


@register
class LazyConv1d(_LazyConvolution):
    """A `Conv1d` that learns in_channels from its first input, and is one from then on."""

    rank = 1
    becomes = Conv1d


@register
class LazyConv2d(_LazyConvolution):
    """A `Conv2d` that learns in_channels from its first input, and is one from then on."""

    rank = 2
    becomes = Conv2d


@register
class LazyConv3d(_LazyConvolution):
    """A `Conv3d` that learns in_channels from its first input, and is one from then on."""

    rank = 3
    becomes = Conv3d
