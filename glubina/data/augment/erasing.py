"""Rectangles of images wiped out: cutout and random erasing."""

from __future__ import annotations

import math

import numpy as np

from glubina.data.augment.base import Augmentation
from glubina.data.augment.chance import chosen, each, pair, pixels, probability, uniform, whole
from glubina.data.augment.place import along
from glubina.data.errors import DataError
from glubina.tensor import Tensor, arange, exp, floor, maximum, minimum, randn_like, sqrt, where


def box(x: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Where each image's rectangle is, given its corner and size, (N,): boolean, as x."""
    n, h, w, c = x.shape
    rows, columns = arange(h, dtype=np.int32), along(w, c)
    top, left, height, width = (v.reshape((n, 1)) for v in (top, left, height, width))
    in_rows = (rows >= top) & (rows < top + height)
    in_columns = (columns >= left) & (columns < left + width)
    inside = in_rows.reshape((n, h, 1)) & in_columns.reshape((n, 1, w * c))
    return inside.reshape(x.shape)


class Cutout(Augmentation):
    """Sets a rectangle of each image to a value; it may stand out over the image's edge.

    size: its (rows, columns), or one number for both. Its centre is any pixel. p: the share of the
    images that are changed. Source: DeVries and Taylor, 2017, arXiv:1708.04552.
    """

    def __init__(self, size: int | tuple[int, int], value: float = 0.0, p: float = 1.0) -> None:
        self.size = pixels("size", size, 1)
        self.value, self.p = float(value), probability("p", p)

    def images(self, x: Tensor) -> Tensor:
        """The images with a rectangle missing."""
        height, width = self.size
        top = whole(x, 0, x.shape[1] - 1) - height // 2
        left = whole(x, 0, x.shape[2] - 1) - width // 2
        inside = box(x, top, left, top * 0 + height, left * 0 + width)
        if self.p < 1:
            inside = inside & each(chosen(x, self.p), 4)
        return where(inside, self.value, x)


class RandomErasing(Augmentation):
    """Sets, with probability p, a rectangle of random size to a value, or to noise.

    scale: the bounds of its share of the image's area. ratio: the bounds of height / width, drawn
    evenly in its logarithm; sides longer than the image are cut to it. value: a number, or "random"
    for standard normal numbers. Source: Zhong et al., 2017, arXiv:1708.04896.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | str = 0.0,
    ) -> None:
        self.p = probability("p", p)
        self.scale = pair("scale", scale, 0.0)
        self.ratio = pair("ratio", ratio, 0.0)
        if self.scale[1] > 1 or self.ratio[0] <= 0:
            raise DataError(
                f"scale must lie from 0 to 1 and ratio above 0, got {scale!r} and {ratio!r}"
            )
        if isinstance(value, str) and value != "random":
            raise DataError(f"value must be a number or 'random', got {value!r}")
        self.value = value

    def images(self, x: Tensor) -> Tensor:
        """The images, some with a rectangle missing."""
        _, h, w, _ = x.shape
        area = uniform(x, self.scale[0] * h * w, self.scale[1] * h * w)
        ratio = exp(uniform(x, math.log(self.ratio[0]), math.log(self.ratio[1])))
        height = minimum(floor(sqrt(area * ratio) + 0.5), h)
        width = minimum(floor(sqrt(area / ratio) + 0.5), w)
        inside = placed(x, height, width) & each(chosen(x, self.p), 4)
        if isinstance(self.value, str):
            return where(inside, randn_like(x), x)
        return where(inside, self.value, x)


def placed(x: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """The mask of a rectangle of this size, (N,), at a random place that lies in the image."""
    _, h, w, _ = x.shape
    top = floor(uniform(x) * (maximum(h - height, 0) + 1))
    left = floor(uniform(x) * (maximum(w - width, 0) + 1))
    return box(x, top, left, height, width)
