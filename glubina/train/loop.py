"""The loop over the epochs: callbacks, validation, checkpoints and signals between the steps."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from glubina.files import pack
from glubina.train.averaging import averaging
from glubina.train.callbacks import Callback, require_figure
from glubina.train.checkpoint_file import CheckpointError
from glubina.train.checkpoints import Saving
from glubina.train.common import differences
from glubina.train.history import Logs
from glubina.train.interrupts import Interrupted, Signals, Terminated
from glubina.train.jobs import Validate
from glubina.train.protocol import behaving
from glubina.train.state import Parts, Position


@dataclass
class Loop:
    """All epochs of a training, with the callbacks told of everything.

    With an average of the weights, validation and what is done after an epoch see the averaged
    ones, and the model has them in the end. saving: where checkpoints are written, if they are;
    then a signal ends the training after the step that runs, with a checkpoint.
    """

    parts: Parts
    validate: Validate | None
    saving: Saving | None = None
    position: Position = field(default_factory=Position)
    signals: Signals = field(default_factory=Signals)

    def __post_init__(self) -> None:
        self.session = self.parts.session
        self.callbacks = list(self.parts.callbacks)
        self._every_step = [c for c in self.callbacks if _overrides(c, "on_step_end")]
        self._watching = [c for c in self.callbacks if _overrides(c, "on_progress")]
        self._marks = 0.0, 0.0

    def run(self) -> None:
        """Run it, from the checkpoint that was found or from the beginning."""
        session = self.session
        listening = self.signals.listening() if self.saving is not None else nullcontext()
        with listening, self._told(), averaging(self.parts.average) as between:
            self._begin()
            while self.position.epoch <= session.epochs and not self._over():
                self._train()
                with between():
                    logs = self._validated()
                    if logs is not None:
                        self._end_epoch(logs)
                if logs is None:
                    self._leave()
                else:
                    self._next_epoch(logs)
            if self.signals.caught is not None:
                self._leave()
        session.history.seconds = self._seconds()[1]

    # -- an epoch -------------------------------------------------------------------------------

    def _over(self) -> bool:
        """Whether training was stopped and no epoch is left half done."""
        position = self.position
        return bool(self.session.stopped) and position.epoch > 1 and not position.step

    def _train(self) -> None:
        """The steps of an epoch that are still to be made."""
        position = self.position
        if position.step == 0:
            self._marks = time.perf_counter(), self._marks[1]
            self._tell_epoch()
        elif self.session.stopped:
            return
        every_step = bool(self._every_step)
        self.parts.training.epoch(
            position.epoch, self._ended, every_step, self._look, position.step
        )

    def _ended(self, step: int) -> bool:
        """A look between two steps; whether the epoch ends here."""
        session, position = self.session, self.position
        position.total += step - position.step
        position.step = step
        if self._every_step or self._watching:
            logs = self.parts.training.sums.read()
            for callback in self._every_step:
                callback.on_step_end(step, logs)
            for callback in self._watching:
                callback.on_progress(step, logs)
        if session.most_steps is not None and position.total >= session.most_steps:
            session.stop(f"{session.most_steps} steps have been run")
        if self.saving is not None:
            if self.signals.caught is not None:
                self._leave()
            if self.saving.step_due(position.total):
                self._save()
        return bool(session.stopped) and step < session.steps

    def _look(self, step: int) -> int | None:
        """The number of steps after which there must be a look."""
        total = self.position.before + step
        most = self.session.most_steps
        due = None if self.saving is None else self.saving.until_due(total)
        wanted = [n for n in (None if most is None else most - total, due) if n is not None]
        return min(wanted, default=None)

    def _validated(self) -> dict[str, float] | None:
        """The epoch's figures; None if a signal came meanwhile."""
        logs = self.parts.training.sums.read()
        if self.validate is not None:
            found = self.validate(lambda: self.signals.caught is not None)
            if found is None:
                return None
            logs |= found
        logs["seconds"] = self._seconds()[0]
        return logs

    def _end_epoch(self, logs: Logs) -> None:
        session, epoch = self.session, self.position.epoch
        session.history.append(epoch, logs)
        if math.isnan(logs["loss"]):
            reason = (
                f"the loss became NaN in epoch {epoch}: lower the learning rate, clip the "
                "gradients, or standardise the inputs; fit(check_finite=True) tells where it "
                "came up"
            )
            session.stop(reason)
            warnings.warn(reason, RuntimeWarning, stacklevel=5)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)
        session.history.stopped = session.stopped

    def _next_epoch(self, logs: Logs) -> None:
        """The epoch is over: go on to the next, with a checkpoint if one is due."""
        position, session, saving = self.position, self.session, self.saving
        ended = position.epoch
        # an epoch that was left early counts whole, as ever
        total = position.before + session.steps
        self.position = replace(position, epoch=ended + 1, step=0, total=total)
        if saving is None:
            return
        better = saving.better(logs)
        best = logs[saving.plan.best] if better and saving.plan.best else None
        last = ended >= session.epochs or bool(session.stopped)
        if self.signals.caught is not None:
            self._leave(best)
        if saving.epoch_due(ended, last, better):
            self._save(best)

    # -- checkpoints ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Put back what a checkpoint has; else see that one can be written."""
        now = time.perf_counter()
        self._marks = now, now
        saving = self.saving
        if saving is None:
            return
        optimizer = self.session.optimizer
        if not (hasattr(optimizer, "state_dict") and hasattr(optimizer, "load_state_dict")):
            raise TypeError(
                f"{type(optimizer).__name__} has no state_dict and load_state_dict, so its state "
                "cannot be a part of checkpoints"
            )
        if saving.plan.best is not None:
            require_figure(saving.plan.best, self.session, "Checkpoints")
        if saving.found is None:
            states = [(type(c).__name__, c.state_dict()) for c in self.callbacks]
            pack({"callbacks": dict(states), "settings": self.parts.settings})
            return
        path, state = saving.found
        if wrong := differences(state["settings"], self.parts.settings):
            raise CheckpointError(path, f"is of a training with {'; '.join(wrong)}")
        try:
            self.position = Position.of(state["position"])
            self.position.require_within(self.session.steps)
            if self.position.step:
                self._tell_epoch()
            self.position = self.parts.restore(state)
        except ValueError as error:
            raise CheckpointError(path, f"does not fit this training: {error}") from error
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            told = f"a part of its state is not as it must be ({type(error).__name__}: {error})"
            raise CheckpointError(path, f"does not fit this training: {told}") from error
        saving.found = None  # its arrays are not needed any more
        self._marks = now - self.position.epoch_seconds, now - self.position.seconds
        if self.position.epoch > self.session.epochs or self._over():
            told = f"{path}: training had come to its end already; there is nothing to go on with"
            warnings.warn(told, RuntimeWarning, stacklevel=6)

    def _save(self, best: float | None = None) -> str:
        """Write a checkpoint; what went wrong with it, or ""."""
        assert self.saving is not None
        position = self.position
        position.epoch_seconds, position.seconds = self._seconds()
        state = self.parts.state(position)
        state["history"]["seconds"] = position.seconds
        error = self.saving.write(state, position.epoch, position.step, best)
        return "" if error is None else str(error)

    def _leave(self, best: float | None = None) -> None:
        """A signal came: save, say so, and end."""
        assert self.saving is not None
        assert self.signals.caught is not None
        position, name = self.position, self.signals.caught.name
        where = f"in epoch {position.epoch} after step {position.step} of {self.session.steps}"
        if position.epoch > self.session.epochs:
            where = "after its last epoch"
        problem = self._save(best)
        last = self.saving.last
        saved = f"saved in {last}" if not problem else f"not saved ({problem})"
        if problem and last is not None:
            saved += f"; the last checkpoint is {last}"
        self.signals.leave(
            f"training was interrupted by {name} {where}; {saved}. "
            f"To go on: {self.saving.plan.again}"
        )

    def _seconds(self) -> tuple[float, float]:
        """Used so far: by the epoch, and by all of the training."""
        now = time.perf_counter()
        return now - self._marks[0], now - self._marks[1]

    # -- callbacks ------------------------------------------------------------------------------

    def _tell_epoch(self) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(self.position.epoch)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell the callbacks that training begins, and, whatever happens, that it has ended.

        Those whose beginning failed, and those after them, are told of no end.
        """
        begun: list[Callback] = []
        self.session.resumed = self.saving is not None and self.saving.found is not None
        try:
            for callback in self.callbacks:
                callback.session = self.session
                callback.on_train_begin()
                begun.append(callback)
            with behaving(self.session.model, training=True):
                yield
        except BaseException as error:
            for name, other in _tell_ended(begun):  # it must not hide the one that came first
                told = f"{name}.on_train_end failed: {other}"
                error.add_note(told)
                if isinstance(error, (Interrupted, Terminated)):
                    warnings.warn(told, RuntimeWarning, stacklevel=6)
            raise
        for _, failed in _tell_ended(begun):
            raise failed


def _tell_ended(callbacks: Iterable[Callback]) -> list[tuple[str, Exception]]:
    """Tell each that training has ended, whatever another one raises; the errors by class."""
    errors = []
    for callback in callbacks:
        try:
            callback.on_train_end()
        except Exception as error:
            errors.append((type(callback).__name__, error))
    return errors


def _overrides(callback: Callback, name: str) -> bool:
    return getattr(type(callback), name) is not getattr(Callback, name)
