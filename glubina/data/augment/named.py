"""Augmentations by a line of text, as recipes and the command line give them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable

from glubina.data.augment.affine import RandomRotation, RandomScale, RandomShear
from glubina.data.augment.base import Augmentation
from glubina.data.augment.colour import GaussianNoise, RandomBrightness, RandomContrast
from glubina.data.augment.erasing import Cutout, RandomErasing
from glubina.data.augment.mixing import CutMix, MixUp
from glubina.data.augment.place import RandomHorizontalFlip, RandomShift, RandomVerticalFlip
from glubina.data.errors import DataError

# Of each name: the number unless one is given, and what makes it from the number and the fill.
NAMES: dict[str, tuple[float, Callable[[float, float], Augmentation]]] = {
    "flip": (0.5, lambda p, fill: RandomHorizontalFlip(p)),
    "vflip": (0.5, lambda p, fill: RandomVerticalFlip(p)),
    "shift": (2, lambda size, fill: RandomShift(_whole("shift", size), fill)),
    # a part as large as the images, out of images padded so far, is a shift
    "crop": (2, lambda padding, fill: RandomShift(_whole("crop", padding), fill)),
    "rotate": (10, lambda degrees, fill: RandomRotation(degrees, fill)),
    "scale": (0.1, lambda by, fill: RandomScale((1 - by, 1 + by), fill)),
    "shear": (10, lambda degrees, fill: RandomShear(degrees, fill)),
    "brightness": (0.2, lambda by, fill: RandomBrightness(by)),
    "contrast": (0.2, lambda by, fill: RandomContrast(by)),
    "noise": (0.1, lambda std, fill: GaussianNoise(std)),
    "cutout": (8, lambda size, fill: Cutout(_whole("cutout", size), fill)),
    "erase": (0.5, lambda p, fill: RandomErasing(p, value=fill)),
    "mixup": (0.2, lambda alpha, fill: MixUp(alpha)),
    "cutmix": (1.0, lambda alpha, fill: CutMix(alpha)),
}


def named(text: str, fill: float = 0.0) -> list[Augmentation]:
    """Augmentations from a text such as "flip,crop:2,cutout:8"; none from "" or "none".

    Each is a name, or a name and a number: flip, vflip (probability), shift, crop (pixels; crop
    pads and cuts out a part of the images' size), rotate, shear (degrees either way), scale,
    brightness, contrast (change either way, 0.1 for a tenth), noise (standard deviation), cutout
    (pixels), erase (probability), mixup, cutmix (α). fill: what comes in from outside and into
    rectangles that are wiped out. Raises DataError for a name or a number that cannot be used.
    """
    items = [item.strip() for item in text.split(",")]
    return [] if items in ([""], ["none"]) else [_made(item, fill) for item in items]


def _made(item: str, fill: float) -> Augmentation:
    name, _, number = item.partition(":")
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"unknown augmentation {name!r}.{meant} There are {', '.join(NAMES)}")
    usual, make = NAMES[name]
    try:
        value = float(number) if ":" in item else usual
    except ValueError:
        raise DataError(f"augmentation {item!r}: {number!r} is not a number") from None
    try:
        return make(value, fill)
    except DataError as error:
        raise DataError(f"augmentation {item!r}: {error}") from error


def _whole(name: str, value: float) -> int:
    if not math.isfinite(value) or value != int(value):
        raise DataError(f"{name} takes a whole number of pixels, got {value}")
    return int(value)
