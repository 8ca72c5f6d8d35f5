"""Callbacks: what happens between the steps of training, by subclass or by plain function."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glubina.files import FileError, require_writable, write_tensors, write_text
from glubina.optim import ReduceLROnPlateau
from glubina.tensor.arguments import not_negative, whole
from glubina.train.attributes import plain_attributes, take_attributes
from glubina.train.history import History, Logs, rises
from glubina.train.protocol import Model, Optimizer


@dataclass
class Session:
    """One call of `fit` as callbacks see it.

    examples: in an epoch. steps: in an epoch. figures: the names that an epoch's logs will have.
    unit: what an example is ("images" or "examples"). resumed: whether training goes on from a
    checkpoint. most_steps: after so many steps in all, over the epochs, training ends. Numbers of
    epochs and steps count from 1.
    """

    model: Model
    optimizer: Optimizer
    history: History
    epochs: int
    steps: int
    examples: int
    batch_size: int
    figures: tuple[str, ...]
    unit: str = "examples"
    resumed: bool = field(default=False, init=False)
    most_steps: int | None = field(default=None, init=False)
    stopped: str = field(default="", init=False)

    def stop(self, reason: str = "a callback stopped it") -> None:
        """End training after this epoch (from `on_step_end`: after this step)."""
        self.stopped = self.stopped or reason


class Callback:
    """Base class of callbacks: override what is wanted. `self.session` is the running `fit`.

    Logs map names to numbers: running means over the epoch so far in `on_step_end` and
    `on_progress`, final figures in `on_epoch_end`. Callbacks never change the training program.

    What a callback remembers is a part of a checkpoint: `state_dict` is asked for it between two
    steps. When training goes on, `on_train_begin` is called as ever (and `on_epoch_begin` within
    an epoch), and then `load_state_dict`.
    """

    session: Session

    def on_train_begin(self) -> None:
        """Training begins; `self.session` is set."""

    def on_epoch_begin(self, epoch: int) -> None:
        """An epoch begins (the first is 1)."""

    def on_step_end(self, step: int, logs: Logs) -> None:
        """A step of the epoch has ended (the first is 1).

        Overriding this makes training return to Python after every step, which costs time in
        small networks; `on_progress` does not.
        """

    def on_progress(self, step: int, logs: Logs) -> None:
        """About every 50 ms: this many steps of the epoch are done."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """An epoch has ended, validation included."""

    def on_train_end(self) -> None:
        """Training has ended: as planned, early, or by an error or an interrupt."""

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs: numbers, texts, arrays, and lists, tuples and dicts of them.

        Unless overridden, the attributes that are such things.
        """
        return plain_attributes(self)

    def load_state_dict(self, values: Any) -> None:
        """Take over what `state_dict` gave; ValueError if it does not fit."""
        take_attributes(self, values)


class Scheduled(Callback):
    """Steps a schedule of the learning rate after every epoch.

    make: from the optimizer and the number of epochs to the schedule, as
    `lambda optimizer, epochs: optim.CosineAnnealingLR(optimizer, epochs)`.
    monitor: the value that `ReduceLROnPlateau` watches; unless told the validation loss, or the
    training loss where there is no validation.
    """

    def __init__(self, make: Callable[[Any, int], Any], monitor: str | None = None) -> None:
        if not callable(make):
            raise TypeError(
                f"{type(self).__name__} takes a function of (optimizer, number), as lambda o, n: "
                f"optim.CosineAnnealingLR(o, n), got {make!r}"
            )
        self.make = make
        self.monitor = monitor

    def on_train_begin(self) -> None:
        """Begin at the schedule's first rate."""
        self.schedule = self.make(self.session.optimizer, self.session.epochs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Set the next epoch's rate; after the last epoch it stays."""
        if epoch >= self.session.epochs:
            return
        if not isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step()
            return
        name = self.monitor or ("val_loss" if "val_loss" in logs else "loss")
        if name not in logs:
            raise ValueError(f"monitor {name!r} is not measured; there are {', '.join(logs)}")
        self.schedule.step(logs[name])

    def state_dict(self) -> dict[str, Any]:
        """The schedule's state, and for how long it was made."""
        return {"length": self._length(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, values: Any) -> None:
        """Go on with the schedule; one that was made for another length is refused."""
        if values["length"] != self._length():
            raise ValueError(
                f"the learning rate's schedule was made for {values['length']} {self._unit}, and "
                f"this training has {self._length()}"
            )
        self.schedule.load_state_dict(values["schedule"])

    _unit = "epochs"

    def _length(self) -> int:
        return self.session.epochs


class ScheduledSteps(Scheduled):
    """Steps a schedule of the learning rate after every step: `OneCycleLR`, warm-up.

    make: from the optimizer and the number of steps of the whole training to the schedule, as
    `lambda optimizer, steps: optim.OneCycleLR(optimizer, 0.1, steps)`. Training returns to Python
    after every step, which costs some microseconds.
    """

    def on_train_begin(self) -> None:
        """Begin at the schedule's first rate."""
        self._left = self._length()
        self.schedule = self.make(self.session.optimizer, self._left)

    def on_step_end(self, step: int, logs: Logs) -> None:
        """Set the next step's rate; after the last step it stays."""
        self._left -= 1
        if self._left > 0:
            self.schedule.step()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Nothing: the rate has been set."""

    def state_dict(self) -> dict[str, Any]:
        """The schedule's state, and how many steps it still has."""
        return {**super().state_dict(), "left": self._left}

    def load_state_dict(self, values: Any) -> None:
        """Go on with the schedule."""
        super().load_state_dict(values)
        self._left = int(values["left"])

    _unit = "steps"

    def _length(self) -> int:
        return self.session.epochs * self.session.steps


class FunctionCallback(Callback):
    """A plain `function(epoch, logs)`, called at the end of every epoch."""

    def __init__(self, function: Callable[[int, Logs], Any]) -> None:
        self.function = function

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Call the function."""
        self.function(epoch, logs)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: what the function remembers is its own affair."""
        return {}


def as_callbacks(
    callbacks: Callback | Callable[[int, Logs], Any] | Iterable[Any] | None,
) -> list[Callback]:
    """A list of callbacks from one, several, or plain functions."""
    if callbacks is None:
        return []
    several = callbacks if isinstance(callbacks, Iterable) else [callbacks]
    made: list[Callback] = []
    for callback in several:
        if isinstance(callback, Callback):
            made.append(callback)
        elif callable(callback) and not isinstance(callback, type):
            made.append(FunctionCallback(callback))
        else:
            kind = isinstance(callback, type)
            what = f"the class {callback.__name__}: give {callback.__name__}()" if kind else ""
            raise TypeError(
                "a callback is an instance of Callback or a function of (epoch, logs), "
                f"got {what or repr(callback)}"
            )
    return made


class EarlyStopping(Callback):
    """Stop when a figure has not become better for `patience` epochs.

    monitor: the figure's name. min_delta: a change up to this is none. mode: "min", "max", or
    "auto" (by the name: accuracies rise, losses fall). restore_best_weights: give the model, when
    training ends, the weights of its best epoch (buffers included). NaN is never better.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.patience = whole("patience", patience, 0)
        self.min_delta = not_negative("min_delta", min_delta)
        self.rising = rises(monitor) if mode == "auto" else mode == "max"
        self.restore_best_weights = restore_best_weights
        self.best: float | None = None
        self.best_epoch = 0
        self._waited = 0
        self._weights: dict[str, Any] | None = None

    def on_train_begin(self) -> None:
        """Forget an earlier training; refuse a figure that there will not be."""
        require_figure(self.monitor, self.session, "EarlyStopping")
        self.best, self.best_epoch, self._waited, self._weights = None, 0, 0, None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare with the best so far."""
        value = logs[self.monitor]
        if self._better(value):
            self.best, self.best_epoch, self._waited = value, epoch, 0
            if self.restore_best_weights:
                self._weights = copy_weights(self.session.model)
            return
        self._waited += 1
        if self._waited >= max(self.patience, 1):
            best = "never a number" if self.best is None else f"{self.best:.4g}"
            self.session.stop(
                f"{self.monitor} did not become better in {self._waited} epochs "
                f"(best: {best}, epoch {self.best_epoch})"
            )

    def on_train_end(self) -> None:
        """Restore the best weights."""
        if self._weights is not None:
            self.session.model.load_state_dict(self._weights)
            self._weights = None

    def state_dict(self) -> dict[str, Any]:
        """The best figure, when it was, and the weights that go with it."""
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "waited": self._waited,
            "weights": self._weights,
        }

    def load_state_dict(self, values: Any) -> None:
        """Go on waiting."""
        self.best, self.best_epoch = values["best"], values["best_epoch"]
        self._waited, self._weights = values["waited"], values["weights"]

    def _better(self, value: float) -> bool:
        if value != value:  # NaN
            return False
        if self.best is None:
            return True
        gain = value - self.best if self.rising else self.best - value
        return gain > self.min_delta


class CSVLogger(Callback):
    """Write the figures of every epoch to a CSV file, which is whole at every moment.

    Short epochs are gathered for up to `every` seconds, so that logging never holds training up. A
    full disk is a warning as long as training goes on: the figures are written later.
    """

    def __init__(self, path: str | os.PathLike[str], every: float = 1.0) -> None:
        self.path = Path(path)
        self.every = not_negative("every", every)
        self._figures = History()
        self._written = -float("inf")

    def on_train_begin(self) -> None:
        """Begin a new file; a folder that cannot be written is found here."""
        self._figures = History()
        if self.session.resumed:
            require_writable(self.path.parent)
        else:
            write_text(self.path, "")
        self._written = -float("inf")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Add a line."""
        self._figures.append(epoch, logs)
        if time.monotonic() - self._written >= self.every:
            try:
                self._write()
            except FileError as error:
                warnings.warn(f"{error}; it is tried again later", RuntimeWarning, stacklevel=6)

    def on_train_end(self) -> None:
        """Write the lines that are not yet written."""
        self._write()

    def state_dict(self) -> dict[str, Any]:
        """The lines so far."""
        return self._figures.state_dict()

    def load_state_dict(self, values: Any) -> None:
        """Go on after these lines."""
        self._figures.load_state_dict(values)

    def _write(self) -> None:
        self._figures.save(self.path)
        self._written = time.monotonic()


class Checkpoint(Callback):
    """Keep the model's weights in a safetensors file: of the best epoch, or of the last one.

    With `monitor` the file is written whenever the figure has become better; without it after
    every epoch. It is replaced atomically, so it is whole even if the power fails.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str | None = None) -> None:
        self.path = Path(path)
        self.monitor = monitor
        self._best: float | None = None

    def on_train_begin(self) -> None:
        """Refuse a figure that there will not be."""
        self._best = None
        if self.monitor is not None:
            require_figure(self.monitor, self.session, "Checkpoint")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the weights if they are wanted."""
        if self.monitor is not None:
            value = logs[self.monitor]
            sign = 1 if rises(self.monitor) else -1
            if value != value or (self._best is not None and sign * (value - self._best) <= 0):
                return
            self._best = value
        write_tensors(self.path, copy_weights(self.session.model), {"epoch": str(epoch)})

    def state_dict(self) -> dict[str, Any]:
        """The best figure."""
        return {"best": self._best}

    def load_state_dict(self, values: Any) -> None:
        """Go on from the best figure."""
        self._best = values["best"]


def copy_weights(model: Model) -> dict[str, Any]:
    """The model's parameters and buffers as NumPy arrays of their own."""
    return {name: value.numpy() for name, value in model.state_dict().items()}


def require_figure(name: str, session: Session, who: str) -> None:
    """Refuse a figure that the logs will not have, before training rather than after an epoch."""
    if name not in session.figures:
        hint = " (val_ figures need validation data)" if name.startswith("val_") else ""
        raise ValueError(
            f"{who} monitors {name!r}{hint}; the figures of this training are "
            f"{', '.join(session.figures)}"
        )
