"""Residual blocks: a few layers learn what is to be added to their input."""

from __future__ import annotations

from typing import ClassVar

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.activation import relu
from glubina.nn.architecture import register
from glubina.nn.blocks.convolutional import conv_norm, norm_conv
from glubina.nn.convolution import Conv2d
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.normalisation import BatchNorm2d
from glubina.tensor import Tensor


@Formula
def _more_channels(count: int, x: Node) -> Node:
    """Channels of zeros after those of x."""
    none = (0,) * len(x.shape)
    return ops.pad(x, none, (*none[1:], count), none)


@register
class Shortcut(Module):
    """The way around a residual branch: the input itself, or fitted to another size.

    Where the number of channels or the stride changes, kind says how: "projection" is a 1 × 1
    convolution with batch normalisation (option B of the paper; norm=False: the convolution
    alone), "pad" takes every stride-th pixel and adds channels of zeros (option A: no
    parameters). Source: He et al., 2015, arXiv:1512.03385.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        kind: str = "projection",
        norm: bool = True,
    ) -> None:
        if kind not in ("projection", "pad"):
            raise ValueError(f"a shortcut is 'projection' or 'pad', got {kind!r}")
        if kind == "pad" and out_channels < in_channels:
            raise ValueError(
                f"a shortcut of kind 'pad' adds channels, it cannot go from {in_channels} to "
                f"{out_channels}: use 'projection'"
            )
        self.changes = in_channels != out_channels or stride != 1
        self.stride, self.more = stride, out_channels - in_channels
        self.projection: Module | None = None
        if self.changes and kind == "projection":
            if norm:
                self.projection = conv_norm(in_channels, out_channels, 1, stride, activation=False)
            else:
                self.projection = Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, in_channels) to (N, ⌈H/stride⌉, ⌈W/stride⌉, out_channels)."""
        if not self.changes:
            return x
        if self.projection is not None:
            result: Tensor = self.projection(x)
            return result
        fewer = x[:, :: self.stride, :: self.stride]
        return apply(_more_channels, fewer, settings=(self.more,))


class _Residual(Module):
    """What the four blocks share: a branch and a way around it."""

    expansion: ClassVar[int] = 1
    """How many times `channels` the block gives out."""

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, shortcut: str = "projection"
    ) -> None:
        self.out_channels = channels * self.expansion
        self._branch(in_channels, channels, stride)
        self.shortcut = Shortcut(
            in_channels, self.out_channels, stride, shortcut, norm=self._norm_in_shortcut
        )

    _norm_in_shortcut = True

    def _branch(self, in_channels: int, channels: int, stride: int) -> None:
        raise NotImplementedError


class _PostActivation(_Residual):
    def branch(self, x: Tensor) -> Tensor:
        """What is added to the shortcut."""
        raise NotImplementedError

    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        """relu(shortcut(x) + branch(x)); `more` tensors are added before the ReLU."""
        total: Tensor = self.branch(x) + self.shortcut(x)
        for other in more:
            total = total + other
        return relu(total)


@register
class ResidualBlock(_PostActivation):
    """relu(shortcut(x) + F(x)), F two convolutions 3 × 3 with batch normalisation.

    (N, H, W, in_channels) to (N, H/stride, W/stride, channels); the first convolution has the
    stride. shortcut: "projection" or "pad", see `Shortcut`. Source: He et al., 2015,
    arXiv:1512.03385.
    """

    def _branch(self, in_channels: int, channels: int, stride: int) -> None:
        self.first = conv_norm(in_channels, channels, 3, stride)
        self.second = conv_norm(channels, channels, 3, activation=False)

    def branch(self, x: Tensor) -> Tensor:
        """Conv, norm, ReLU, conv, norm."""
        result: Tensor = self.second(self.first(x))
        return result


@register
class BottleneckBlock(_PostActivation):
    """relu(shortcut(x) + F(x)), F = 1 × 1 to `inner` channels, 3 × 3, 1 × 1 to 4 · `channels`.

    inner: `channels` unless given. groups: of the 3 × 3 convolution; with more than one it is the
    block of ResNeXt. The stride is that of the 3 × 3 convolution, as everybody does since
    fb.resnet.torch (in the paper it is the first one's; the parameters are the same). Source: He
    et al., 2015, arXiv:1512.03385; groups: Xie et al., 2016, arXiv:1611.05431.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        shortcut: str = "projection",
        inner: int | None = None,
        groups: int = 1,
    ) -> None:
        self.inner, self.groups = channels if inner is None else inner, groups
        super().__init__(in_channels, channels, stride, shortcut)

    def _branch(self, in_channels: int, channels: int, stride: int) -> None:
        self.first = conv_norm(in_channels, self.inner, 1)
        self.second = conv_norm(self.inner, self.inner, 3, stride, groups=self.groups)
        self.third = conv_norm(self.inner, 4 * channels, 1, activation=False)

    def branch(self, x: Tensor) -> Tensor:
        """Conv, norm, ReLU, three times, without the last ReLU."""
        result: Tensor = self.third(self.second(self.first(x)))
        return result


class _PreActivation(_Residual):
    _norm_in_shortcut = False

    def rest(self, x: Tensor) -> Tensor:
        """The branch after its first normalisation and ReLU."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """shortcut + branch; where the shortcut changes the size, it begins after the ReLU."""
        normalised = relu(self.norm(x))
        around = self.shortcut(normalised if self.shortcut.projection is not None else x)
        result: Tensor = around + self.rest(normalised)
        return result

    norm: BatchNorm2d


@register
class PreActivationBlock(_PreActivation):
    """shortcut(x) + F(x), F = (norm, ReLU, 3 × 3) twice: nothing stands on the way around.

    The arguments are those of `ResidualBlock`. Source: He et al., 2016, arXiv:1603.05027.
    """

    def _branch(self, in_channels: int, channels: int, stride: int) -> None:
        self.norm = BatchNorm2d(in_channels)
        self.first = Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.second = norm_conv(channels, channels, 3)

    def rest(self, x: Tensor) -> Tensor:
        """Conv, norm, ReLU, conv."""
        result: Tensor = self.second(self.first(x))
        return result


@register
class PreActivationBottleneck(_PreActivation):
    """shortcut(x) + F(x), F = norm, ReLU and convolution three times: 1 × 1, 3 × 3, 1 × 1.

    Gives 4 · `channels`. Source: He et al., 2016, arXiv:1603.05027.
    """

    expansion = 4

    def _branch(self, in_channels: int, channels: int, stride: int) -> None:
        self.norm = BatchNorm2d(in_channels)
        self.first = Conv2d(in_channels, channels, 1, bias=False)
        self.second = norm_conv(channels, channels, 3, stride)
        self.third = norm_conv(channels, 4 * channels, 1)

    def rest(self, x: Tensor) -> Tensor:
        """Conv, then norm, ReLU, conv, twice."""
        result: Tensor = self.third(self.second(self.first(x)))
        return result
