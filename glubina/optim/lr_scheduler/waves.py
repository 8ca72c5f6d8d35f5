"""Schedules that follow a wave: cosines, restarts, cycles."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glubina.optim.lr_scheduler.base import LRScheduler
from glubina.optim.lr_scheduler.closed import at_least_one
from glubina.optim.optimizer import Optimizer


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


class CosineAnnealingWarmRestarts(LRScheduler):
    """Falls as a cosine from base to eta_min in T_0 epochs, then begins again, T_mult as long.

    Source: Loshchilov and Hutter, 2017, arXiv:1608.03983.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0
    ) -> None:
        self.T_0, self.T_mult = at_least_one("T_0", T_0), at_least_one("T_mult", T_mult)
        self.eta_min = float(eta_min)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        length = self.T_0
        if self.T_mult == 1:
            epoch %= length
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        wave = (1 + math.cos(math.pi * epoch / length)) / 2
        return self.eta_min + (base - self.eta_min) * wave


class CyclicLR(LRScheduler):
    """Up from base_lr to max_lr and down again, in straight lines, over and over.

    mode: "triangular" (always as high), "triangular2" (half as high each time), "exp_range" (times
    gamma^step). Called after every step, as a rule. Source: Smith, 2017, arXiv:1506.01186.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float,
        max_lr: float,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
    ) -> None:
        if mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"mode is 'triangular', 'triangular2' or 'exp_range', got {mode!r}")
        self.base_lr, self.max_lr = float(base_lr), float(max_lr)
        self.up = at_least_one("step_size_up", step_size_up)
        self.down = self.up if step_size_down is None else step_size_down
        at_least_one("step_size_down", self.down)
        self.mode, self.gamma = mode, float(gamma)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class."""
        cycle, place = divmod(epoch, self.up + self.down)
        height = place / self.up if place <= self.up else 1 - (place - self.up) / self.down
        shrunk = {
            "triangular": 1.0,
            "triangular2": 0.5**cycle,
            "exp_range": self.gamma**epoch,
        }[self.mode]
        return float(self.base_lr + (self.max_lr - self.base_lr) * height * shrunk)


class OneCycleLR(LRScheduler):
    """One rise to max_lr and one long fall: called after every step, for `total_steps` steps.

    It begins at max_lr / div_factor, rises during `pct_start` of the steps, and falls to the
    beginning's rate / final_div_factor. anneal_strategy: "cos" or "linear". three_phase: falls to
    the beginning's rate in as many steps as it rose, then to the end. max_lr: one for all groups
    or one for each. Source: Smith and Topin, 2018, arXiv:1708.07120.

    Momentum is not cycled: `param_groups[i]["momentum"]` is the caller's.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        count = len(optimizer.param_groups)
        self.max_lrs = [max_lr] * count if isinstance(max_lr, (int, float)) else list(max_lr)
        if len(self.max_lrs) != count:
            raise ValueError(f"expected {count} rates, one per group: {len(self.max_lrs)}")
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start must be between 0 and 1, got {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps = at_least_one("total_steps", total_steps)
        self.anneal, self.div, self.final_div = anneal_strategy, div_factor, final_div_factor
        rise = pct_start * self.total_steps - 1
        self.turns = [rise, 2 * rise] if three_phase else [rise]
        self.turns.append(self.total_steps - 1)
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """See the class; ValueError after the last step."""
        if epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR was made for {self.total_steps} steps, this is step {epoch + 1}"
            )
        highest = self.max_lrs[group]
        start = highest / self.div
        levels = [start, highest, start / self.final_div]
        if len(self.turns) == 3:
            levels.insert(2, start)
        begin = 0.0
        for turn, low, high in zip(self.turns, levels, levels[1:], strict=True):
            if epoch <= turn or turn == self.turns[-1]:
                return self._between(low, high, (epoch - begin) / (turn - begin))
            begin = turn
        raise AssertionError("unreachable")

    def _between(self, a: float, b: float, way: float) -> float:
        if self.anneal == "linear":
            return a + (b - a) * way
        return b + (a - b) * (1 + math.cos(math.pi * way)) / 2
