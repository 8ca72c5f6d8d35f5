"""Convolutions of channels-first images, with weights in PyTorch's layout (out, in, *window)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from glubina.nn import convolution as plain
from glubina.nn import transposed
from glubina.nn.checks import same_dtype
from glubina.nn.formula import apply
from glubina.nn.padding import check_widths, surrounded
from glubina.tensor.trace import outside
from glubina.torch.makers import told
from glubina.torch.nn import init
from glubina.torch.nn.layers import face_of
from glubina.torch.nn.layout import on_images, spatial_of, transposed_weight_last, weight_last

_CONV = "kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True padding_mode='zeros'"
_TRANSPOSED = (
    "in_channels out_channels kernel_size stride=1 padding=0 output_padding=0 groups=1 bias=True "
    "dilation=1 padding_mode!'zeros'"
)


class _Convolution:
    """The weight as PyTorch has it; each call turns it for the kernel."""

    rank: ClassVar[int]
    weight_order: ClassVar[str] = ""  # the weight lies as PyTorch has it
    weight: Any
    bias: Any
    _around: Any
    _geometry: Any
    padding_mode: str
    kernel_size: tuple[int, ...]
    in_channels: int
    out_channels: int
    groups: int

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draw the weights anew: uniform in ±1/√fan_in."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Any) -> Any:
        """From (N, in_channels, *spatial) to (N, out_channels, *output)."""
        return told(on_images(self._last, x, self.rank, self.in_channels), "Convolution")

    def _last(self, x: Any) -> Any:
        same_dtype(x, self.weight)
        if self._around is not None:
            check_widths(x, self._around, self.padding_mode)
            x = apply(surrounded, x, settings=(self._around, self.padding_mode, 0.0))
        return plain._apply(x, weight_last(self.weight), self.bias, self._geometry)


class _LazyConvolution(_Convolution):
    """Learns in_channels from its first input."""

    becomes: ClassVar[type[Any]]
    materialise: Any

    def forward(self, x: Any) -> Any:
        """Become the convolution for inputs like x, and run it."""
        with outside():
            self.materialise(x.shape[-self.rank - 1])
        return _Convolution.forward(self, x)

    def loaded(self) -> None:
        """Become the convolution if the weight has its shape now."""
        if not self.weight.is_uninitialised:
            self.in_channels = self.weight.shape[1] * self.groups
            self.__class__ = self.becomes


class _Transposed:
    """The weight as PyTorch has it, (in, out/groups, *window)."""

    rank: ClassVar[int]
    weight_order: ClassVar[str] = ""  # the weight lies as PyTorch has it
    weight: Any
    bias: Any
    _geometry_for: Any
    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, ...]

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draw the weights anew: uniform in ±1/√(window · out_channels/groups)."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Any, output_size: Any = None) -> Any:
        """From (N, in_channels, *spatial) to (N, out_channels, *output)."""
        size = spatial_of(output_size, self.rank)
        run = lambda last: self._last(last, size)  # noqa: E731
        return told(on_images(run, x, self.rank, self.in_channels), "Convolution")

    def _last(self, x: Any, size: Any) -> Any:
        same_dtype(x, self.weight)
        geometry = self._geometry_for(x.shape[1:-1], size)
        return transposed._apply(x, transposed_weight_last(self.weight), self.bias, geometry)


class _LazyTransposed(_Transposed):
    """Learns in_channels from its first input."""

    becomes: ClassVar[type[Any]]
    materialise: Any

    def forward(self, x: Any, output_size: Any = None) -> Any:
        """Become the convolution for inputs like x, and run it."""
        with outside():
            self.materialise(x.shape[-self.rank - 1])
        return _Transposed.forward(self, x, output_size)

    def loaded(self) -> None:
        """Become the convolution if the weight has its shape now."""
        if not self.weight.is_uninitialised:
            self.in_channels = self.weight.shape[0]
            self.__class__ = self.becomes


Conv1d, Conv2d, Conv3d = (
    face_of(f"Conv{n}d", f"in_channels out_channels {_CONV}", None, _Convolution) for n in (1, 2, 3)
)
LazyConv1d, LazyConv2d, LazyConv3d = (
    face_of(f"LazyConv{n}d", f"out_channels {_CONV}", None, _LazyConvolution, becomes=kind)
    for n, kind in ((1, Conv1d), (2, Conv2d), (3, Conv3d))
)
ConvTranspose1d, ConvTranspose2d, ConvTranspose3d = (
    face_of(f"ConvTranspose{n}d", _TRANSPOSED, None, _Transposed) for n in (1, 2, 3)
)
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = (
    face_of(
        f"LazyConvTranspose{n}d", _TRANSPOSED.partition(" ")[2], None, _LazyTransposed, becomes=kind
    )
    for n, kind in ((1, ConvTranspose1d), (2, ConvTranspose2d), (3, ConvTranspose3d))
)
