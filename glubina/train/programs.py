"""The compiled programs of training: the whole step, the evaluation step, and the forward pass.

A step is one function over state tensors: the data set, the order of the examples, the position
in it, the parameters, the optimizer's moments and the sums of the metrics. `compile` makes it
one native call that gathers its mini-batch, runs forward and backward, updates and adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph import IndexRangeError
from glubina.metrics import Metric
from glubina.optim import EMA
from glubina.runtime.buffer import Buffer
from glubina.runtime.limits import OutOfMemoryError
from glubina.tensor import Tensor, arange, compile, no_grad, take, tensor, where
from glubina.tensor.cell import leaf_of_array
from glubina.tensor.compile import Compiled
from glubina.tensor.convert import settled
from glubina.tensor.realise import settle
from glubina.tensor.trace import outside, unguarded
from glubina.train.augmented import Augment, class_numbers
from glubina.train.gathered import Gathered
from glubina.train.inputs import Examples
from glubina.train.limits import Limits
from glubina.train.protocol import Loss, Model, Optimizer, in_use
from glubina.train.several import Several, each, first, listed, outputs_of
from glubina.train.shortage import require_copies
from glubina.train.watch import Watch

_MOST_SHAPES = 8

# What a step does with a mini-batch: (inputs, targets, whether an epoch begins, whether an update
# follows its gradient) -> counts.
Work = Callable[[Any, Any, Tensor | None, bool], NDArray[np.int64]]


class Sums:
    """Running sums of the loss and the metrics: totals in the program, counts beside it."""

    def __init__(self, loss: Loss, metrics: Sequence[Metric]) -> None:
        self.names = ("loss", *(metric.name for metric in metrics))
        self._loss = loss
        self._metrics = tuple(metrics)
        # A cell for each, not one vector: every sum is then finished where it is computed.
        # Their shapes are known with the first mini-batch.
        self._totals: list[Tensor | None] = [None] * len(self.names)
        self._counts = np.zeros(len(self.names), np.int64)

    def add(
        self, loss: Tensor, outputs: Any, targets: Any, fresh: Tensor | None
    ) -> NDArray[np.int64]:
        """Add a mini-batch in the program; the counts it adds are returned, for `count`.

        `fresh` tells in the program whether an epoch begins: then the totals begin at this
        mini-batch, so that nothing has to be set to zero between the epochs.
        """
        rows = first(targets).shape[0]
        summed = getattr(self._loss, "reduction", "mean") == "sum"
        parts, counts = [loss.detach() if summed else loss.detach() * rows], [rows]
        outputs = each(lambda output: output.detach(), outputs)
        for metric in self._metrics:
            total, count = metric.total(outputs, targets)
            parts.append(total)
            counts.append(count)
        for number, part in enumerate(parts):
            total = self._total(number, part.shape)
            before = total if fresh is None else where(fresh, 0.0, total)
            total.copy_(before + part.astype(np.float64))
        return np.array(counts, np.int64)

    def _total(self, number: int, shape: tuple[int, ...]) -> Tensor:
        total = self._totals[number]
        if total is None:
            with outside():
                total = self._totals[number] = tensor(np.zeros(shape))
        return total

    def count(self, counts: NDArray[np.int64], steps: int) -> None:
        """Count what that many steps have added."""
        self._counts += counts * steps

    def begin(self) -> None:
        """Count anew; the totals begin anew in the program, with the first mini-batch."""
        self._counts[:] = 0

    def reset(self) -> None:
        """Begin anew where no program does."""
        for total in self._totals:
            if total is not None:
                total.zero_()
        self.begin()

    def state_dict(self) -> dict[str, Any]:
        """The totals and the counts."""
        totals = [None if total is None else total.numpy() for total in self._totals]
        return {"totals": totals, "counts": self._counts.copy()}

    def load_state_dict(self, values: Any) -> None:
        """Go on from totals and counts."""
        for number, array in enumerate(values["totals"]):
            if array is not None:
                _set(self._total(number, array.shape), array)
        self._counts[:] = values["counts"]

    def read(self) -> dict[str, float]:
        """The figures so far."""
        return {
            name: self._figure(number, int(self._counts[number]))
            for number, name in enumerate(self.names)
        }

    def _figure(self, number: int, count: int) -> float:
        total = self._totals[number]
        if total is None:
            return 0.0
        finish = self._metrics[number - 1].finish if number else None
        value = total.numpy()
        return float(value) / max(count, 1) if finish is None else float(finish(value, count))


class Steps:
    """Steps over examples in memory, in an order that may change from epoch to epoch.

    `work` is what a step does with its mini-batch. Gathering the mini-batch is part of the
    compiled program, and so is going back to the first example after `count` of them: between two
    epochs only a new order is brought in.
    """

    def __init__(
        self,
        work: Work,
        sums: Sums,
        examples: Examples,
        dtype: np.dtype[Any],
        count: int,
        weights: int = 0,
    ) -> None:
        """weights: the bytes of the parameters where they are updated, else 0."""
        require_copies(examples)
        self._weights = weights
        self._work = work
        self._sums = sums
        self._dtype = dtype
        self._x, self._y = each(tensor, examples.x), each(tensor, examples.y)
        self._order = tensor(np.arange(len(examples)))
        self._position = tensor(np.int64(0))
        self._count = count
        self._done = 0
        self._programs: dict[tuple[int, bool], Compiled[[], None]] = {}
        self._counts: dict[int, NDArray[np.int64]] = {}

    def bring(self, examples: Examples) -> None:
        """Take other examples of the same shapes and dtypes, in the order in which they are."""
        for held, arrays in ((self._x, examples.x), (self._y, examples.y)):
            for one, array in zip(listed(held), listed(arrays), strict=True):
                _set(one, array)
        _set(self._order, np.arange(len(examples)))

    def release(self) -> None:
        """Let the examples go; before the next step others must be brought."""
        for held in (*listed(self._x), *listed(self._y)):
            settle(held._cell, Buffer(0), held.shape, held.dtype)

    def begin(self, order: NDArray[np.int64] | None = None, done: int = 0) -> None:
        """Begin an epoch in this order (in the last one if none is given).

        done: go on with it after so many examples; the sums are left as they are.
        """
        if order is not None:
            _set(self._order, order)
        if done or self._done % self._count:  # an epoch was left early; else the program is at 0
            _set(self._position, np.array(done if done < self._count else 0))
        self._done = min(done, self._count)
        if not done:
            self._sums.begin()

    def run(self, steps: int, size: int, part: int | None = None) -> None:
        """Run the next `steps` steps of `size` examples, in mini-batches of `part` (or of `size`).

        The update of a step comes with its last mini-batch, which may be a smaller one.
        """
        part = min(part or size, size)
        before = -(-size // part) - 1
        if not before:
            self._run(steps, size, True)
            return
        for _ in range(steps):
            self._run(before, part, False)
            self._run(1, size - before * part, True)

    def _run(self, times: int, size: int, last: bool) -> None:
        program = self._programs.get((size, last))
        if program is None:
            program = self._programs[size, last] = compile(lambda: self._step(size, last))
        try:
            program.run_many(times)
        except IndexRangeError as error:
            self._name_example(error, size)
            raise
        except OutOfMemoryError as error:
            from glubina.train.shortage import advise

            advise(error, lambda size: self._step(size, last), size, self._weights)
            raise
        self._done += times * size
        self._sums.count(self._counts[size], times)

    def _name_example(self, error: IndexRangeError, size: int) -> None:
        """Say in the error which example of the data has the wrong index."""
        if error.position and error.position[0] < size:
            row = int(self._position.numpy()) + error.position[0]
            error.args = (f"{error.text}; it is in example {self._order.numpy()[row]} of x",)

    def _step(self, size: int, last: bool) -> None:
        start = self._position
        rows = take(self._order, start + arange(size, dtype=np.int64), axis=0)
        x = as_input(each(lambda held: take(held, rows, axis=0), self._x), self._dtype)
        y = each(lambda held: take(held, rows, axis=0), self._y)
        self._counts[size] = self._work(x, y, start == 0, last)
        end = start + size
        self._position.copy_(where(end >= self._count, 0, end))


def _set(held: Tensor, array: NDArray[Any]) -> None:
    """Give a tensor other elements at once, without a program."""
    settle(held._cell, Buffer.from_array(array), array.shape, array.dtype)


class Passes:
    """Forward passes of a model in use: a program for each shape of mini-batch.

    The programs are recorded with the model's behaviour in use and keep to it, whatever its
    `training` says later; who keeps them sees to it that the rest of the model is the same.
    """

    def __init__(
        self, model: Model, dtype: np.dtype[Any], views: tuple[Callable[[Any], Any], ...] = ()
    ) -> None:
        self.dtype = dtype
        self._model = model
        self._views = views
        self._programs: dict[Any, Compiled[[Any], Any]] = {}

    def __call__(self, inputs: Any) -> Any:
        """The outputs for a mini-batch."""
        kind = tuple((array.shape, array.dtype) for array in listed(inputs))
        program = self._programs.get(kind)
        if program is None:
            if len(self._programs) >= _MOST_SHAPES:
                self._programs.clear()
            program = self._programs[kind] = compile(self._forward)
        # the inputs are arrays that need no further look
        given = each(lambda array: settled(leaf_of_array(array)), inputs)
        return each(lambda output: output.numpy(), program(given))

    def _forward(self, batch: Any) -> Any:
        with in_use(self._model), unguarded():
            given = as_input(batch, self.dtype)
            if not self._views:
                return outputs_of(self._model, self._model(given))
            seen = (self._model(view(given)) for view in self._views)
            return mean([outputs_of(self._model, outputs) for outputs in seen])


def mean(outputs: Sequence[Any]) -> Any:
    """The mean of outputs, or of each of several."""
    if isinstance(outputs[0], (tuple, list)):
        return Several(mean(part) for part in zip(*outputs, strict=True))
    return sum(outputs[1:], outputs[0]) * (1 / len(outputs))


class Stream:
    """Steps over mini-batches that come one by one from outside; `prepare` checks each."""

    def __init__(
        self,
        work: Work,
        sums: Sums,
        dtype: np.dtype[Any],
        prepare: Callable[[Any], Examples],
    ) -> None:
        self._work = work
        self._sums = sums
        self._dtype = dtype
        self._prepare = prepare
        self._counts: dict[int, NDArray[np.int64]] = {}
        self._program = compile(self._step)

    def run(self, batch: Any, last: bool = True) -> None:
        """Check one mini-batch and run it; the `last` one of a step brings its update."""
        made = self._prepare(batch)
        self._program(each(tensor, made.x), each(tensor, made.y), last)
        self._sums.count(self._counts[len(made)], 1)

    def _step(self, x: Any, y: Any, last: bool) -> None:
        self._counts[first(x).shape[0]] = self._work(as_input(x, self._dtype), y, None, last)


def training(
    model: Model,
    optimizer: Optimizer,
    loss: Loss,
    sums: Sums,
    augment: Augment | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
    average: EMA | None = None,
    gathered: Gathered | None = None,
) -> Work:
    """What a training step does: augmentation, forward, backward, limits, update, sums.

    gathered: where gradients are added up over the mini-batches of a step, if there are several.
    """
    limits = limits or Limits()
    watch = watch or Watch(())

    def work(x: Any, y: Any, fresh: Tensor | None, last: bool) -> NDArray[np.int64]:
        given = y
        if augment is not None:
            x, y = augment(x, y)
        optimizer.zero_grad()
        outputs = model(x)
        value = loss(outputs, y)
        targets = y if augment is None else class_numbers(y, given)
        parameters = list(model.parameters())
        rows, minimised = first(x).shape[0], value
        if gathered is not None:
            if not last:
                gathered.add(value, rows, parameters)
                return sums.add(value, outputs, targets, fresh)
            minimised = gathered.whole(value, rows)
        limits.minimised(minimised).backward()
        if gathered is not None:
            minimised = gathered.finish(minimised, parameters)
        old = watch.before(minimised, parameters)
        limits.clip(parameters)
        optimizer.step()
        limits.restore()
        watch.after(parameters, old)
        if average is not None:
            average.update()
        return sums.add(value, outputs, targets, fresh)

    return work


def evaluation(model: Model, loss: Loss, sums: Sums) -> Work:
    """What an evaluation step does: forward and sums."""

    def work(x: Any, y: Any, fresh: Tensor | None, last: bool) -> NDArray[np.int64]:
        with no_grad():
            outputs = model(x)
            return sums.add(loss(outputs, y), outputs, y, fresh)

    return work


def as_input(x: Any, dtype: np.dtype[Any]) -> Any:
    """Bytes (images) become the model's dtype inside the program; they are kept small outside."""
    return each(lambda part: part.astype(dtype) if part.dtype == np.uint8 else part, x)
