"""What a recipe is: data, preprocessing, a model and a plan of training, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data import Preprocessing, split_order
from glubina.tensor import Tensor

Part = tuple[NDArray[Any], NDArray[np.int64]]


@dataclass(frozen=True)
class Data:
    """The three parts of a recipe's data, raw, with the names of the classes.

    The model learns from `train`, `validation` is looked at between the epochs, and `test` once
    at the end. `test_rows` are the rows of the test part in the whole set, where it was cut out
    of one; they are kept with a run, so that others can compute its figures.
    """

    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    test_rows: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Recipe:
    """A job: what is learnt from what, by which network, and how.

    name: as the command line knows it. description: a line for people. data: the parts by a
    seed. preprocessing: its steps, not yet fitted. model: a new network. loss: a new loss.
    optimizer: made from the parameters and the learning rate. schedule: how the learning rate
    changes, made from the optimizer and the number of epochs (of steps, where `schedule_steps` says
    that it changes after each); None keeps it. augment: what is done to the mini-batches, as
    `glubina.data.augment.named` takes it. ema: the decay of the average of the weights. views: what
    the test set's figures and predictions are averaged over. The rest are the plan's defaults.
    """

    name: str
    description: str
    data: Callable[[int], Data]
    preprocessing: Callable[[], Preprocessing]
    model: Callable[[], Any]
    loss: Callable[[], Any]
    optimizer: Callable[[Iterable[Tensor], float], Any]
    learning_rate: float
    batch_size: int
    epochs: int
    metrics: tuple[str, ...] = ("accuracy",)
    schedule: Callable[[Any, int], Any] | None = None
    schedule_steps: bool = False
    augment: str = ""
    ema: float | None = None
    views: tuple[str, ...] = ()


def hold_back(x: NDArray[Any], y: NDArray[np.int64], share: float, seed: int) -> tuple[Part, Part]:
    """Split into a part to keep and a part of the given share, every class alike."""
    kept, held = split_order(len(x), share, seed, y)
    return (x[kept], y[kept]), (x[held], y[held])
