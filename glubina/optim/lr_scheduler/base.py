"""The base of the schedules: called after each epoch (or step), they set the rate of the next."""

from __future__ import annotations

from typing import Any

from glubina.optim.optimizer import Optimizer


class LRScheduler:
    """The base: the rate of epoch n is a function of n and of the rate at the beginning.

    Making a schedule sets the rates of epoch 0; `step()` goes on to the next epoch. A schedule is
    a subclass with `rate`. The rate at the beginning is the group's "initial_lr", which the first
    schedule of an optimizer notes, so that several schedules of one optimizer agree on it.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
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
