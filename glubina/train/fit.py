"""Epochs over one source of mini-batches: the compiled steps, with looks between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data import DataLoader, epoch_order
from glubina.train import chance
from glubina.train.inputs import Batches, makes_own_batches
from glubina.train.programs import Steps, Stream, Sums

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
        # the state of chance as the epoch began, where a loader's order may be drawn from it
        self._began: Any = None

    def epoch(
        self,
        number: int,
        ended: Callable[[int], bool],
        every_step: bool,
        look: Callable[[int], int | None] = lambda step: None,
        done: int = 0,
    ) -> None:
        """Run an epoch; `ended(step)` is called between slices and tells whether to stop.

        look: from the finished steps to the number of steps after which there must be a look.
        done: the epoch goes on after so many steps, the sums with what they have.
        """
        if self._steps is None:
            self._stream_epoch(ended, done)
            return
        size, part = self.source.step_size, self.source.batch_size
        whole, rest = divmod(self.source.count, size)
        self._steps.begin(self._order(number), done * size)
        while done < whole:
            left = min(whole - done, look(done) or whole)
            steps = 1 if every_step else max(1, min(self._slice, left))
            start = time.perf_counter()
            self._steps.run(steps, size, part)
            self._adapt(steps, time.perf_counter() - start)
            done += steps
            if ended(done):
                return
        if rest and done == whole:
            self._steps.run(1, rest, part)
            ended(done + 1)

    def state_dict(self) -> dict[str, Any]:
        """The sums of the epoch so far, and how far the loader has come."""
        loader = self.source.loader
        return {
            "sums": self.sums.state_dict(),
            "loader": None if loader is None else loader.state_dict(),
            "began": self._began,
        }

    def load_state_dict(self, values: Any, done: int) -> None:
        """Go on after so many steps of an epoch."""
        self.sums.load_state_dict(values["sums"])
        loader = self.source.loader
        if loader is not None:
            loader.load_state_dict(values["loader"], again=done > 0)
        self._began = values.get("began")  # the first checkpoints have none

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

    def _stream_epoch(self, ended: Callable[[int], bool], done: int) -> None:
        assert self._stream is not None
        assert self.source.loader is not None
        if not done:
            self.sums.reset()
        several = self.source.accumulate
        total = -(-self.source.count // self.source.batch_size)
        begun = done * several
        for number, batch in enumerate(self._batches(self.source.loader, begun), begun + 1):
            last = number % several == 0 or number == total
            self._stream.run(batch, last)
            if last and ended(-(-number // several)):
                return

    def _batches(self, loader: DataLoader, done: int) -> Iterator[Any]:
        """The mini-batches of the next epoch but for the first `done`."""
        if not makes_own_batches(loader):
            return loader.after(done)
        # perhaps in an order of its own: made again as it was, up to here
        own = chance.own_generators([loader])
        now = chance.states(own)
        if done and self._began is not None:
            chance.restore(self._began, own)
        else:
            self._began = now
        batches = iter(loader)
        for _ in range(done):
            next(batches, None)
        if done:
            chance.restore(now, own)
        return batches
