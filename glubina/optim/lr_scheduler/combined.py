"""Schedules one after another, and the one that watches a measured value."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from glubina.optim.lr_scheduler.base import LRScheduler, per_group
from glubina.optim.optimizer import Optimizer
from glubina.tensor.arguments import choice, not_negative, real, whole


class SequentialLR(LRScheduler):
    """One schedule after another: number i begins at milestone i − 1, with its own epoch 0."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ValueError("schedulers: expected at least one schedule, got none")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"expected one milestone less than schedules: {len(schedulers)} schedules, "
                f"{len(milestones)} milestones"
            )
        if list(milestones) != sorted(milestones):
            raise ValueError(f"milestones must rise, got {list(milestones)}")
        if any(schedule.optimizer is not optimizer for schedule in schedulers):
            raise ValueError("every schedule must be of the same optimizer")
        self.schedulers = list(schedulers)
        self.milestones = [whole("milestones", m, 0) for m in milestones]
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        schedule, own = self._now(epoch)
        return schedule.rate(base, own, group)

    def momentum(self, epoch: float, group: int) -> float | None:
        """See the class."""
        schedule, own = self._now(epoch)
        return schedule.momentum(own, group)

    def _now(self, epoch: float) -> tuple[LRScheduler, float]:
        """The schedule of this epoch, and its own epoch."""
        number = bisect_right(self.milestones, epoch)
        return self.schedulers[number], epoch - (self.milestones[number - 1] if number else 0)


class ChainedScheduler(LRScheduler):
    """Several schedules at once: their factors on the rate are multiplied."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError("schedulers: expected at least one schedule, got none")
        optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        if any(schedule.optimizer is not optimizer for schedule in schedulers):
            raise ValueError("every schedule must be of the same optimizer")
        self.schedulers = list(schedulers)
        super().__init__(optimizer)

    def momentum(self, epoch: float, group: int) -> float | None:
        """Of the last schedule that sets it."""
        momenta = [schedule.momentum(epoch, group) for schedule in self.schedulers]
        return next((m for m in reversed(momenta) if m is not None), None)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        for schedule in self.schedulers:
            base = schedule.rate(base, epoch, group)
        return base


class ReduceLROnPlateau:
    """The rate times `factor` when a measured value has not improved for `patience` epochs.

    `step(value)` is called after each epoch. mode: "min" if smaller is better, "max" if larger.
    threshold: what counts as better, relative to the best ("rel") or absolute ("abs").
    cooldown: epochs after a reduction during which nothing is counted. min_lr: the least rate, one
    for all groups or one for each. eps: smaller changes than this are not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        choice("mode", mode, "min", "max")
        choice("threshold_mode", threshold_mode, "rel", "abs")
        if not 0 < real("factor", factor) < 1:
            raise ValueError(f"factor must be above 0 and below 1, got {factor!r}")
        self.min_lrs = per_group("min_lr", min_lr, optimizer, type(self).__name__)
        self.optimizer, self.mode, self.factor = optimizer, mode, float(factor)
        self.patience, self.cooldown = (
            whole("patience", patience, 0),
            whole("cooldown", cooldown, 0),
        )
        self.threshold, self.threshold_mode = not_negative("threshold", threshold), threshold_mode
        self.eps = not_negative("eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.num_bad_epochs = self.cooldown_counter = 0

    def step(self, value: Any) -> None:
        """Take note of an epoch's value, and reduce the rate if it is time."""
        self.last_epoch += 1
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"step: the measured value must be a number, got {value!r}") from None
        if self._better(number):
            self.best, self.num_bad_epochs = number, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def get_last_lr(self) -> list[float]:
        """The rates that the groups have now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _better(self, value: float) -> bool:
        change = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1)
        if math.isinf(self.best):
            return value < self.best if self.mode == "min" else value > self.best
        return value < self.best - change if self.mode == "min" else value > self.best + change

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, least)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs."""
        names = "best", "last_epoch", "num_bad_epochs", "cooldown_counter"
        return {**{name: getattr(self, name) for name in names}, "lrs": self.get_last_lr()}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Continue where the other one was."""
        rates = values["lrs"]
        if len(rates) != len(self.min_lrs):
            raise ValueError(
                f"the state has {len(rates)} groups, the optimizer {len(self.min_lrs)}"
            )
        self.best = float(values["best"])
        for name in ("last_epoch", "num_bad_epochs", "cooldown_counter"):
            setattr(self, name, int(values[name]))
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = float(rate)
