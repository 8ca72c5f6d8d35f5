"""Schedules that raise the rate and lower it again, and the momentum the other way round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from glubina.optim.lr_scheduler.base import LRScheduler, per_group, require_momentum
from glubina.optim.optimizer import Optimizer
from glubina.tensor.arguments import above_zero, between, choice, real, whole


class CyclicLR(LRScheduler):
    """Up from base_lr to max_lr and down again, in straight lines, over and over.

    mode: "triangular" (always as high), "triangular2" (half as high each time), "exp_range" (times
    gamma^step); or scale_fn, a factor of the height as a function of the cycle's number from 1
    (scale_mode="cycle") or of the step (scale_mode="iterations"). cycle_momentum: the momentum (or
    the first of betas) goes the other way, from max_momentum down to base_momentum. Rates and
    momenta are one for all groups or one for each. Called after every step, as a rule.
    Source: Smith, 2017, arXiv:1506.01186.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        choice("mode", mode, "triangular", "triangular2", "exp_range")
        choice("scale_mode", scale_mode, "cycle", "iterations")
        name = type(self).__name__
        self.base, self.top = (
            per_group(label, value, optimizer, name)
            for label, value in (("base_lr", base_lr), ("max_lr", max_lr))
        )
        self.up = whole("step_size_up", step_size_up)
        self.down = self.up if step_size_down is None else whole("step_size_down", step_size_down)
        self.mode, self.gamma = mode, real("gamma", gamma)
        self.scale_fn, self.scale_mode = scale_fn, scale_mode
        self.cycle_momentum = bool(cycle_momentum)
        if self.cycle_momentum:
            require_momentum(optimizer, name)
        self.low_momentum = per_group("base_momentum", base_momentum, optimizer, name)
        self.high_momentum = per_group("max_momentum", max_momentum, optimizer, name)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class."""
        return self.base[group] + (self.top[group] - self.base[group]) * self._height(epoch)

    def momentum(self, epoch: float, group: int) -> float | None:
        """See the class."""
        if not self.cycle_momentum:
            return None
        high = self.high_momentum[group]
        return high - (high - self.low_momentum[group]) * self._height(epoch)

    def _height(self, epoch: float) -> float:
        """How high above the lowest rate, from 0 to 1."""
        cycle, place = divmod(epoch, self.up + self.down)
        height = place / self.up if place <= self.up else 1 - (place - self.up) / self.down
        if self.scale_fn is not None:
            return height * self.scale_fn(cycle + 1 if self.scale_mode == "cycle" else epoch)
        if self.mode == "exp_range":
            return float(height * self.gamma**epoch)
        return float(height * (0.5**cycle if self.mode == "triangular2" else 1.0))


class OneCycleLR(LRScheduler):
    """One rise to max_lr and one long fall: called after every step, for `total_steps` steps.

    It begins at max_lr / div_factor, rises during `pct_start` of the steps, and falls to the
    beginning's rate / final_div_factor. anneal_strategy: "cos" or "linear". cycle_momentum: the
    momentum (or the first of betas) falls from max_momentum to base_momentum meanwhile, and rises
    again. three_phase: falls to the beginning's rate in as many steps as it rose, then to the end.
    max_lr and the momenta are one for all groups or one for each.
    Source: Smith and Topin, 2018, arXiv:1708.07120.
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
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        self.max_lrs = per_group("max_lr", max_lr, optimizer, name)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("give total_steps, or epochs and steps_per_epoch")
            total_steps = whole("epochs", epochs) * whole("steps_per_epoch", steps_per_epoch)
        between("pct_start", pct_start, 0, 1)
        self.anneal = choice("anneal_strategy", anneal_strategy, "cos", "linear")
        self.total_steps = whole("total_steps", total_steps)
        self.div = above_zero("div_factor", div_factor)
        self.final_div = above_zero("final_div_factor", final_div_factor)
        self.cycle_momentum = bool(cycle_momentum)
        if self.cycle_momentum:
            require_momentum(optimizer, name)
        self.low_momentum = per_group("base_momentum", base_momentum, optimizer, name)
        self.high_momentum = per_group("max_momentum", max_momentum, optimizer, name)
        rise = pct_start * self.total_steps - 1
        self.turns = [rise, 2 * rise] if three_phase else [rise]
        self.turns.append(self.total_steps - 1)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: float, group: int) -> float:
        """See the class; ValueError after the last step."""
        highest = self.max_lrs[group]
        start = highest / self.div
        levels = [start, highest, start / self.final_div]
        if len(self.turns) == 3:
            levels.insert(2, start)
        return self._level(levels, epoch)

    def momentum(self, epoch: float, group: int) -> float | None:
        """See the class."""
        if not self.cycle_momentum:
            return None
        high = self.high_momentum[group]
        levels = [high, self.low_momentum[group], high]
        return self._level([*levels, high] if len(self.turns) == 3 else levels, epoch)

    def _level(self, levels: list[float], epoch: float) -> float:
        """Where it is between the levels at the turns."""
        if epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR was made for {self.total_steps} steps, this is step {epoch + 1}"
            )
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
