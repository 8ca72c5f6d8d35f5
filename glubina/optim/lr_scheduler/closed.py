"""Schedules whose rate is a simple function of the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from glubina.optim.lr_scheduler.base import LRScheduler
from glubina.optim.optimizer import Optimizer


class LambdaLR(LRScheduler):
    """lr = base · factor(epoch); one function for all groups, or one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        self.lr_lambdas = functions("LambdaLR", optimizer, lr_lambda)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        return float(base * self.lr_lambdas[group](epoch))


class StepLR(LRScheduler):
    """lr = base · gamma^⌊epoch / step_size⌋: a drop every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"step_size must be at least 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        return float(base * self.gamma ** (epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """A drop by `gamma` at each of the `milestones` (epochs)."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        return float(base * self.gamma ** sum(m <= epoch for m in self.milestones))


class ExponentialLR(LRScheduler):
    """lr = base · gamma^epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        return float(base * self.gamma**epoch)


class MultiplicativeLR(LRScheduler):
    """lr = base · factor(1) · factor(2) · ... · factor(epoch)."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        self.lr_lambdas = functions("MultiplicativeLR", optimizer, lr_lambda)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        return base * math.prod(self.lr_lambdas[group](n) for n in range(1, epoch + 1))


class ConstantLR(LRScheduler):
    """lr = base · factor for the first `total_iters` epochs, then base."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must be between 0 and 1, got {factor!r}")
        self.factor, self.total_iters = factor, at_least_one("total_iters", total_iters)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
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
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"start_factor must be above 0 and at most 1, got {start_factor!r}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"end_factor must be between 0 and 1, got {end_factor!r}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = at_least_one("total_iters", total_iters)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        way = min(epoch / self.total_iters, 1.0)
        return base * (self.start_factor + (self.end_factor - self.start_factor) * way)


class PolynomialLR(LRScheduler):
    """lr = base · (1 − epoch / total_iters)^power, and 0 after `total_iters` epochs."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        self.total_iters, self.power = at_least_one("total_iters", total_iters), float(power)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        left = 1 - min(epoch, self.total_iters) / self.total_iters
        return float(base * left**self.power)


class InversePowerLR(LRScheduler):
    """lr = base / k^power with k = epoch + 1: α₀ / k, or α₀ / k^p.

    With a power above 1/2 and at most 1 these are the steps for which stochastic gradient descent
    was first shown to converge: their sum is infinite, the sum of their squares is not.
    Source: Robbins and Monro, "A stochastic approximation method", 1951.
    """

    def __init__(self, optimizer: Optimizer, power: float = 1.0) -> None:
        if not power >= 0:
            raise ValueError(f"power must not be negative, got {power!r}")
        self.power = float(power)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        return float(base / (epoch + 1) ** self.power)


def at_least_one(name: str, value: int) -> int:
    """The value, a whole number of at least 1."""
    if int(value) != value or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def functions(
    name: str,
    optimizer: Optimizer,
    given: Callable[[int], float] | Sequence[Callable[[int], float]],
) -> list[Callable[[int], float]]:
    """A function for each parameter group, from one for all or one for each."""
    count = len(optimizer.param_groups)
    found = [given] * count if callable(given) else list(given)
    if len(found) != count:
        raise ValueError(f"{name}: expected {count} functions, one per group: {len(found)}")
    return found
