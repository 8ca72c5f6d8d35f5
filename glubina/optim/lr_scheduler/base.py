"""The base of the schedules: called after each epoch (or step), they set the rate of the next."""

from __future__ import annotations

from typing import Any

from glubina.optim.optimizer import Optimizer
from glubina.tensor.arguments import not_negative, whole


class LRScheduler:
    """The base: the rate of epoch n is a function of n and of the rate at the beginning.

    Making a schedule sets the rates of epoch 0; `step()` goes on to the next epoch. A schedule is
    a subclass with `rate`. The rate at the beginning is the group's "initial_lr", which the first
    schedule of an optimizer notes, so that several schedules of one optimizer agree on it.
    last_epoch: the epoch after which a training goes on whose groups have their "initial_lr"; −1
    begins anew.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        require_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        begun = whole("last_epoch", last_epoch, -1) >= 0
        for number, group in enumerate(optimizer.param_groups):
            if begun and "initial_lr" not in group:
                raise KeyError(
                    f"last_epoch={last_epoch} goes on with a training, for which param_groups"
                    f"[{number}] needs its 'initial_lr'; -1 begins anew"
                )
            group.setdefault("initial_lr", float(group["lr"]))
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch: float = last_epoch + 1
        self._set()

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, or to the one given (which may lie between two)."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else not_negative("epoch", epoch)
        self._set()

    def get_last_lr(self) -> list[float]:
        """The rates that the groups have now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def rate(self, base: float, epoch: float, group: int) -> float:
        """The rate of a group in an epoch, given its rate at the beginning."""
        raise NotImplementedError

    def momentum(self, epoch: float, group: int) -> float | None:
        """The momentum of a group in an epoch, where the schedule sets it."""
        return None

    def _set(self) -> None:
        for i, group in enumerate(self.optimizer.param_groups[: len(self.base_lrs)]):
            group["lr"] = self.rate(self.base_lrs[i], self.last_epoch, i)
            momentum = self.momentum(self.last_epoch, i)
            if momentum is not None and "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif momentum is not None:
                group["momentum"] = momentum

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
        self.last_epoch = values["last_epoch"]
        self.base_lrs = [float(rate) for rate in values["base_lrs"]]
        self._set()


def require_optimizer(name: str, optimizer: Any) -> None:
    """TypeError unless it is something with groups of parameters."""
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(
            f"{name}: optimizer must be an optimizer such as optim.SGD(...), got "
            f"{type(optimizer).__name__}"
        )


def per_group(name: str, value: Any, optimizer: Any, owner: str) -> list[float]:
    """A number for each parameter group, from one for all or one for each."""
    require_optimizer(owner, optimizer)
    count = len(optimizer.param_groups)
    several = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(several) != count:
        raise ValueError(f"{name} must be a number or {count} of them, one per group, got {value}")
    return [not_negative(name, one) for one in several]


def require_momentum(optimizer: Any, owner: str) -> None:
    """ValueError unless the optimizer has a momentum that can be cycled."""
    if not all("momentum" in group or "betas" in group for group in optimizer.param_groups):
        raise ValueError(
            f"{owner}: cycle_momentum=True needs an optimizer with momentum or betas; give "
            "cycle_momentum=False"
        )
