"""The fit loop: epochs of compiled steps, with callbacks and validation between them."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from glubina.data import DataLoader, epoch_order
from glubina.optim import EMA
from glubina.train.averaging import averaging
from glubina.train.callbacks import Callback, Session
from glubina.train.history import Logs
from glubina.train.inputs import Batches
from glubina.train.programs import Steps, Stream, Sums
from glubina.train.protocol import behaving

SLICE = 0.05  # seconds of native steps between two looks at signals, callbacks and progress


class Run:
    """Epochs over one source of mini-batches, of training or of evaluation.

    `steps` for examples in memory (shuffled by `seed` if there is one), `stream` for a loader.
    """

    def __init__(
        self,
        source: Batches,
        sums: Sums,
        *,
        steps: Steps | None = None,
        stream: Stream | None = None,
        seed: int | None = None,
    ) -> None:
        self.source = source
        self.sums = sums
        self._steps = steps
        self._stream = stream
        self._seed = seed
        self._slice = 1

    def epoch(
        self,
        number: int,
        ended: Callable[[int], bool],
        every_step: bool,
        most: int | None = None,
    ) -> None:
        """Run an epoch; `ended(step)` is called between slices and tells whether to stop.

        most: there is a look after so many steps.
        """
        if self._steps is None:
            self._stream_epoch(ended)
            return
        self._steps.begin(self._order(number))
        size, part, done = self.source.step_size, self.source.batch_size, 0
        whole, rest = divmod(self.source.count, size)
        while done < whole:
            left = min(whole, most or whole) - done
            steps = 1 if every_step else max(1, min(self._slice, left))
            start = time.perf_counter()
            self._steps.run(steps, size, part)
            self._adapt(steps, time.perf_counter() - start)
            done += steps
            if ended(done):
                return
        if rest:
            self._steps.run(1, rest, part)
            ended(done + 1)

    def _adapt(self, steps: int, seconds: float) -> None:
        """Choose the slice so that it takes about SLICE; it grows at most fourfold at a time."""
        fitting = int(steps * SLICE / max(seconds, 1e-9))
        self._slice = max(1, min(fitting, 4 * max(steps, self._slice)))

    def _order(self, epoch: int) -> NDArray[np.int64] | None:
        """The order of the epoch's examples; None leaves it as it is."""
        if isinstance(self.source.loader, DataLoader):
            return self.source.loader.next_order()
        if self._seed is None:
            return None
        assert self.source.examples is not None
        return epoch_order(len(self.source.examples), self._seed, epoch)

    def _stream_epoch(self, ended: Callable[[int], bool]) -> None:
        assert self._stream is not None
        assert self.source.loader is not None
        self.sums.reset()
        several = self.source.accumulate
        total = -(-self.source.count // self.source.batch_size)
        for number, batch in enumerate(self.source.loader, 1):
            last = number % several == 0 or number == total
            self._stream.run(batch, last)
            if last and ended(-(-number // several)):
                return


def run_epochs(
    session: Session,
    training: Run,
    validate: Callable[[], dict[str, float]] | None,
    callbacks: list[Callback],
    average: EMA | None = None,
) -> None:
    """All epochs of a training, with the callbacks told of everything.

    With an average of the weights, validation and what is done after an epoch see the averaged
    ones, and the model has them in the end.
    """
    every_step = [c for c in callbacks if _overrides(c, "on_step_end")]
    watching = [c for c in callbacks if _overrides(c, "on_progress")]
    before = 0  # steps in the epochs before this one

    def ended(step: int) -> bool:
        if every_step or watching:
            logs = training.sums.read()
            for callback in every_step:
                callback.on_step_end(step, logs)
            for callback in watching:
                callback.on_progress(step, logs)
        if session.most_steps is not None and before + step >= session.most_steps:
            session.stop(f"{session.most_steps} steps have been run")
        return bool(session.stopped) and step < session.steps

    began = time.perf_counter()
    with _told(callbacks, session), averaging(average) as between:
        for epoch in range(1, session.epochs + 1):
            for callback in callbacks:
                callback.on_epoch_begin(epoch)
            start = time.perf_counter()
            most = None if session.most_steps is None else session.most_steps - before
            training.epoch(epoch, ended, bool(every_step), most)
            before += session.steps
            logs = training.sums.read()
            with between():
                if validate is not None:
                    logs |= validate()
                logs["seconds"] = time.perf_counter() - start
                _end_epoch(session, epoch, logs, callbacks)
            if session.stopped:
                break
    session.history.seconds += time.perf_counter() - began


def _end_epoch(session: Session, epoch: int, logs: Logs, callbacks: list[Callback]) -> None:
    session.history.append(epoch, logs)
    if math.isnan(logs["loss"]):
        reason = (
            f"the loss became NaN in epoch {epoch}: lower the learning rate, clip the gradients, "
            "or standardise the inputs; fit(check_finite=True) tells where it came up"
        )
        session.stop(reason)
        warnings.warn(reason, RuntimeWarning, stacklevel=5)
    for callback in callbacks:
        callback.on_epoch_end(epoch, logs)
    session.history.stopped = session.stopped


@contextmanager
def _told(callbacks: list[Callback], session: Session) -> Iterator[None]:
    """Tell the callbacks that training begins, and, whatever happens, that it has ended.

    Those whose beginning failed, and those after them, are told of no end.
    """
    begun: list[Callback] = []
    try:
        for callback in callbacks:
            callback.session = session
            callback.on_train_begin()
            begun.append(callback)
        with behaving(session.model, training=True):
            yield
    finally:
        for callback in begun:
            callback.on_train_end()


def _overrides(callback: Callback, name: str) -> bool:
    return getattr(type(callback), name) is not getattr(Callback, name)
