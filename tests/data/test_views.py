"""Views at test time, and augmentations by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.data import DataError, augment

X = np.random.default_rng(0).random((5, 4, 6, 1)).astype(np.float32)


def net() -> Any:
    gl.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(24, 3))
    made.compile("sgd", nn.CrossEntropyLoss())
    return made


def test_predictions_are_averaged_over_views() -> None:
    made = net()
    made.eval()
    plain, turned = (made(gl.tensor(x)).numpy() for x in (X, X[:, :, ::-1].copy()))
    logits = (plain + turned) / 2
    wanted = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = made.predict(X, views=("same", "mirrored"))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(made.predict(X[..., ::1], 2, views="mirrored"),
                               made.predict(X[:, :, ::-1]), rtol=1e-5)  # fmt: skip
    own = made.predict(X, views=[augment.same, lambda x: gl.flip(x, axis=2)])
    np.testing.assert_allclose(own, wanted, rtol=1e-5)
    np.testing.assert_allclose(made.predict(X), made.predict(X, views=()), rtol=1e-6)


def test_views_that_there_are_not() -> None:
    with pytest.raises(DataError, match=r"'same', 'mirrored' or a function .* 'miror'\. Did you"):
        net().predict(X, views=["miror"])
    with pytest.raises(DataError, match="images of shape"):
        augment.mirrored(gl.zeros((2, 3)))


NAMED = {
    "flip": augment.RandomHorizontalFlip(0.5),
    "vflip:0.25": augment.RandomVerticalFlip(0.25),
    "shift:3": augment.RandomShift(3, 0.5),
    "crop": augment.RandomShift(2, 0.5),
    "rotate:20": augment.RandomRotation(20, 0.5),
    "scale:0.2": augment.RandomScale((0.8, 1.2), 0.5),
    "shear": augment.RandomShear(10, 0.5),
    "brightness:0.3": augment.RandomBrightness(0.3),
    "contrast": augment.RandomContrast(0.2),
    "noise:0.5": augment.GaussianNoise(0.5),
    "cutout:4": augment.Cutout(4, 0.5),
    "erase:0.3": augment.RandomErasing(0.3, value=0.5),
    "mixup": augment.MixUp(0.2),
    "cutmix:0.5": augment.CutMix(0.5),
}


@pytest.mark.parametrize("text", NAMED)
def test_augmentations_by_name(text: str) -> None:
    (found,) = augment.named(text, fill=0.5)
    assert repr(found) == repr(NAMED[text])


def test_several_and_none() -> None:
    assert len(augment.named(" flip , shift:1,cutout")) == 3
    assert augment.named("") == augment.named("none") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flp", r"unknown augmentation 'flp'\. Did you mean 'flip'\? There are flip, vflip"),
        ("flip,", "unknown augmentation ''"),
        ("shift:two", r"augmentation 'shift:two': 'two' is not a number"),
        ("shift:1.5", r"augmentation 'shift:1.5': shift takes a whole number of pixels, got 1.5"),
        ("flip:2", r"augmentation 'flip:2': .*got 2"),
        ("shift:nan", r"augmentation 'shift:nan': shift takes a whole number"),
        ("cutout:-1", r"augmentation 'cutout:-1': size"),
    ],
)
def test_names_and_numbers_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        augment.named(text)
