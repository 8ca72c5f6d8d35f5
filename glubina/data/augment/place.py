"""Images moved by whole pixels: flips, shifts and crops, without interpolation."""

from __future__ import annotations

import numpy as np

from glubina.data.augment.base import Augmentation
from glubina.data.augment.chance import chosen, each, pixels, probability, whole
from glubina.data.errors import DataError
from glubina.graph import ops
from glubina.tensor import Tensor, arange, clip, repeat, tile, where
from glubina.tensor.base import consume_value, wrap

MODES = ("constant", "edge", "reflect")


def gathered(x: Tensor, place: Tensor) -> Tensor:
    """Numbers of a batch by their places in it, counted through all images, in the places' shape.

    Single numbers and not pixels: with few channels a vector of them spans several pixels.
    """
    return wrap(ops.take(consume_value(x.reshape((-1,))), consume_value(place), 0))


def along(width: int, channels: int) -> Tensor:
    """Of each number in a row of pixels its column: (width · channels,), int32."""
    return repeat(arange(width, dtype=np.int32), channels)


def channel(width: int, channels: int) -> Tensor:
    """Of each number in a row of pixels its channel: (width · channels,), int32."""
    return tile(arange(channels, dtype=np.int32), width)


def window(
    x: Tensor, top: Tensor, left: Tensor, size: tuple[int, int], fill: float, mode: str
) -> Tensor:
    """Of each image (H, W, C) the window with this corner (N,) and size (rows, columns).

    What lies outside the image is `fill` (mode "constant"), the nearest pixel ("edge") or the
    image mirrored without repeating its edge ("reflect").
    """
    n, h, w, c = x.shape
    rows = top.reshape((n, 1)) + arange(size[0], dtype=np.int32)
    columns = left.reshape((n, 1)) + along(size[1], c)
    inside_rows, inside_columns = (rows >= 0) & (rows < h), (columns >= 0) & (columns < w)
    if mode == "reflect":
        rows, columns = _mirrored(rows, h), _mirrored(columns, w)
    rows, columns = clip(rows, 0, h - 1), clip(columns, 0, w - 1)
    image = arange(n, dtype=np.int32).reshape((n, 1)) * h
    across = (columns * c + channel(size[1], c)).reshape((n, 1, size[1] * c))
    moved = gathered(x, ((image + rows) * (w * c)).reshape((n, size[0], 1)) + across)
    if mode == "constant":
        inside = inside_rows.reshape((n, size[0], 1)) & inside_columns.reshape((n, 1, size[1] * c))
        moved = where(inside, moved, fill)
    return moved.reshape((n, *size, c))


def _mirrored(place: Tensor, extent: int) -> Tensor:
    """Places up to one extent outside, mirrored at the first and the last pixel."""
    return (extent - 1) - abs((extent - 1) - abs(place))


def _mode(mode: str) -> str:
    if mode not in MODES:
        raise DataError(f"mode is one of {', '.join(map(repr, MODES))}, got {mode!r}")
    return mode


def _turned(x: Tensor, p: float, places: Tensor, extent: int) -> Tensor:
    """Places from 0 to extent − 1, for each example with probability p counted from the last."""
    places = places.reshape((1, -1))
    return where(each(chosen(x, p), 2), extent - 1 - places, places) if p > 0 else places


class RandomFlip(Augmentation):
    """Mirrors images: left and right with one probability, upside down with another."""

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0) -> None:
        self.horizontal = probability("horizontal", horizontal)
        self.vertical = probability("vertical", vertical)

    def images(self, x: Tensor) -> Tensor:
        """The images, some of them mirrored."""
        n, h, w, c = x.shape
        rows = _turned(x, self.vertical, arange(h, dtype=np.int32), h)
        columns = _turned(x, self.horizontal, along(w, c), w)
        image = arange(n, dtype=np.int32).reshape((n, 1)) * h
        across = (columns * c + channel(w, c)).reshape((-1, 1, w * c))
        return gathered(x, ((image + rows) * (w * c)).reshape((n, h, 1)) + across).reshape(x.shape)


class RandomHorizontalFlip(RandomFlip):
    """Mirrors images left and right with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(probability("p", p), 0.0)


class RandomVerticalFlip(RandomFlip):
    """Mirrors images upside down with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(0.0, probability("p", p))


class RandomShift(Augmentation):
    """Moves images by whole pixels, up to `size` (a number, or rows and columns) to each side.

    What comes in from outside is `fill`, or as `mode` says: "constant", "edge" or "reflect".
    """

    def __init__(
        self, size: int | tuple[int, int], fill: float = 0.0, mode: str = "constant"
    ) -> None:
        self.size = pixels("size", size)
        self.fill, self.mode = float(fill), _mode(mode)

    def images(self, x: Tensor) -> Tensor:
        """The moved images, of the same size."""
        (rows, columns), (h, w) = self.size, x.shape[1:3]
        if rows >= h or columns >= w:
            raise DataError(f"images of {h} x {w} pixels cannot be moved by {self.size}")
        top, left = whole(x, -rows, rows), whole(x, -columns, columns)
        return window(x, top, left, (h, w), self.fill, self.mode)


class RandomCrop(Augmentation):
    """Cuts a part of `size` (rows, columns) out of images padded by `padding` on each side.

    The padding is `fill`, or as `mode` says: "constant", "edge" or "reflect". With a size as large
    as the images, and padding, the size stays: `RandomCrop(32, padding=4)` for CIFAR-10
    (He et al., 2015, arXiv:1512.03385).
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int | tuple[int, int] = 0,
        fill: float = 0.0,
        mode: str = "constant",
    ) -> None:
        self.size = pixels("size", size, 1)
        self.padding = pixels("padding", padding)
        self.fill, self.mode = float(fill), _mode(mode)

    def images(self, x: Tensor) -> Tensor:
        """The parts, (N, *size, C)."""
        corners = []
        for extent, size, padding in zip(x.shape[1:3], self.size, self.padding):
            room = extent + 2 * padding - size
            if room < 0 or (self.mode == "reflect" and padding >= extent):
                raise DataError(
                    f"images of {x.shape[1]} x {x.shape[2]} pixels with padding {self.padding} "
                    f"are too small for a crop of {self.size}"
                )
            corners.append(whole(x, -padding, room - padding))
        return window(x, corners[0], corners[1], self.size, self.fill, self.mode)
