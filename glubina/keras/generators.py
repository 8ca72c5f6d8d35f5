"""Data in mini-batches: `Sequence`, and generators given to fit, evaluate and predict."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from glubina.data import DataError, DataLoader
from glubina.tensor import asarray
from glubina.train import Several


class Sequence:
    """Mini-batches by number: subclass it, write `__getitem__(index)` and `__len__`."""

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs __getitem__(self, index)")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs __len__(self): the mini-batches")

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def is_batched(value: Any) -> bool:
    """Whether a value gives mini-batches: a `Sequence`, or a generator."""
    return isinstance(value, (Sequence, Iterator))


def _part(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        parts = [_part(v) for v in value]
        return parts[0] if len(parts) == 1 else Several(parts)
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _pair(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets of a mini-batch; weights stand behind the targets."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise DataError("a generator gives mini-batches (x, y) or (x, y, sample_weight)")
    x, y = _part(batch[0]), _part(batch[1])
    if len(batch) == 3 and batch[2] is not None:
        y = Several((*(y if isinstance(y, Several) else (y,)), _part(batch[2])))
    return x, y


def _each(function: Any, value: Any) -> Any:
    return Several(map(function, value)) if isinstance(value, Several) else function(value)


class _Examples:
    """What training asks of a data set: its length, and the form of an example."""

    def __init__(self, first: tuple[Any, Any], count: int) -> None:
        self._first, self._count = first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return tuple(_each(lambda array: array[0], part) for part in self._first)


class Batched(DataLoader):
    """A `Sequence`, or a generator of `steps` mini-batches an epoch, as training takes it."""

    def __init__(self, source: Any, steps: int | None, shuffle: bool = False) -> None:
        if steps is None and not hasattr(source, "__len__"):
            raise DataError(
                "a generator has no end: say how many mini-batches make an epoch "
                "(steps_per_epoch; validation_steps or steps for evaluation)"
            )
        self.steps = len(source) if steps is None else int(steps)
        self.source, self._mixed = source, shuffle
        if isinstance(source, Sequence):
            first = source[0]
        else:
            first = next(source)
            self.source = itertools.chain([first], source)
        x, y = _pair(first)
        self.batch_size = len(x[0] if isinstance(x, Several) else x)
        self.dataset = _Examples((x, y), self.steps * self.batch_size)
        self.shuffle, self.drop_last, self.seed, self.epoch = False, False, None, 0
        self._taken = 0
        self._order: Any = None

    def __len__(self) -> int:
        """The mini-batches in an epoch."""
        return self.steps

    def batches(self, done: int = 0) -> Iterator[Any]:
        """The mini-batches of an epoch, as they are given, but for the first `done`."""
        if not isinstance(self.source, Sequence):
            for batch in itertools.islice(self.source, self.steps - done):
                self._taken += 1
                yield batch
            return
        if self._order is None or not done:
            self._order = np.arange(len(self.source))
            if self._mixed:
                np.random.shuffle(self._order)  # noqa: NPY002 - the generator that course code seeds
        for index in self._order[done : self.steps]:
            yield self.source[int(index)]
        self.source.on_epoch_end()

    def after(self, done: int) -> Iterator[Any]:
        """The mini-batches of the next epoch but for the first `done`."""
        for batch in self.batches(done):
            x, y = _pair(batch)
            yield _each(asarray, x), _each(asarray, y)

    def state_dict(self) -> dict[str, Any]:
        """The order of the epoch, and how many mini-batches a generator has given in all."""
        return {"order": self._order, "taken": self._taken}

    def load_state_dict(self, values: Any, again: bool = False) -> None:
        """Go on. A generator, which begins anew in a new process, is run up to where it was."""
        self._order = values["order"]
        if not isinstance(self.source, Sequence):
            for _ in itertools.islice(self.source, values["taken"] - self._taken):
                pass
            self._taken = values["taken"]


def inputs_of(source: Any, steps: int | None) -> Any:
    """The inputs of all mini-batches together, for `predict`."""
    if isinstance(source, Sequence):
        given = [source[i] for i in range(len(source) if steps is None else steps)]
    elif steps is None:
        raise DataError("predict needs `steps` to know how many mini-batches a generator gives")
    else:
        given = list(itertools.islice(source, steps))
    parts = [_part(b[0] if isinstance(b, tuple) else b) for b in given]
    if isinstance(parts[0], Several):
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
    return np.concatenate(parts)
