"""Images rotated, scaled, sheared and shifted: one affine resampling with bilinear weights."""

from __future__ import annotations

import math

import numpy as np

from glubina.data.augment.base import Augmentation
from glubina.data.augment.chance import around, pair, uniform
from glubina.data.augment.place import along, channel, gathered
from glubina.data.errors import DataError
from glubina.tensor import Tensor, arange, clip, cos, floor, full, sin, tan

Bounds = tuple[float, float]
RADIANS = math.pi / 180


def affine(
    x: Tensor,
    angle: Tensor,
    scale: Tensor,
    shear: tuple[Tensor, Tensor],
    shift: tuple[Tensor, Tensor],
    fill: float = 0.0,
) -> Tensor:
    """Images (N, H, W, C) under an affine map about their centre, resampled bilinearly.

    Of each image, (N,): `angle` in radians, counter-clockwise; `scale`, by which it grows; `shear`
    along columns and rows, in radians; `shift` in pixels, to the right and down. A point p (column,
    row) goes to R · S · scale · p + shift with R = [[cos, sin], [−sin, cos]] and
    S = [[1, tan shear_x], [tan shear_y, 1]]; outside the image is `fill`.
    """
    n, h, w, channels = x.shape
    a, b, c, d = _inverse(angle, scale, shear)
    right = along(w, channels).astype(x.dtype) - (w - 1) / 2
    down = arange(h, dtype=x.dtype) - (h - 1) / 2
    u = (right - shift[0].reshape((n, 1))).reshape((n, 1, w * channels))
    v = (down - shift[1].reshape((n, 1))).reshape((n, h, 1))
    a, b, c, d = (value.reshape((n, 1, 1)) for value in (a, b, c, d))
    return bilinear(x, a * u + b * v + (w - 1) / 2, c * u + d * v + (h - 1) / 2, fill)


def _inverse(
    angle: Tensor, scale: Tensor, shear: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The inverse of R · S · scale, row by row."""
    p, q = tan(shear[0]), tan(shear[1])
    cosine, sine = cos(angle), sin(angle)
    a, b = cosine + sine * q, cosine * p + sine
    c, d = cosine * q - sine, cosine - sine * p
    by = 1 / (scale * (1 - p * q))  # det(R S) = 1 − tan(shear_x) tan(shear_y)
    return d * by, -b * by, -c * by, a * by


def bilinear(x: Tensor, column: Tensor, row: Tensor, fill: float) -> Tensor:
    """The batch (N, H, W, C) at places between its pixels; `fill` is all around it.

    The places (column, row) are given for each number: (N, H, W · C).
    """
    n, h, w, c = x.shape
    left, top = floor(column), floor(row)
    beside, below = column - left, row - top
    image = arange(n, dtype=np.int32).reshape((n, 1, 1)) * h
    own = channel(w, c)
    total: Tensor | None = None
    for down, weight_down in ((0, 1 - below), (1, below)):
        for right, weight_right in ((0, 1 - beside), (1, beside)):
            i, j = top + down, left + right
            inside = (i >= 0) & (i <= h - 1) & (j >= 0) & (j <= w - 1)
            rows, columns = (clip(i, 0, h - 1)).astype(np.int32), clip(j, 0, w - 1).astype(np.int32)
            value = gathered(x, ((image + rows) * w + columns) * c + own)
            weight = weight_down * weight_right * inside.astype(x.dtype)
            part = (value - fill if fill else value) * weight
            total = part if total is None else total + part
    assert total is not None
    return (total + fill if fill else total).reshape(x.shape)


class RandomAffine(Augmentation):
    """Rotates, shifts, scales and shears images at random, in one resampling.

    degrees: the angle's bounds; a number a stands for (−a, a). translate: the largest shift as
    shares of height and width. scale: the bounds of the growth. shear: the bounds of the angle
    along the columns; a number for both signs, four numbers for both axes. fill: what is outside.
    As in torchvision's class of this name, with bilinear interpolation.
    """

    def __init__(
        self,
        degrees: float | Bounds = 0.0,
        translate: Bounds | None = None,
        scale: Bounds | None = None,
        shear: float | Bounds | tuple[float, float, float, float] | None = None,
        fill: float = 0.0,
    ) -> None:
        self.degrees = around("degrees", degrees)
        self.translate = (0.0, 0.0) if translate is None else _shares(translate)
        self.scale = (1.0, 1.0) if scale is None else pair("scale", scale, 0.0)
        if self.scale[0] <= 0:
            raise DataError(f"scale must be greater than 0, got {scale!r}")
        along, down = (0.0, 0.0), (0.0, 0.0)
        if isinstance(shear, tuple) and len(shear) == 4:
            along, down = around("shear", shear[:2], 90), around("shear", shear[2:], 90)
        elif shear is not None:
            along = around("shear", shear, 90)
        self.shear = (*along, *down)
        self.fill = float(fill)

    def images(self, x: Tensor) -> Tensor:
        """The resampled images, of the same size."""
        _, h, w, _ = x.shape
        down, right = self.translate[0] * h, self.translate[1] * w
        return affine(
            x,
            self._draw(x, self.degrees, RADIANS),
            self._draw(x, self.scale),
            (self._draw(x, self.shear[:2], RADIANS), self._draw(x, self.shear[2:], RADIANS)),
            (self._draw(x, (-right, right)), self._draw(x, (-down, down))),
            self.fill,
        )

    def _draw(self, x: Tensor, bounds: tuple[float, ...], factor: float = 1.0) -> Tensor:
        low, high = bounds[0] * factor, bounds[1] * factor
        if low == high:  # nothing is drawn for what does not vary
            return full(x.shape[0], low, dtype=x.dtype)
        return uniform(x, low, high)


def _shares(translate: Bounds) -> Bounds:
    low, high = (float(share) for share in translate)
    if not (0 <= low <= 1 and 0 <= high <= 1):
        raise DataError(
            f"translate must be two shares of height and width from 0 to 1, got {translate!r}"
        )
    return low, high


class RandomRotation(RandomAffine):
    """Rotates images about their centre by an angle up to `degrees`, either way."""

    def __init__(self, degrees: float | Bounds, fill: float = 0.0) -> None:
        super().__init__(degrees, fill=fill)


class RandomScale(RandomAffine):
    """Makes images larger or smaller about their centre by a factor within the bounds."""

    def __init__(self, scale: Bounds, fill: float = 0.0) -> None:
        super().__init__(scale=scale, fill=fill)


class RandomShear(RandomAffine):
    """Shears images about their centre, along the columns by an angle up to `degrees`."""

    def __init__(
        self, degrees: float | Bounds | tuple[float, float, float, float], fill: float = 0.0
    ) -> None:
        super().__init__(shear=degrees, fill=fill)
