"""What an augmentation is: a random change of a mini-batch, in training only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from glubina.data.augment.chance import chosen, each, probability, whole
from glubina.data.errors import DataError
from glubina.tensor import Tensor, arange, tensor, where


class Augmentation:
    """A random change of a mini-batch of images; subclasses say which in `change`.

    Called with images, float or uint8 (which become float32), of shape (N, H, W, C) or (N, H, W),
    it returns images; called with images and targets it returns both. Every example has its own
    random parameters, drawn from gl's counter-based generator: after `gl.manual_seed(s)` the same
    numbers come, with any number of threads. `fit(..., augment=...)` makes it a part of the
    compiled training step; evaluation and prediction are never augmented. After `eval()` (until
    `train()`) it leaves everything as it is.
    """

    training = True

    def __call__(self, x: Any, y: Any = None, classes: int | None = None) -> Any:
        """The changed images, or with targets the pair of both.

        classes: how many there are, for those that make class numbers soft targets (`MixUp`).
        """
        images = as_batch(x)
        if not self.training:
            return images if y is None else (images, as_tensor(y))
        flat = images.ndim == 3  # grey images without an axis for the channel
        if flat:
            images = images.reshape((*images.shape, 1))
        images, targets = self.change(images, None if y is None else as_tensor(y), classes)
        if flat:
            images = images.reshape(images.shape[:3])
        return images if targets is None else (images, targets)

    def change(
        self, x: Tensor, y: Tensor | None, classes: int | None
    ) -> tuple[Tensor, Tensor | None]:
        """The changed images (N, H, W, C), and the targets that belong to them."""
        return self.images(x), y

    def images(self, x: Tensor) -> Tensor:
        """The changed images (N, H, W, C), for a change that leaves the targets alone."""
        raise NotImplementedError(f"{type(self).__name__} must define change or images")

    def train(self, mode: bool = True) -> Self:
        """Change mini-batches from now on (or, with False, leave them)."""
        self.training = mode
        return self

    def eval(self) -> Self:
        """Leave mini-batches as they are from now on."""
        return self.train(False)

    def __repr__(self) -> str:
        settings = {name: v for name, v in vars(self).items() if name[0] != "_"}
        settings.pop("training", None)
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


class Compose(Augmentation):
    """Augmentations one after another: `Compose([RandomFlip(), RandomCrop(32, padding=4)])`."""

    def __init__(self, steps: Sequence[Augmentation]) -> None:
        self.steps = _checked("Compose", steps)

    def change(
        self, x: Tensor, y: Tensor | None, classes: int | None
    ) -> tuple[Tensor, Tensor | None]:
        """The images and targets after all steps."""
        for step in self.steps:
            if step.training:
                x, y = step.change(x, y, classes)
        return x, y


class RandomApply(Augmentation):
    """Another augmentation for each example with probability p, otherwise nothing."""

    def __init__(self, step: Augmentation, p: float = 0.5) -> None:
        (self.step,) = _checked("RandomApply", [step])
        self.p = probability("p", p)

    def change(
        self, x: Tensor, y: Tensor | None, classes: int | None
    ) -> tuple[Tensor, Tensor | None]:
        """The images and targets, changed or not, example by example."""
        taken = chosen(x, self.p)
        return _select(taken, self.step.change(x, y, classes), (x, y), classes)


class RandomChoice(Augmentation):
    """One of several augmentations for each example: `RandomChoice([MixUp(), CutMix()])`."""

    def __init__(self, steps: Sequence[Augmentation]) -> None:
        self.steps = _checked("RandomChoice", steps)

    def change(
        self, x: Tensor, y: Tensor | None, classes: int | None
    ) -> tuple[Tensor, Tensor | None]:
        """The images and targets as one of the steps, drawn for each example, makes them."""
        number = whole(x, 0, len(self.steps) - 1)
        made = self.steps[0].change(x, y, classes)
        for place, step in enumerate(self.steps[1:], 1):
            made = _select(number == place, step.change(x, y, classes), made, classes)
        return made


Changed = tuple[Tensor, Tensor | None]


def _select(taken: Tensor, first: Changed, second: Changed, classes: int | None) -> Changed:
    """Example by example the first or the second; targets made soft where one of them is."""
    (x, y), (other_x, other_y) = first, second
    if x.shape != other_x.shape:
        raise DataError(
            f"one augmentation gives images {x.shape} and the other {other_x.shape}; a choice "
            "between them needs equal shapes"
        )
    images = where(each(taken, x.ndim), x, other_x)
    if y is None or other_y is None or y is other_y:
        return images, y
    if y.shape != other_y.shape:
        y, other_y = (t if t.ndim > 1 else soft(t, x, classes) for t in (y, other_y))
    return images, where(each(taken, y.ndim), y, other_y)


def soft(y: Tensor, x: Tensor, classes: int | None) -> Tensor:
    """Targets that can be mixed: class numbers (N,) one-hot in the dtype of x, others as they are.

    Raises DataError for class numbers where the number of classes is not known.
    """
    if y.dtype.kind == "f":
        return y
    if y.ndim != 1:
        raise DataError(f"targets to be mixed are class numbers (N,) or real, got {y.shape}")
    if classes is None:
        raise DataError(
            "class numbers are mixed as one-hot targets: give the number of classes, as in "
            "augment(x, y, classes=10)"
        )
    numbers = arange(classes, dtype=np.int64)
    return (y.astype(np.int64).reshape((-1, 1)) == numbers).astype(x.dtype)


def as_batch(x: Any) -> Tensor:
    """Images as a tensor of floating dtype with 3 or 4 axes."""
    images = as_tensor(x)
    if images.dtype == np.uint8:
        images = images.astype(np.float32)
    if images.dtype.kind != "f":
        raise DataError(f"images are float or uint8 for augmentation, got {images.dtype}")
    if images.ndim not in (3, 4):
        raise DataError(f"images of shape (N, H, W, C) or (N, H, W) are expected, got {x.shape}")
    return images


def as_tensor(value: Any) -> Tensor:
    """The value, made a tensor if it is none."""
    return value if isinstance(value, Tensor) else tensor(value)


def _checked(name: str, steps: Sequence[Augmentation]) -> tuple[Augmentation, ...]:
    found = tuple(steps)
    if not found or any(not isinstance(step, Augmentation) for step in found):
        raise DataError(f"{name} takes a list of augmentations, at least one, got {steps!r}")
    return found
