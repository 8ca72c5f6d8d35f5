"""Pooling: windows and whole images; and the layers that make images larger or smaller."""

from __future__ import annotations

from typing import Any, ClassVar

from glubina.graph import ops
from glubina.graph.ops import WindowAttributes
from glubina.keras.layer import Layer, known
from glubina.keras.layers.geometry import channels_last, same_widths
from glubina.keras.lookup import unknown
from glubina.nn import functional as F
from glubina.nn.checks import extents, images
from glubina.nn.formula import apply
from glubina.tensor import Tensor, max, mean


class _Pool(Layer):
    """What the pooling layers share."""

    rank: ClassVar[int]

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        channels_last(data_format)
        self.pool_size = extents("pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else extents("strides", strides, self.rank)
        self.padding = str(padding).lower()
        if self.padding not in ("valid", "same"):
            raise unknown("padding", padding, ("valid", "same"))

    def geometry(self, x: Tensor) -> WindowAttributes:
        """The windows over this input."""
        images(x, self.rank)
        widths = [(0, 0)] * self.rank
        if self.padding == "same":
            ones = (1,) * self.rank
            widths = same_widths(x.shape[1:-1], self.pool_size, self.strides, ones)
        return WindowAttributes(self.pool_size, self.strides, tuple(widths))

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The steps are others."""
        return None


class _MaxPooling(_Pool):
    def call(self, inputs: Tensor) -> Tensor:
        """The largest of each window."""
        geometry = self.geometry(inputs)
        return apply(lambda node: ops.pool_max(node, geometry), inputs)


class _AveragePooling(_Pool):
    def call(self, inputs: Tensor) -> Tensor:
        """The mean of each window; zeros of the padding do not count."""
        geometry = self.geometry(inputs)
        total = apply(lambda node: ops.pool_sum(node, geometry), inputs)
        if not any(sum(pair) for pair in geometry.padding):
            return total * (1 / _product(self.pool_size))
        one = inputs[:1, ..., :1].detach() * 0 + 1
        return total / apply(lambda node: ops.pool_sum(node, geometry), one)


def _product(numbers: tuple[int, ...]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result


@known
class MaxPooling1D(_MaxPooling):
    """The largest of each window over (N, L, C)."""

    rank = 1


@known
class MaxPooling2D(_MaxPooling):
    """The largest of each window over images (N, H, W, C); windows side by side unless told."""

    rank = 2


@known
class MaxPooling3D(_MaxPooling):
    """The largest of each window over volumes (N, D, H, W, C)."""

    rank = 3


@known
class AveragePooling1D(_AveragePooling):
    """The mean of each window over (N, L, C)."""

    rank = 1


@known
class AveragePooling2D(_AveragePooling):
    """The mean of each window over images (N, H, W, C)."""

    rank = 2


@known
class AveragePooling3D(_AveragePooling):
    """The mean of each window over volumes (N, D, H, W, C)."""

    rank = 3


class _GlobalPool(Layer):
    """One number per channel."""

    rank: ClassVar[int]

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        channels_last(data_format)
        self.keepdims = keepdims

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """There are no steps any more."""
        return None

    def _axes(self, x: Tensor) -> tuple[int, ...]:
        images(x, self.rank)
        return tuple(range(1, self.rank + 1))


class _GlobalMax(_GlobalPool):
    def call(self, inputs: Tensor) -> Tensor:
        """The largest of each channel."""
        return max(inputs, axis=self._axes(inputs), keepdims=self.keepdims)


class _GlobalAverage(_GlobalPool):
    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The mean of each channel; masked steps do not count."""
        axes = self._axes(inputs)
        if mask is None:
            return mean(inputs, axis=axes, keepdims=self.keepdims)
        there = mask.reshape((*mask.shape, 1)).astype(inputs.dtype)
        total = (inputs * there).sum(axis=axes, keepdims=self.keepdims)
        return total / there.sum(axis=axes, keepdims=self.keepdims)


@known
class GlobalMaxPooling1D(_GlobalMax):
    """(N, L, C) to (N, C): the largest."""

    rank = 1


@known
class GlobalMaxPooling2D(_GlobalMax):
    """(N, H, W, C) to (N, C): the largest."""

    rank = 2


@known
class GlobalAveragePooling1D(_GlobalAverage):
    """(N, L, C) to (N, C): the mean."""

    rank = 1


@known
class GlobalAveragePooling2D(_GlobalAverage):
    """(N, H, W, C) to (N, C): the mean."""

    rank = 2


def _pairs(name: str, value: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) of each axis, from a number, one per axis, or the pairs themselves."""
    given = (value,) * rank if isinstance(value, int) else tuple(value)
    if rank == 1 and len(given) == 2 and all(isinstance(part, int) for part in given):
        given = (given,)
    pairs = tuple((p, p) if isinstance(p, int) else tuple(p) for p in given)
    if len(pairs) != rank or any(len(p) != 2 or min(p) < 0 for p in pairs):
        raise ValueError(f"{name} is a number, {rank} numbers or {rank} pairs, got {value!r}")
    return pairs


class _Around(Layer):
    rank: ClassVar[int]
    sign: ClassVar[int]
    argument: ClassVar[str]

    def _set(self, value: Any, data_format: str | None) -> None:
        channels_last(data_format)
        self.widths = _pairs(self.argument, value, self.rank)

    def call(self, inputs: Tensor) -> Tensor:
        """The larger or smaller image."""
        images(inputs, self.rank)
        return F.pad(inputs, [self.sign * n for pair in reversed(self.widths) for n in pair])


class _ZeroPadding(_Around):
    sign, argument = 1, "padding"

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._set(padding, data_format)


class _Cropping(_Around):
    sign, argument = -1, "cropping"

    def __init__(self, cropping: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._set(cropping, data_format)


@known
class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps of (N, L, C)."""

    rank = 1


@known
class ZeroPadding2D(_ZeroPadding):
    """Zeros around images: a number, (rows, columns), or ((top, bottom), (left, right))."""

    rank = 2


@known
class Cropping1D(_Cropping):
    """Steps cut off before and after."""

    rank = 1


@known
class Cropping2D(_Cropping):
    """Images with their edges cut off: a number, (rows, columns), or pairs of them."""

    rank = 2


class _UpSampling(Layer):
    rank: ClassVar[int]
    interpolations: ClassVar[tuple[str, ...]] = ("nearest",)

    def __init__(
        self,
        size: Any = 2,
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        channels_last(data_format)
        self.size = extents("size", size, self.rank)
        if interpolation not in self.interpolations:
            raise unknown("interpolation", interpolation, self.interpolations)
        self.interpolation = interpolation

    def call(self, inputs: Tensor) -> Tensor:
        """The larger image: every element repeated, or the weighted means of neighbours."""
        return F.interpolate(inputs, scale_factor=self.size, mode=self.interpolation)


@known
class UpSampling1D(_UpSampling):
    """Every step of (N, L, C) repeated `size` times."""

    rank = 1


@known
class UpSampling2D(_UpSampling):
    """Images `size` times larger; interpolation: "nearest" (repeated), "bilinear" or "area"."""

    rank = 2
    interpolations = ("nearest", "bilinear", "area")


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
