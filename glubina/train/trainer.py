"""Trainer: a model with its optimizer, loss and metrics, and Keras's verbs on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from glubina.data import DataLoader
from glubina.data.augment import views as views_of
from glubina.data.order import fresh_seed
from glubina.metrics import Metric, MetricFunction, resolve
from glubina.optim import EMA
from glubina.tensor import Tensor, detect_anomaly
from glubina.tensor.arguments import choice, flag, whole
from glubina.train.augmented import augmentation
from glubina.train.averaging import checked_ema
from glubina.train.callbacks import Callback, Session, as_callbacks
from glubina.train.checkpoints import Checkpoints, Saving, opened
from glubina.train.common import described, settings_of
from glubina.train.fit import Run
from glubina.train.gathered import Gathered
from glubina.train.history import History
from glubina.train.inputs import (
    batches,
    check_rows,
    check_trained,
    checked_size,
    inputs_of,
    model_dtype,
)
from glubina.train.jobs import Job, Jobs, rows
from glubina.train.limits import Limits
from glubina.train.loop import Loop
from glubina.train.programs import Passes, training
from glubina.train.progress import ProgressBar
from glubina.train.protocol import Loss, Model, Optimizer, takes_labels
from glubina.train.several import Several, each, first
from glubina.train.sources import PREDICT_BATCH, Data, sources
from glubina.train.state import Parts
from glubina.train.stopping import Stop
from glubina.train.structure import Kept, Structure


class Trainer(Jobs):
    """A model together with how it is trained.

    model: anything that fulfils `protocol.Model`. optimizer: an optimizer over the model's
    parameters, or a function that makes one from them (called when training first begins, when
    layers that take their sizes from the data have them). loss: a function of (outputs, targets).
    metrics: names ("accuracy", "mse", "mae"), `Metric`s or functions (see `glubina.metrics`).
    ema: the decay of a moving average of the weights, or an `optim.EMA` of the model; it is updated
    in each step, measured and saved in place of the weights, and left in the model by `fit`.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer | Callable[[list[Tensor]], Optimizer] | None = None,
        loss: Loss | None = None,
        metrics: Sequence[str | Metric | MetricFunction] = (),
        limits: Limits | None = None,
        ema: float | EMA | None = None,
    ) -> None:
        self.model = model
        self.limits = limits
        self._ema = checked_ema(ema)
        self.loss = loss
        if loss is not None and not callable(loss):
            raise TypeError(f"loss must be a function of (outputs, targets), got {loss!r}")
        given: Any = loss
        if isinstance(given, type):
            name = given.__name__
            raise TypeError(f"loss must be a loss, got the class {name}: give {name}()")
        if not (optimizer is None or callable(optimizer) or hasattr(optimizer, "step")):
            raise TypeError(
                "optimizer must be an optimizer, or a function that makes one from the parameters, "
                f"got {optimizer!r}"
            )
        wanted = [metrics] if isinstance(metrics, str) or callable(metrics) else metrics
        self.metrics = tuple(resolve(metric) for metric in wanted)
        self._optimizer = optimizer
        self._kept = Kept()

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; made from the model's parameters when it is first asked for."""
        if self._optimizer is None:
            raise ValueError("no optimizer was given: training needs one")
        # A class has the method as well: `optim.Adam` itself is a function that makes one.
        if isinstance(self._optimizer, type) or not hasattr(self._optimizer, "step"):
            self._optimizer = self._optimizer(list(self.model.parameters()))
        if getattr(self._optimizer, "needs_closure", False):
            raise TypeError(
                f"fit takes one gradient for each step, and {type(self._optimizer).__name__} looks "
                "at the loss several times in one: call optimizer.step(closure) in a loop of your "
                "own, or give another optimizer"
            )
        return cast(Optimizer, self._optimizer)

    @property
    def average(self) -> EMA | None:
        """The moving average of the weights, if one is wanted; made when it is first asked for."""
        if isinstance(self._ema, float):
            self._ema = EMA(self.model, self._ema)
        return self._ema

    def fit(
        self,
        x: Data,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: Data = None,
        validation_split: float = 0.0,
        callbacks: Callback | Callable[..., Any] | Iterable[Any] | None = None,
        shuffle: bool = True,
        seed: int | None = None,
        verbose: int = 1,
        augment: Any = None,
        stop: Stop | None = None,
        check_finite: bool = False,
        accumulate: int = 1,
        checkpoints: Checkpoints | str | os.PathLike[str] | None = None,
        resume: bool | str | os.PathLike[str] = False,
    ) -> History:
        """Train for a number of epochs and return the figures of each.

        x, y: arrays, tensors or lists with the examples along the first axis; or x alone: a pair
        (x, y), a TensorDataset, a data set whose examples are pairs, or a DataLoader (which keeps
        its own batch size, order and seed). validation_data: the same forms; evaluated after every
        epoch. validation_split: a share of the examples, chosen by the seed, to validate with
        instead. callbacks: instances of Callback or functions of (epoch, logs). shuffle: a new
        order every epoch, by the seed (by default drawn from the state of `gl.manual_seed`).
        verbose: 0 silent, 1 a progress bar and a line per epoch, 2 lines only. augment: what is
        done to each mini-batch within the training step: an augmentation of
        `glubina.data.augment`, a list of them, or a function of the inputs; validation sees the
        examples as they are. stop: `train.Stop(...)`, when to end before the last epoch.
        check_finite: raise AnomalyError at the first NaN or infinity in a step, which says where
        it came up (see `gl.detect_anomaly`); the weights are those from before that step.
        accumulate: how many mini-batches make a step: their gradients are added up before the
        update, which is that of one mini-batch so many times as large, in the memory of one.
        checkpoints: a folder in which the state of the training is kept after every epoch, or
        `train.Checkpoints(...)`, which says when else. Ctrl-C and SIGTERM then finish the step and
        save before they end training. resume: go on from the newest checkpoint there (or in the
        folder that `resume` names), and end with the bits of a training that was never stopped;
        where there is none yet, from the beginning. The seed is then the checkpoint's.

        Raises DataError (a ValueError) for data that cannot be used, before anything is changed;
        FileError for a folder in which another process trains, and for a checkpoint of a training
        with other data or settings.
        """
        loss = self._loss()
        epochs = whole("epochs", epochs)
        shuffle = flag("shuffle", shuffle)
        verbose = choice("verbose", int(verbose) if isinstance(verbose, bool) else verbose, 0, 1, 2)
        called = as_callbacks(callbacks)
        with opened(checkpoints, resume) as saving:
            seed = _seed(seed, saving)
            dtype = model_dtype(self.model.parameters())
            source, held = sources(x, y, batch_size, validation_data, validation_split, seed, dtype)
            if shuffle and source.loader is not None and not isinstance(x, DataLoader):
                source.loader.shuffle, source.loader.seed = True, seed
            source = replace(source, accumulate=whole("accumulate", accumulate))
            watched = () if stop is None else _stop(stop).watched
            job = self._job("fit", source, dtype, "y", augment, watched)
            validation = (
                None if held is None else self._job("validate", held, dtype, "validation y")
            )
            if stop is not None:
                called += stop.callbacks(job.watch)
            if verbose:
                called.append(ProgressBar(bar=verbose == 1))
            run = self._training(job, seed, shuffle)
            validate = None if validation is None else self._validation(validation)
            session = self._session(job, epochs, validated=validation is not None)
            beside = None if validation is None else validation.source
            objects = {"loss": loss, "augment": augment}
            parts = Parts(session, run, beside, called, self.average, objects)
            if saving is not None:
                parts.settings = settings_of(parts, self._settings(seed, shuffle))
            with detect_anomaly() if check_finite else nullcontext():
                Loop(parts, validate, saving).run()
        self._keep(job)
        if validation is not None:
            self._keep(validation)
        return session.history

    def _training(self, job: Job, seed: int, shuffle: bool) -> Run:
        """The epochs of a training, with all that a step of it does."""
        check_trained(self.model.parameters(), self.optimizer)
        loss = self._loss()
        changed = augmentation(job.augment, job.shape[-1] if takes_labels(loss) else None)
        gathered = Gathered(loss) if job.source.accumulate > 1 else None
        besides = self.limits, job.watch, self.average, gathered
        work = training(self.model, self.optimizer, loss, job.sums, changed, *besides)
        return self._run(job, work, seed, shuffle)

    def _settings(self, seed: int, shuffle: bool) -> dict[str, Any]:
        """What a training that goes on must have in common with its beginning, besides the rest."""
        settings = {"seed": seed, "shuffle": shuffle, "ema": described(self.average)}
        return settings if self.limits is None else {**settings, "limits": described(self.limits)}

    def _session(self, job: Job, epochs: int, validated: bool) -> Session:
        names = job.sums.names
        return Session(
            self.model,
            self.optimizer,
            History(),
            epochs=epochs,
            steps=job.source.steps,
            examples=job.source.count,
            batch_size=job.source.batch_size,
            figures=(*names, *(f"val_{name}" for name in names if validated)),
            unit=job.source.unit,
        )

    def evaluate(self, x: Data, y: Any = None, batch_size: int = PREDICT_BATCH) -> dict[str, float]:
        """The loss and the metrics over data, given as to `fit`."""
        dtype = model_dtype(self.model.parameters())
        self._loss()
        job = self._job("evaluate", batches(x, y, batch_size, dtype), dtype, "y")
        figures = self._validation(job, "")(lambda: False)
        self._keep(job)
        return figures or {}

    def predict(self, x: Any, batch_size: int = PREDICT_BATCH, views: Any = None) -> Any:
        """The model's outputs for inputs (examples along the first axis), as a NumPy array.

        Where the loss takes class labels, the outputs are logits, and the softmax of them is
        returned: probabilities that sum to 1 along the last axis. views: test-time averaging; the
        outputs (logits) are the means over these views of the inputs, "same", "mirrored" or
        functions of a mini-batch (see `glubina.data.augment.views`).
        """
        outputs = self.outputs(x, batch_size, views)
        return each(softmax, outputs) if takes_labels(self.loss) else outputs

    def outputs(self, x: Any, batch_size: int = PREDICT_BATCH, views: Any = None) -> Any:
        """The model's raw outputs (logits) for inputs, as a NumPy array; `Several` of several."""
        seen = views_of(views)
        batch_size = checked_size(batch_size)
        passes = self._kept.get("passes", (self.model, seen))
        made = passes is None
        if made:
            passes = Passes(self.model, model_dtype(self.model.parameters()), seen)
        inputs = inputs_of(x, passes.dtype)
        parts = [
            passes(rows(inputs, start, batch_size))
            for start in range(0, len(first(inputs)), batch_size)
        ]
        check_rows(first(inputs), first(parts[0]), batch_size)
        if made:
            self._kept.put("passes", (self.model, seen), Structure(self.model, seen), passes)
        if isinstance(parts[0], Several):
            return Several(np.concatenate(part) for part in zip(*parts))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _seed(given: int | None, saving: Saving | None) -> int:
    """The seed of a training: the one given, else that of the checkpoint, else one of chance."""
    if given is None:
        given = None if saving is None else saving.seed
    return whole("seed", fresh_seed() if given is None else given, 0)


def _stop(given: Any) -> Stop:
    if not isinstance(given, Stop):
        raise TypeError(f"stop must be a train.Stop(change=..., steps=..., ...), got {given!r}")
    return given


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """exp(z) / Σ exp(z) along the last axis, shifted by the maximum so that nothing overflows."""
    raised: NDArray[Any] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    raised /= raised.sum(axis=-1, keepdims=True)
    return raised
