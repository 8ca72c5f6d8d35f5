"""The learning-rate range test: how large the steps may be, found in one short trial."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glubina.data import DataLoader
from glubina.files import write_text
from glubina.tensor import Tensor
from glubina.tensor.arguments import above_zero, real, whole
from glubina.tensor.random import default_generator
from glubina.train.augmented import augmentation
from glubina.train.callbacks import copy_weights
from glubina.train.fit import Run
from glubina.train.inputs import model_dtype
from glubina.train.programs import training
from glubina.train.protocol import behaving, takes_labels
from glubina.train.sources import Data, sources
from glubina.train.trainer import Trainer
from glubina.train.watch import Watch


@dataclass
class RateTest:
    """What the trial gave: the loss of the mini-batch at each rate, and what follows from it.

    smoothed: the losses as a moving average, corrected for its beginning. suggestion: the rate at
    which the smoothed loss falls most steeply. lowest: the rate with the lowest smoothed loss,
    where training is about to diverge; about a tenth of it is another common choice.
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)

    @property
    def suggestion(self) -> float:
        """The rate of the steepest fall."""
        last = max(int(np.argmin(self.smoothed)), 1)
        slopes = np.gradient(np.array(self.smoothed), np.log(self.rates))[: last + 1]
        return self.rates[int(np.argmin(slopes))]

    @property
    def lowest(self) -> float:
        """The rate with the lowest smoothed loss."""
        return self.rates[int(np.argmin(self.smoothed))]

    def to_csv(self) -> str:
        """A line for each rate."""
        rows = zip(self.rates, self.losses, self.smoothed)
        return "rate,loss,smoothed\n" + "".join(f"{r!r},{o!r},{s!r}\n" for r, o, s in rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as a CSV file."""
        write_text(path, self.to_csv())

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the losses over the rates as a PNG. Raises MissingExtraError without matplotlib."""
        from glubina.train.plots import plot_rates

        plot_rates(self, path)

    def __repr__(self) -> str:
        return (
            f"RateTest({len(self.rates)} rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g}; "
            f"suggestion {self.suggestion:.3g}, lowest loss at {self.lowest:.3g})"
        )


def find_learning_rate(
    model: Any,
    x: Data,
    y: Any = None,
    batch_size: int = 32,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    diverged: float = 4.0,
    seed: int = 0,
    augment: Any = None,
) -> RateTest:
    """Train for some steps with ever larger rates, look at the loss, and undo it all.

    model: one that `compile` was called on, or a `Trainer`; x, y, batch_size, augment: as for
    `fit`. The rate rises from `lowest` to `highest` by the same factor in each of `steps` steps;
    groups of parameters keep the ratio of their rates. smoothing: the share of the past in the
    moving average of the losses. The trial ends early when that is `diverged` times its lowest
    value, or no number. Weights, buffers, gradients, the optimizer and the random state are then
    as they were before. Source: Smith, 2017, arXiv:1506.01186.

    Raises ValueError if the loss is no number from the beginning.
    """
    trainer = _trainer_of(model)
    above_zero("lowest", lowest)
    if not real("highest", highest) > lowest:
        raise ValueError(f"highest must be above lowest ({lowest!r}), got {highest!r}")
    whole("steps", steps, 3)
    if not 0 <= real("smoothing", smoothing) < 1:
        raise ValueError(f"smoothing must be from 0 to below 1, got {smoothing!r}")
    if not real("diverged", diverged) > 1:
        raise ValueError(f"diverged must be above 1, got {diverged!r}")
    loss = trainer._loss()
    dtype = model_dtype(trainer.model.parameters())
    source, _ = sources(x, y, batch_size, None, 0.0, seed, dtype)
    job = trainer._job("rates", source, dtype, "y", augment, ("loss",))
    changed = augmentation(augment, job.shape[-1] if takes_labels(loss) else None)
    with _undone(trainer, x) as optimizer, behaving(trainer.model, training=True):
        work = training(
            trainer.model, optimizer, loss, job.sums, changed, trainer.limits, job.watch
        )
        run = trainer._run(job, work, seed, shuffle=True)
        factor = (highest / lowest) ** (1 / (steps - 1))
        trial = _Trial(optimizer, job.watch, [lowest * factor**i for i in range(steps)])
        trial.run(run, smoothing, diverged)
    return trial.found


class _Trial:
    """The steps of a range test."""

    def __init__(self, optimizer: Any, watch: Watch, rates: list[float]) -> None:
        self.optimizer, self.watch, self.rates = optimizer, watch, rates
        groups = optimizer.param_groups
        first = groups[0]["lr"] or 1.0
        self.shares = [(group["lr"] / first) or 1.0 for group in groups]
        self.found = RateTest()

    def run(self, run: Run, smoothing: float, diverged: float) -> None:
        """Epochs until the rates are used up, or the loss has diverged."""
        ended = False
        average = 0.0

        def step_ended(step: int) -> bool:
            nonlocal ended, average
            value, count = self.watch.read("loss"), len(self.found.rates)
            average = smoothing * average + (1 - smoothing) * value
            smooth = average / (1 - smoothing ** (count + 1))
            known = self.found.smoothed
            if not math.isfinite(value) or (known and smooth > _limit(min(known), diverged)):
                ended = True
                return True
            self.found.rates.append(self.rates[count])
            self.found.losses.append(value)
            known.append(smooth)
            ended = count + 1 == len(self.rates)
            if not ended:
                self._set(self.rates[count + 1])
            return ended

        epoch = 0
        self._set(self.rates[0])
        while not ended:
            epoch += 1
            run.epoch(epoch, step_ended, True)
        if len(self.found.rates) < 3:
            raise ValueError(
                f"the loss became {self.watch.read('loss')} at the rate "
                f"{self.rates[len(self.found.rates)]:.3g}, after {len(self.found.rates)} steps: "
                "give a smaller `lowest`"
            )

    def _set(self, rate: float) -> None:
        for group, share in zip(self.optimizer.param_groups, self.shares):
            group["lr"] = rate * share


def _limit(best: float, diverged: float) -> float:
    """The loss that counts as diverged; losses may be negative."""
    return best + (diverged - 1) * abs(best)


@contextmanager
def _undone(trainer: Trainer, x: Any) -> Iterator[Any]:
    """The optimizer to try with; afterwards everything is as it was."""
    model = trainer.model
    parameters: list[Tensor] = list(model.parameters())
    weights, gradients = copy_weights(model), [p.grad for p in parameters]
    draws = default_generator.get_state()
    order = (x.epoch, x.seed) if isinstance(x, DataLoader) else None
    own = trainer._optimizer
    made = own is not None and not isinstance(own, type) and hasattr(own, "step")
    kept = trainer.optimizer  # made for the trial, if there was none yet
    if not all(hasattr(kept, name) for name in ("param_groups", "state_dict")):
        raise TypeError(
            f"the learning rate of {type(kept).__name__} cannot be tried: it has no param_groups "
            "and state_dict, as those of glubina.optim have"
        )
    optimizer: Any = kept
    before = _copied(optimizer.state_dict())
    try:
        yield optimizer
    finally:
        model.load_state_dict(weights)
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient
        if made:
            optimizer.load_state_dict(before)
        else:
            trainer._optimizer = own
        default_generator.set_state(draws)
        if order is not None:
            x.epoch, x.seed = order


def _copied(state: Any) -> Any:
    """A state with tensors as arrays of its own."""
    if isinstance(state, Tensor):
        return state.numpy()
    if isinstance(state, dict):
        return {name: _copied(value) for name, value in state.items()}
    return [_copied(value) for value in state] if isinstance(state, list) else state


def _trainer_of(model: Any) -> Trainer:
    trainer = model if isinstance(model, Trainer) else getattr(model, "_trainer", None)
    if not isinstance(trainer, Trainer):
        raise TypeError(
            "find_learning_rate takes a module that compile(optimizer=..., loss=...) was called "
            f"on, or a Trainer, got {type(model).__name__}"
        )
    return trainer
