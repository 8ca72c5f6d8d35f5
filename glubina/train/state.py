"""Everything that a training depends on, collected between two steps and put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glubina.optim import EMA
from glubina.train import chance
from glubina.train.callbacks import Callback, Session
from glubina.train.fit import Run
from glubina.train.inputs import Batches


@dataclass
class Position:
    """Where a training is: the epoch (from 1), its finished steps, and those of all epochs.

    seconds: used so far, of the epoch and of the whole training.
    """

    epoch: int = 1
    step: int = 0
    total: int = 0
    epoch_seconds: float = 0.0
    seconds: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Position:
        """The position in a checkpoint; ValueError if it is none."""
        if set(values) != set(vars(cls())):
            raise ValueError(f"{sorted(values)} are not the parts of a position")
        counts = [values[name] for name in ("epoch", "step", "total")]
        if not all(type(count) is int and 0 <= count < 2**62 for count in counts):
            raise ValueError(f"{counts} are no epoch and steps")
        used = [values[name] for name in ("epoch_seconds", "seconds")]
        if not all(type(time) is float and 0 <= time < 2.0**62 for time in used):
            raise ValueError(f"{used} are no seconds")
        return cls(**values)

    def require_within(self, steps: int) -> None:
        """ValueError for a position that no training with so many steps in an epoch comes to."""
        if not self.epoch or self.before != (self.epoch - 1) * steps:
            raise ValueError(
                f"epoch {self.epoch}, step {self.step}, {self.total} in all is no place in a "
                f"training of {steps} steps in an epoch"
            )

    @property
    def before(self) -> int:
        """The steps of the epochs before this one."""
        return self.total - self.step


@dataclass
class Parts:
    """What has a state in a training.

    settings: what it must have in common with one that goes on from its checkpoint. objects: the
    loss, augmentation and whatever else may have `state_dict` and `load_state_dict`.
    """

    session: Session
    training: Run
    validation: Batches | None
    callbacks: Sequence[Callback]
    average: EMA | None
    objects: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)

    def state(self, position: Position) -> dict[str, Any]:
        """All of it. Arrays are copies; tensors are the training's own."""
        session = self.session
        optimizer: Any = session.optimizer
        return {
            "settings": self.settings,
            "position": vars(position),
            "history": session.history.state_dict(),
            "stopped": session.stopped,
            "model": dict(session.model.state_dict()),
            "optimizer": optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "run": self.training.state_dict(),
            "validation": _loader_state(self.validation),
            "random": chance.states(self._generators()),
            "objects": {name: _state(thing) for name, thing in self.objects.items()},
            "callbacks": self._callbacks(),
        }

    def restore(self, state: Mapping[str, Any]) -> Position:
        """Put all of it back; ValueError names what does not fit."""
        session = self.session
        position = Position.of(state["position"])
        session.model.load_state_dict(state["model"])
        self._restore_callbacks(state["callbacks"])
        # after the schedules, which set rates of their own
        optimizer: Any = session.optimizer
        optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.training.load_state_dict(state["run"], position.step)
        if self.validation is not None and self.validation.loader is not None:
            self.validation.loader.load_state_dict(state["validation"])
        for name, thing in self.objects.items():
            if state["objects"].get(name) is not None:
                thing.load_state_dict(state["objects"][name])
        session.history.load_state_dict(state["history"])
        if not isinstance(state["stopped"], str):
            raise ValueError(f"{state['stopped']!r:.80} is no reason to have stopped")
        session.stopped = state["stopped"]
        chance.restore(state["random"], self._generators())
        return position

    def _callbacks(self) -> list[Any]:
        """Of each callback with a state its class, whether that is its own, and the state."""
        states = [(type(c).__name__, _says_itself(c), c.state_dict()) for c in self.callbacks]
        return [[name, own, state] for name, own, state in states if state]

    def _restore_callbacks(self, saved: Sequence[Any]) -> None:
        """Give each callback its state: by class, and within a class in order.

        One that says itself what its state is must be there on both sides. Others, which may only
        watch, may come and go.
        """
        here: dict[str, list[Callback]] = {}
        for callback in self.callbacks:
            here.setdefault(type(callback).__name__, []).append(callback)
        for name, own, state in saved:
            known = here.get(name)
            if known:
                known.pop(0).load_state_dict(state)
            elif own:
                raise ValueError(f"its callback {name} is missing in this training")
        for name, left in here.items():
            if any(_says_itself(callback) and callback.state_dict() for callback in left):
                raise ValueError(f"it has no state of the callback {name} of this training")

    def _generators(self) -> list[Any]:
        """The generators in the network, the loss, the augmentation, the loaders and data sets."""
        sources = [self.training.source, self.validation]
        loaders = [source.loader for source in sources if source is not None]
        return chance.own_generators([self.session.model, *self.objects.values(), *loaders])


def _says_itself(callback: Callback) -> bool:
    """Whether a callback has a `state_dict` of its own, and not only plain attributes."""
    return type(callback).state_dict is not Callback.state_dict


def _state(thing: Any) -> Any:
    both = all(callable(getattr(thing, name, None)) for name in ("state_dict", "load_state_dict"))
    return thing.state_dict() if both else None


def _loader_state(source: Batches | None) -> Any:
    return None if source is None or source.loader is None else source.loader.state_dict()
