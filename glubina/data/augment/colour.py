"""Images made brighter, darker, stronger, weaker or noisy."""

from __future__ import annotations

import math

from glubina.data.augment.base import Augmentation
from glubina.data.augment.chance import each, pair, uniform
from glubina.data.errors import DataError
from glubina.tensor import Tensor, clip, randn_like

Bounds = tuple[float, float]


def _factors(name: str, value: float | Bounds) -> Bounds:
    """Bounds of a factor: a number a stands for (max(0, 1 − a), 1 + a)."""
    if isinstance(value, (int, float)):
        if not 0 <= value < math.inf:
            raise DataError(f"{name} must not be negative, got {value!r}")
        return max(0.0, 1.0 - value), 1.0 + value
    return pair(name, value, 0.0)


class ColorJitter(Augmentation):
    """Changes brightness and contrast of each image by factors drawn within bounds.

    brightness: x · b. contrast: the distance from the image's mean (over all pixels and channels)
    times c. A number a stands for the bounds (max(0, 1 − a), 1 + a). limits: (low, high) that the
    result is cut to, None for data without limits, as standardised ones.
    """

    def __init__(
        self,
        brightness: float | Bounds = 0.0,
        contrast: float | Bounds = 0.0,
        limits: Bounds | None = None,
    ) -> None:
        self.brightness = _factors("brightness", brightness)
        self.contrast = _factors("contrast", contrast)
        self.limits = None if limits is None else pair("limits", limits)

    def images(self, x: Tensor) -> Tensor:
        """The images in other brightness and contrast."""
        if self.brightness != (1.0, 1.0):
            x = self._within(x * each(uniform(x, *self.brightness), 4))
        if self.contrast != (1.0, 1.0):
            mean = x.mean(axis=(1, 2, 3), keepdims=True)
            x = self._within(mean + (x - mean) * each(uniform(x, *self.contrast), 4))
        return x

    def _within(self, x: Tensor) -> Tensor:
        return x if self.limits is None else clip(x, *self.limits)


class RandomBrightness(ColorJitter):
    """Multiplies each image by a factor within bounds; see `ColorJitter`."""

    def __init__(self, brightness: float | Bounds, limits: Bounds | None = None) -> None:
        super().__init__(brightness, limits=limits)


class RandomContrast(ColorJitter):
    """Brings each image nearer to its mean or farther from it; see `ColorJitter`."""

    def __init__(self, contrast: float | Bounds, limits: Bounds | None = None) -> None:
        super().__init__(contrast=contrast, limits=limits)


class GaussianNoise(Augmentation):
    """Adds normal noise of mean 0 and this standard deviation to every pixel."""

    def __init__(self, std: float = 0.1) -> None:
        if not 0 <= std < math.inf:
            raise DataError(f"std must not be negative, got {std!r}")
        self.std = float(std)

    def images(self, x: Tensor) -> Tensor:
        """The noisy images."""
        return x + randn_like(x) * self.std if self.std else x
