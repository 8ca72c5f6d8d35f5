"""Schedules that follow a wave: cosines, restarts."""

from __future__ import annotations

import math

from glubina.optim.lr_scheduler.base import LRScheduler
from glubina.optim.optimizer import Optimizer
from glubina.tensor.arguments import not_negative, whole


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (base − eta_min) · (1 + cos(π · epoch / T_max)) / 2: falls to eta_min.

    Source: Loshchilov and Hutter, 2017, arXiv:1608.03983, without its restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = whole("T_max", T_max), not_negative("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        wave = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * wave


class CosineAnnealingWarmRestarts(LRScheduler):
    """Falls as a cosine from base to eta_min in T_0 epochs, then begins again, T_mult as long.

    `step(epoch + i / steps)` sets the rate within an epoch.
    Source: Loshchilov and Hutter, 2017, arXiv:1608.03983.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0, self.T_mult = whole("T_0", T_0), whole("T_mult", T_mult)
        self.eta_min = not_negative("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        length = self.T_0
        if self.T_mult == 1:
            epoch %= length
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        wave = (1 + math.cos(math.pi * epoch / length)) / 2
        return self.eta_min + (base - self.eta_min) * wave
