"""Checkpoints: when the state of a training is written, where, and which are kept."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from glubina.files import DamagedFileError, FileError, locked, path_of, require_writable
from glubina.files.errors import reason
from glubina.tensor.arguments import above_zero, whole
from glubina.train.checkpoint_file import (
    CheckpointError,
    name_of,
    place_of,
    read_checkpoint,
    write_checkpoint,
)
from glubina.train.history import rises

SUFFIX = ".safetensors"
DAMAGED = ".damaged"


class Checkpoints:
    """A folder of checkpoints of one training, each with everything that the training depends on.

    epochs: one after every so many epochs (None: none for an epoch's sake). steps: one after every
    so many steps of the whole training. seconds: one as soon as so many seconds have passed since
    the last. best: the figure of which the best epoch's checkpoint is kept as well, whatever
    `epochs` says. keep: how many of the others stay, the newest ones. share: skip very short
    epochs, so that writing takes no more than this share of the time.

    A checkpoint is one safetensors file, epoch-000003-step-00000120.safetensors, which is written
    under another name, flushed and renamed: the state in the third epoch after its 120th step.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        epochs: int | None = 1,
        steps: int | None = None,
        seconds: float | None = None,
        best: str | None = None,
        keep: int = 2,
        share: float | None = None,
    ) -> None:
        self.folder = path_of(folder)
        self.epochs = None if epochs is None else whole("Checkpoints: epochs", epochs)
        self.steps = None if steps is None else whole("Checkpoints: steps", steps)
        self.seconds = seconds
        if seconds is not None:
            above_zero("Checkpoints: seconds", seconds)
        self.best = best
        self.keep = whole("Checkpoints: keep", keep)
        self.share = None if share is None else above_zero("Checkpoints: share", share)
        self.again = f"fit(..., checkpoints={str(self.folder)!r}, resume=True)"

    # -- the folder -----------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """The checkpoints that there are, the oldest first."""
        if not self.folder.is_dir():
            return []
        places = {path: place_of(path) for path in self.folder.glob(f"epoch-*{SUFFIX}")}
        found = [(place, path) for path, place in places.items() if place and path.is_file()]
        return [path for _, path in sorted(found)]

    @contextmanager
    def held(self) -> Iterator[None]:
        """In the block this process alone writes into the folder, which is made if it is missing.

        Raises LockedError (a FileError) where another training has it.
        """
        require_writable(self.folder)
        with locked(self.folder, "training"):
            yield

    def newest(self, put_aside: bool = False) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that can be read, and its state; None if there is none.

        A damaged one is passed over with a warning. put_aside: add ".damaged" to its name, so
        that it is not taken for a newer one than those that will be written.
        """
        files = self.files()
        while files:
            path = files.pop()
            try:
                return path, read_checkpoint(path)
            except DamagedFileError as error:
                if put_aside:
                    with suppress(OSError):
                        os.replace(path, path.with_name(path.name + DAMAGED))
                then = f"{files[-1].name} before it is taken" if files else "there is no other"
                warnings.warn(f"{error}; {then}", RuntimeWarning, stacklevel=4)
        return None

    def weights(self, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """The weights in a checkpoint, as a model's `load_state_dict` takes them.

        Of the file named; unless told of the best one, where a best one is kept, else of the
        newest. The averaged weights where training averages them.
        """
        if path is None:
            found = self.newest()
            if found is None:
                raise FileError(self.folder, "there is no checkpoint in this folder")
            best = (found[1].get("best") or {}).get("file")
            path, state = found if best is None else (None, read_checkpoint(self.folder / best))
        else:
            state = read_checkpoint(path)
        average = state.get("average")
        weights: dict[str, Any] = state["model"] if average is None else average["weights"]
        return weights

    def clear(self) -> None:
        """Remove the checkpoints, and the folder if nothing else is in it.

        Raises FileError if one stays.
        """
        for path in [*self.files(), *self.folder.glob(f"epoch-*{SUFFIX}{DAMAGED}")]:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise FileError(path, f"cannot be removed: {reason(error)}") from error
        with suppress(OSError):
            self.folder.rmdir()


class Saving:
    """The checkpoints of a running training: which is due, and what of the last one is known."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.plan = checkpoints
        self.found: tuple[Path, dict[str, Any]] | None = None
        self.last: Path | None = None
        self._best: dict[str, Any] | None = None
        self._time = time.monotonic()
        self._cost = 0.0  # seconds that the last one took
        self._failing = False

    def begin(self, resume: bool) -> None:
        """Look for a checkpoint to go on from; refuse to begin anew where there are some."""
        if not resume:
            if self.plan.files():
                raise CheckpointError(
                    self.plan.folder,
                    "has checkpoints of another training: resume=True goes on with it; name "
                    "another folder to begin anew, or remove them (Checkpoints(...).clear())",
                )
            return
        self.found = self.plan.newest(put_aside=True)
        if self.found is None:
            warnings.warn(
                f"{self.plan.folder}: no checkpoint was written yet; training starts from the "
                "beginning",
                RuntimeWarning,
                stacklevel=6,
            )
        else:
            self.last = self.found[0]
            self._best = self.found[1].get("best")

    @property
    def seed(self) -> int | None:
        """The seed of the training that is gone on with; None for one that begins."""
        return None if self.found is None else self.found[1]["settings"].get("seed")

    def until_due(self, step: int) -> int | None:
        """How many steps from this one (of the whole training) the next checkpoint is away."""
        every = self.plan.steps
        return None if every is None else every - step % every

    def step_due(self, step: int) -> bool:
        """Whether a checkpoint is wanted after this step of the whole training."""
        plan = self.plan
        by_steps = plan.steps is not None and step % plan.steps == 0
        return by_steps or (plan.seconds is not None and self._passed() >= plan.seconds)

    def epoch_due(self, epoch: int, last: bool, better: bool) -> bool:
        """Whether one is wanted after this epoch."""
        plan = self.plan
        wanted = plan.epochs is not None and epoch % plan.epochs == 0
        rare = plan.share is None or self._passed() * plan.share >= self._cost
        return better or last or (wanted and rare)

    def better(self, logs: Mapping[str, float]) -> bool:
        """Whether the epoch's figure is the best so far."""
        name = self.plan.best
        if name is None:
            return False
        value, best = logs[name], None if self._best is None else self._best["value"]
        if value != value:  # NaN
            return False
        return best is None or (value > best if rises(name) else value < best)

    def write(
        self, state: dict[str, Any], epoch: int, step: int, best: float | None = None
    ) -> FileError | None:
        """Write a state; an error of the disk is a warning, as training can go on. It is returned.

        best: the figure, if no epoch had a better one.
        """
        path = self.plan.folder / name_of(epoch, step)
        known = self._best if best is None else {"value": float(best), "file": path.name}
        began = time.monotonic()
        try:
            write_checkpoint(path, {**state, "best": known})
        except FileError as error:
            if not self._failing:
                warnings.warn(
                    f"the checkpoint was not written ({error}); training goes on, and the next "
                    "one is tried",
                    RuntimeWarning,
                    stacklevel=5,
                )
            self._failing = True
            return error
        finally:
            self._time = time.monotonic()
            self._cost = self._time - began
        self._failing, self.last, self._best = False, path, known
        self._prune()
        return None

    def _prune(self) -> None:
        """Remove what need not be kept."""
        assert self.last is not None
        best, files = None if self._best is None else self._best["file"], self.plan.files()
        # newer ones than the one just written are no use: damaged ones that could not be put aside
        until = files.index(self.last) + 1 if self.last in files else 0
        others = [path for path in files[:until] if path.name != best]
        for path in others[: -self.plan.keep]:
            with suppress(OSError):
                path.unlink()

    def _passed(self) -> float:
        return time.monotonic() - self._time


@contextmanager
def opened(
    checkpoints: Checkpoints | str | os.PathLike[str] | None,
    resume: bool | str | os.PathLike[str],
) -> Iterator[Saving | None]:
    """What `fit` was given, with its folder held for this training; None for no checkpoints."""
    plan, again = as_checkpoints(checkpoints, resume)
    if plan is None:
        yield None
        return
    with plan.held():
        saving = Saving(plan)
        saving.begin(again)
        yield saving


def as_checkpoints(
    checkpoints: Checkpoints | str | os.PathLike[str] | None,
    resume: bool | str | os.PathLike[str],
) -> tuple[Checkpoints | None, bool]:
    """What `fit` was given, as checkpoints and whether to go on from them."""
    if not isinstance(resume, bool):
        if not isinstance(resume, (str, os.PathLike)):
            raise TypeError(
                f"resume must be True, False or a folder of checkpoints, got {resume!r}"
            )
        if checkpoints is not None:
            raise ValueError("resume names a folder and checkpoints does too: give resume=True")
        return Checkpoints(resume), True
    if resume and checkpoints is None:
        raise ValueError("resume=True needs checkpoints=...: the folder in which they are")
    if checkpoints is None or isinstance(checkpoints, Checkpoints):
        return checkpoints, resume
    if not isinstance(checkpoints, (str, os.PathLike)):
        raise TypeError(
            f"checkpoints must be a folder or a train.Checkpoints(...), got {checkpoints!r}"
        )
    return Checkpoints(checkpoints), resume
