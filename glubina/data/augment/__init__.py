"""Augmentation: whole mini-batches of images changed at random, inside the training step."""

from __future__ import annotations

from glubina.data.augment.affine import RandomAffine, RandomRotation, RandomScale, RandomShear
from glubina.data.augment.base import Augmentation, Compose, RandomApply, RandomChoice
from glubina.data.augment.colour import (
    ColorJitter,
    GaussianNoise,
    RandomBrightness,
    RandomContrast,
)
from glubina.data.augment.erasing import Cutout, RandomErasing
from glubina.data.augment.mixing import CutMix, MixUp
from glubina.data.augment.named import named
from glubina.data.augment.place import (
    RandomCrop,
    RandomFlip,
    RandomHorizontalFlip,
    RandomShift,
    RandomVerticalFlip,
)
from glubina.data.augment.views import mirrored, same, views

__all__ = [
    "Augmentation",
    "Compose",
    "RandomApply",
    "RandomChoice",
    "RandomFlip",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "RandomShift",
    "RandomCrop",
    "RandomAffine",
    "RandomRotation",
    "RandomScale",
    "RandomShear",
    "ColorJitter",
    "RandomBrightness",
    "RandomContrast",
    "GaussianNoise",
    "Cutout",
    "RandomErasing",
    "MixUp",
    "CutMix",
    "named",
    "views",
    "same",
    "mirrored",
]
