"""Callbacks with Keras's names and arguments; epochs and batches count from 0 here, as there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glubina import train
from glubina.files import DamagedFileError, read_bytes, write_text
from glubina.train.attributes import plain_attributes, take_attributes
from glubina.train.callbacks import copy_weights
from glubina.train.history import rises

Logs = dict[str, float]


class Callback:
    """Base class: override what is wanted. `self.model` is trained; `self.params` tells of it.

    Overriding a method of batches makes training return to Python after every step.
    """

    model: Any = None
    params: dict[str, Any]

    def set_model(self, model: Any) -> None:
        """Take the model that is trained."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the numbers of epochs and steps."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Training begins."""

    def on_train_end(self, logs: Any = None) -> None:
        """Training has ended."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """An epoch begins."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An epoch has ended, validation included."""

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A step begins."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """A step has ended."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A step begins."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A step has ended."""
        self.on_batch_end(batch, logs)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the attributes that are numbers, texts, arrays and the like."""
        return plain_attributes(self)

    def load_state_dict(self, values: Any) -> None:
        """Take over what `state_dict` gave."""
        take_attributes(self, values)

    def watches_batches(self) -> bool:
        """Whether a method of batches is overridden."""
        own, base = type(self), Callback
        names = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
        return any(getattr(own, name) is not getattr(base, name) for name in names)


class History(Callback):
    """The figures of every epoch: `history["val_loss"]`; `epoch` are their numbers."""

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the figures."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))


class LambdaCallback(Callback):
    """Functions with the arguments of `Callback`'s methods, by their names."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for name, function in functions.items():
            if name not in vars(Callback) or not name.startswith("on_"):
                known = [n for n in vars(Callback) if n.startswith("on_")]
                raise TypeError(f"LambdaCallback has no {name!r}; there are {', '.join(known)}")
            setattr(self, name, lambda *given, f=function: f(*given))
        self._batches = any("batch" in name for name in functions)

    def watches_batches(self) -> bool:
        """Whether a function of batches was given."""
        return self._batches


class _Monitor(Callback):
    """What watches a figure: when it has become better."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor, self.min_delta = monitor, abs(min_delta)
        self.rising = rises(monitor) or monitor.endswith("acc") if mode == "auto" else mode == "max"
        self.best = -np.inf if self.rising else np.inf

    def better(self, value: float) -> bool:
        """Whether the figure beats the best by more than min_delta; NaN never does."""
        gain = value - self.best if self.rising else self.best - value
        return bool(gain > self.min_delta)

    def figure(self, logs: Any) -> float:
        """The figure; ValueError, with the names there are, if there is none such."""
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor!r}; the figures of this training "
                f"are {', '.join(logs or {})} (val_ figures need validation data)"
            )
        return float(logs[self.monitor])


class EarlyStopping(_Monitor):
    """Stop when a figure has not become better for `patience` epochs."""

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.stopped_epoch = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget an earlier training."""
        worst = -np.inf if self.rising else np.inf
        self.best = worst if self.baseline is None else self.baseline
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self._weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare with the best so far."""
        value = self.figure(logs)
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self._weights is None:
            self._weights = copy_weights(self.model)
        if self.better(value):
            self.best, self.best_epoch, self.wait = value, epoch, 0
            if self.restore_best_weights:
                self._weights = copy_weights(self.model)
            return
        self.wait += 1
        if self.wait >= max(self.patience, 1):
            self.stopped_epoch = epoch
            self.model.stop_training = True
            if self.verbose:
                print(f"Epoch {epoch + 1}: early stopping")

    def on_train_end(self, logs: Any = None) -> None:
        """Restore the best weights if training was stopped."""
        if self.stopped_epoch and self._weights is not None:
            self.model.load_state_dict(self._weights)
        self._weights = None


class ModelCheckpoint(_Monitor):
    """Save the model after an epoch, or its weights only; the path may hold {epoch:02d}, {loss}.

    save_best_only: whenever the figure has become better.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str = "epoch",
        period: int = 1,
    ) -> None:
        super().__init__(monitor, mode)
        if save_freq != "epoch":
            raise ValueError(f"save_freq is 'epoch' here, got {save_freq!r}")
        self.filepath, self.verbose, self.period = os.fspath(filepath), verbose, period
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save what is wanted."""
        if (epoch + 1) % self.period:
            return
        if self.save_best_only:
            value = self.figure(logs)
            if not self.better(value):
                return
            self.best = value
        path = self.filepath.format(epoch=epoch + 1, **(logs or {}))
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved to {path}")


class LearningRateScheduler(Callback):
    """The learning rate of each epoch from `schedule(epoch)` or `schedule(epoch, rate)`."""

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set the rate."""
        optimizer = self.model.optimizer
        try:
            rate = self.schedule(epoch, float(optimizer.learning_rate))
        except TypeError:
            rate = self.schedule(epoch)
        optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {float(rate):g}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the rate to the figures."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class ReduceLROnPlateau(_Monitor):
    """Multiply the learning rate by `factor` after `patience` epochs without a better figure."""

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 <= factor < 1:
            raise ValueError(f"factor must be below 1, got {factor}")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget an earlier training."""
        self.best = -np.inf if self.rising else np.inf
        self.wait = self.resting = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare with the best so far."""
        value, optimizer = self.figure(logs), self.model.optimizer
        logs["learning_rate"] = float(optimizer.learning_rate)
        if self.resting:
            self.resting -= 1
            self.wait = 0
        if self.better(value):
            self.best, self.wait = value, 0
        elif not self.resting:
            self.wait += 1
            rate = float(optimizer.learning_rate)
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.resting, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: learning rate {float(optimizer.learning_rate):g}")


class CSVLogger(Callback):
    """The figures of every epoch in a CSV file, which is whole at every moment."""

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename, self.separator, self.append = Path(filename), separator, append

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin the file, or go on with it."""
        kept = self.append and self.filename.is_file()
        try:
            self.lines = read_bytes(self.filename).decode().splitlines() if kept else []
        except UnicodeDecodeError as error:
            raise DamagedFileError(self.filename, f"is no text to go on with ({error})") from error

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add a line."""
        figures = logs or {}
        if not self.lines:
            self.lines.append(self.separator.join(["epoch", *figures]))
        self.lines.append(self.separator.join([str(epoch), *(repr(v) for v in figures.values())]))
        write_text(self.filename, "\n".join(self.lines) + "\n")


class BackupAndRestore(Callback):
    """Keep the training's state in a folder, and go on from it in the next `fit` that has this.

    save_freq: "epoch", or so many steps. delete_checkpoint: remove it when training has ended. A
    training that was killed ends with the bits of one that was not (see `train.Checkpoints`).
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        self.delete_checkpoint = delete_checkpoint
        if save_freq == "epoch":
            self._checkpoints = train.Checkpoints(backup_dir)
        elif isinstance(save_freq, int):
            self._checkpoints = train.Checkpoints(backup_dir, epochs=None, steps=save_freq)
        else:
            raise ValueError(f"save_freq is 'epoch' or a number of steps, got {save_freq!r}")

    def state_dict(self) -> dict[str, Any]:
        """Nothing: it is where the state is kept."""
        return {}

    @property
    def options(self) -> dict[str, Any]:
        """What it means for `fit`."""
        kept = self._checkpoints
        return {"checkpoints": kept, "resume": bool(kept.files())}

    def finish(self) -> None:
        """Training has come to its end."""
        if self.delete_checkpoint:
            self._checkpoints.clear()


class TerminateOnNaN(Callback):
    """Training stops by itself when the loss is NaN: this is here for programs that name it."""
