"""Augmentation as a part of the training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from glubina.data import DataTypeError
from glubina.data.augment import Augmentation, Compose, named
from glubina.tensor import Tensor, zeros
from glubina.tensor.random import default_generator

# What is done to a mini-batch: (inputs, targets) -> both, changed.
Augment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def augmentation(given: Any, classes: int | None) -> Augment | None:
    """What `fit(augment=...)` was given, as a function of a mini-batch; None for nothing.

    An Augmentation, a list of them, a text such as "flip,shift:2" (see `data.augment.named`), or a
    function of the inputs alone. classes: how many there
    are, where the targets are class numbers.
    """
    if given is None:
        return None
    if isinstance(given, str):
        given = named(given)
        if not given:
            return None
    if isinstance(given, Iterable) and not isinstance(given, Tensor):
        given = Compose(list(given))
    if isinstance(given, Augmentation):
        whole = given
        return lambda x, y: whole(x, y, classes)
    if not callable(given):
        raise DataTypeError(
            "augment is an augmentation (see glubina.data.augment), a list of them or a function "
            f"of the inputs, got {given!r}"
        )
    function: Callable[[Tensor], Tensor] = given
    return lambda x, y: (function(x), y)


def augmented_shape(given: Any, x: Tensor) -> Tensor:
    """A mini-batch as augmentation leaves it, for its shape: no draw is counted for it."""
    made = augmentation(given, None)
    if made is None:
        return x
    state = default_generator.get_state()
    try:
        return made(x, zeros(x.shape[0], dtype=np.float32))[0]
    finally:
        default_generator.set_state(state)


def class_numbers(y: Tensor, before: Tensor) -> Tensor:
    """Targets as metrics take them: those that mixing made soft count as their largest share."""
    if before.dtype.kind in "iu" and y.dtype.kind == "f":
        return y.argmax(axis=-1)
    return y
