"""Schedules whose rate is a simple function of the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from glubina.optim.lr_scheduler.base import LRScheduler, require_optimizer
from glubina.optim.optimizer import Optimizer
from glubina.tensor.arguments import between, not_negative, real, whole

Factor = Callable[[Any], float]
"""From the number of an epoch to a factor of the rate."""


class LambdaLR(LRScheduler):
    """lr = base · factor(epoch); one function for all groups, or one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Factor | Sequence[Factor],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = functions("LambdaLR", optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        return float(base * self.lr_lambdas[group](epoch))


class StepLR(LRScheduler):
    """lr = base · gamma^⌊epoch / step_size⌋: a drop every `step_size` epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = whole("step_size", step_size), real("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        return float(base * self.gamma ** (epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """A drop by `gamma` at each of the `milestones` (epochs)."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        given: Any = milestones
        if not isinstance(given, Iterable) or isinstance(given, str):
            raise TypeError(f"milestones must be a list of epochs, got {milestones!r}")
        self.milestones = sorted(whole("milestones", m, 0) for m in milestones)
        self.gamma = real("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        return float(base * self.gamma ** sum(m <= epoch for m in self.milestones))


class ExponentialLR(LRScheduler):
    """lr = base · gamma^epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = real("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        return float(base * self.gamma**epoch)


class MultiplicativeLR(LRScheduler):
    """lr = base · factor(1) · factor(2) · ... · factor(epoch)."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Factor | Sequence[Factor],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = functions("MultiplicativeLR", optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        return base * math.prod(self.lr_lambdas[group](n) for n in range(1, int(epoch) + 1))


class ConstantLR(LRScheduler):
    """lr = base · factor for the first `total_iters` epochs, then base."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.factor = between("factor", factor, 0, 1)
        self.total_iters = whole("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        return base * self.factor if epoch < self.total_iters else base


class LinearLR(LRScheduler):
    """From base · start_factor in a straight line to base · end_factor: a warm-up.

    The line takes `total_iters` epochs.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < real("start_factor", start_factor) <= 1:
            raise ValueError(f"start_factor must be above 0 and at most 1, got {start_factor!r}")
        self.start_factor = real("start_factor", start_factor)
        self.end_factor = between("end_factor", end_factor, 0, 1)
        self.total_iters = whole("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        way = min(epoch / self.total_iters, 1.0)
        return base * (self.start_factor + (self.end_factor - self.start_factor) * way)


class PolynomialLR(LRScheduler):
    """lr = base · (1 − epoch / total_iters)^power, and 0 after `total_iters` epochs."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = whole("total_iters", total_iters)
        self.power = real("power", power)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        left = 1 - min(epoch, self.total_iters) / self.total_iters
        return float(base * left**self.power)


class InversePowerLR(LRScheduler):
    """lr = base / k^power with k = epoch + 1: α₀ / k, or α₀ / k^p.

    With a power above 1/2 and at most 1 these are the steps for which stochastic gradient descent
    was first shown to converge: their sum is infinite, the sum of their squares is not.
    Source: Robbins and Monro, "A stochastic approximation method", 1951.
    """

    def __init__(self, optimizer: Optimizer, power: float = 1.0, last_epoch: int = -1) -> None:
        self.power = not_negative("power", power)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        return float(base / (epoch + 1) ** self.power)


def functions(
    name: str,
    optimizer: Optimizer,
    given: Factor | Sequence[Factor],
) -> list[Factor]:
    """A function for each parameter group, from one for all or one for each."""
    require_optimizer(name, optimizer)
    count = len(optimizer.param_groups)
    if not callable(given) and not isinstance(given, (list, tuple)):
        raise TypeError(f"{name}: lr_lambda must be a function of the epoch, got {given!r}")
    found = [given] * count if callable(given) else list(given)
    for one in found:
        if not callable(one):
            raise TypeError(f"{name}: lr_lambda must be a function of the epoch, got {one!r}")
    if len(found) != count:
        raise ValueError(f"{name}: expected {count} functions, one per group: {len(found)}")
    return found
