"""Rules that end training: nothing moves any more, or the time or the steps are used up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from glubina.tensor.arguments import above_zero, whole
from glubina.train.callbacks import Callback
from glubina.train.history import Logs
from glubina.train.watch import Watch

_SYMBOLS = {"change": "‖w_t − w_{t−1}‖", "gradient": "‖∇Q‖"}


@dataclass(frozen=True)
class Stop:
    """When training ends before its last epoch: whichever comes first.

    change: as soon as ‖w_t − w_{t−1}‖ < change, over all parameters together. gradient: as soon as
    ‖∇Q‖ < gradient, where Q is what is minimised, penalty included, over the mini-batch (over the
    whole set if that is one mini-batch). steps: after so many updates in all. seconds: as soon as
    so much time has passed (within about 50 ms). The norms are worked out inside the training
    program, and asking for one makes training look at it after every step.
    """

    change: float | None = None
    gradient: float | None = None
    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("change", "gradient", "seconds"):
            value = getattr(self, name)
            if value is not None:
                above_zero(f"Stop: {name}", value)
        if self.steps is not None:
            whole("Stop: steps", self.steps)

    @property
    def watched(self) -> tuple[str, ...]:
        """The norms that the training program must work out."""
        return tuple(name for name in _SYMBOLS if getattr(self, name) is not None)

    def callbacks(self, watch: Watch | None) -> list[Callback]:
        """What watches over these rules in a run of `fit`."""
        made: list[Callback] = []
        if watch is not None and self.watched:
            made.append(_Still(self, watch))
        if self.steps is not None or self.seconds is not None:
            made.append(_Budget(self))
        return made


class _Still(Callback):
    """Stops when the gradient, or the way of a step, is small enough."""

    def __init__(self, rules: Stop, watch: Watch) -> None:
        self.rules, self.watch, self.epoch = rules, watch, 0

    def on_epoch_begin(self, epoch: int) -> None:
        """Note the epoch, for the reason."""
        self.epoch = epoch

    def on_step_end(self, step: int, logs: Logs) -> None:
        """Compare what the program has worked out."""
        for name in self.rules.watched:
            value, limit = self.watch.read(name), getattr(self.rules, name)
            if value < limit:
                self.session.stop(
                    f"{_SYMBOLS[name]} = {value:.3g} is below {limit:g} "
                    f"(epoch {self.epoch}, step {step})"
                )

    def state_dict(self) -> dict[str, Any]:
        """Nothing: every step is judged by itself."""
        return {}


class _Budget(Callback):
    """Stops when the steps or the seconds are used up."""

    def __init__(self, rules: Stop) -> None:
        self.rules, self.began = rules, 0.0

    def on_train_begin(self) -> None:
        """Start the clock, and tell how many steps there may be."""
        self.began = time.perf_counter()
        self.session.most_steps = None if self.rules.steps is None else int(self.rules.steps)

    def on_progress(self, step: int, logs: Logs) -> None:
        """Look at the clock."""
        seconds = self.rules.seconds
        if seconds is not None and time.perf_counter() - self.began >= seconds:
            self.session.stop(f"{seconds:g} seconds have passed")

    def state_dict(self) -> dict[str, Any]:
        """The seconds that are used up."""
        return {"seconds": time.perf_counter() - self.began}

    def load_state_dict(self, values: Any) -> None:
        """Go on with the seconds that are left."""
        self.began = time.perf_counter() - values["seconds"]
