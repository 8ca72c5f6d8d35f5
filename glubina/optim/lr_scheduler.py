"""Schedules of the learning rate: called after each epoch (or step), they set it for the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from glubina.optim.optimizer import Optimizer


class LRScheduler:
    """The base: the rate of epoch n is a function of n and of the rate at the beginning.

    Making a schedule sets the rates of epoch 0; `step()` goes on to the next epoch. A schedule is
    a subclass with `rate`.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set()

    def step(self) -> None:
        """Go on to the next epoch."""
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The rates that the groups have now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def rate(self, base: float, epoch: int, group: int) -> float:
        """The rate of a group in an epoch, given its rate at the beginning."""
        raise NotImplementedError

    def _set(self) -> None:
        for i, group in enumerate(self.optimizer.param_groups[: len(self.base_lrs)]):
            group["lr"] = self.rate(self.base_lrs[i], self.last_epoch, i)

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Continue where the other one was."""
        if len(values["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"the state has {len(values['base_lrs'])} groups, the optimizer "
                f"{len(self.base_lrs)}"
            )
        self.last_epoch = int(values["last_epoch"])
        self.base_lrs = [float(rate) for rate in values["base_lrs"]]
        self._set()


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


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (base − eta_min) · (1 + cos(π · epoch / T_max)) / 2: falls to eta_min.

    Source: Loshchilov and Hutter, 2017, arXiv:1608.03983, without its restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ValueError(f"T_max must be at least 1, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        wave = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * wave


class LambdaLR(LRScheduler):
    """lr = base · factor(epoch); one function for all groups, or one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            raise ValueError(f"expected {count} functions, one per group: {len(self.lr_lambdas)}")
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        return float(base * self.lr_lambdas[group](epoch))
