"""Jobs: what is known of a run over a source of data, and the programs that are kept for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from glubina.metrics import Metric
from glubina.optim import EMA
from glubina.tensor import tensor
from glubina.train.augmented import augmented_shape
from glubina.train.fit import Run
from glubina.train.inputs import Batches, Examples, examples_of, fit_targets, inputs_of, pair
from glubina.train.programs import Steps, Stream, Sums, Work, as_input, evaluation
from glubina.train.protocol import Loss, Model, in_use, takes_labels
from glubina.train.several import each, listed, outputs_of
from glubina.train.structure import Kept, Structure
from glubina.train.watch import Watch

# From whether to give up early to the figures of an evaluation; None if it was given up.
Validate = Callable[[Callable[[], bool]], dict[str, float] | None]


@dataclass
class Job:
    """A run over a source, and what of it may be kept for the next over the same kind of data.

    kinds: shapes and dtypes of the data as it was given, None for a stream, of which nothing is
    kept. shape: of a mini-batch's outputs; `Several` of several.
    """

    name: str
    kinds: list[Any] | None
    source: Batches
    dtype: np.dtype[Any]
    shape: Any
    sums: Sums
    augment: Any = None
    steps: Steps | None = None
    watch: Watch = field(default_factory=lambda: Watch(()))


class Jobs:
    """A model with its loss and metrics, and the jobs that are made of them."""

    model: Model
    loss: Loss | None
    metrics: tuple[Metric, ...]
    _optimizer: Any
    _ema: float | EMA | None
    _kept: Kept

    def _loss(self) -> Loss:
        if self.loss is None:
            raise ValueError("no loss was given: training and evaluation need one")
        return self.loss

    def output_shape(self, examples: Examples, dtype: np.dtype[Any]) -> Any:
        """The shape of the model's outputs for these examples; they are not computed."""
        return self._output_shape(Batches(len(examples), examples), dtype, None)

    def _output_shape(self, source: Batches, dtype: np.dtype[Any], augment: Any) -> Any:
        """The shape of the model's outputs for a mini-batch; they are not computed.

        Layers that take their sizes from the data take them here, and a shape that does not fit
        is refused here, by the layer.
        """
        if source.examples is not None:
            batch = rows(source.examples.x, 0, source.batch_size)
        else:
            assert source.loader is not None
            example = inputs_of(pair(source.loader.dataset[0])[0], dtype, "an example's x")
            batch = each(lambda part: part[None], example)
        given = as_input(each(tensor, batch), dtype)
        with in_use(self.model):
            # the outputs are let go at once: what is pending when a step is recorded is computed
            inputs = given if augment is None else augmented_shape(augment, given)
            outputs = outputs_of(self.model, self.model(inputs))
            return each(lambda output: tuple(output.shape), outputs)

    def _job(
        self,
        name: str,
        source: Batches,
        dtype: np.dtype[Any],
        y: str,
        augment: Any = None,
        watched: tuple[str, ...] = (),
    ) -> Job:
        """What is known of a run over a source: the program of the last one where it fits."""
        examples = source.examples
        kinds: list[Any] | None = None
        if examples is not None:
            arrays = (*listed(examples.x), *listed(examples.y))
            kinds = [(array.shape, array.dtype) for array in arrays]
        found: Job | None = self._kept.take(name, self._key(kinds, source, augment, watched))
        if found is None:
            shape = self._output_shape(source, dtype, augment)
            sums = Sums(self._loss(), self.metrics)
            found = Job(name, kinds, source, dtype, shape, sums, augment, watch=Watch(watched))
        if examples is not None:
            targets = self._fitted(examples.y, found.shape, dtype, y)
            source = replace(source, examples=Examples(examples.x, targets))
        return replace(found, source=source)

    def _fitted(self, y: Any, shape: Any, dtype: np.dtype[Any], name: str) -> Any:
        """The targets as the loss takes them, in its own way if it has one."""
        own = getattr(self.loss, "fit_targets", None)
        if own is not None:
            return own(y, shape, dtype, name)
        return fit_targets(y, shape, takes_labels(self.loss), dtype, name)

    def _key(
        self, kinds: list[Any] | None, source: Batches, augment: Any, watched: tuple[str, ...]
    ) -> tuple[Any, ...]:
        """What a kept program was made for, beside the structure."""
        parts = (self._optimizer, self.loss, self.metrics, augment, self._ema)
        return (kinds, source.count, source.accumulate > 1, watched, *map(id, parts))

    def _keep(self, job: Job) -> None:
        """Keep a job's program for the next time, without the examples."""
        if job.steps is None:
            return
        job.steps.release()
        # what the key has as numbers of objects is kept alive by the structure
        roots = (self.model, self._optimizer, self.loss, self.metrics, job.augment, self._ema)
        key = self._key(job.kinds, job.source, job.augment, job.watch.names)
        self._kept.put(job.name, key, Structure(*roots), replace(job, source=Batches(1)))

    def _run(self, job: Job, work: Work, seed: int, shuffle: bool) -> Run:
        source, dtype = job.source, job.dtype
        if source.examples is not None:
            if job.steps is None:
                trained = job.name == "fit"
                weights = sum(p.size * p.dtype.itemsize for p in self.model.parameters() if trained)
                job.steps = Steps(work, job.sums, source.examples, dtype, source.count, weights)
            else:
                job.steps.bring(source.examples)
            return Run(source, job.sums, steps=job.steps, seed=seed if shuffle else None)

        def prepare(batch: Any) -> Examples:
            made = examples_of(*pair(batch), dtype)
            return Examples(made.x, self._fitted(made.y, job.shape, dtype, "y"))

        return Run(source, job.sums, stream=Stream(work, job.sums, dtype, prepare))

    def _validation(self, job: Job, prefix: str = "val_") -> Validate:
        """A function that evaluates over the job's source; its program is made once."""
        # The order of the examples does not matter here, so a loader's own is not asked for.
        if job.source.examples is not None:
            job.source = replace(job.source, loader=None, drop_last=False)
        work = evaluation(self.model, self._loss(), job.sums)
        run = self._run(job, work, 0, False)

        def validate(given_up: Callable[[], bool]) -> dict[str, float] | None:
            with in_use(self.model):
                run.epoch(0, lambda step: given_up(), False)
            if given_up():
                return None
            return {f"{prefix}{name}": value for name, value in job.sums.read().items()}

        return validate


def rows(inputs: Any, start: int, count: int) -> Any:
    """Some of the examples."""
    return each(lambda array: array[start : start + count], inputs)
