"""Keras's verbs: compile, fit, evaluate, predict, and their forms for one mini-batch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data import DataError
from glubina.files import DamagedFileError, read_with_metadata, write_tensors
from glubina.files.json_file import parse_json
from glubina.keras import losses, optimizers
from glubina.keras.adapters import adapter
from glubina.keras.callbacks import BackupAndRestore, History
from glubina.keras.compiled import TotalLoss
from glubina.keras.generators import Batched, is_batched
from glubina.keras.generators import inputs_of as batched_inputs
from glubina.keras.lookup import check_names, described
from glubina.keras.metrics import get as metric_named
from glubina.metrics import resolve
from glubina.nn.architecture import describe
from glubina.train import Several, Trainer
from glubina.train.callbacks import copy_weights
from glubina.train.inputs import Examples, examples_of, model_dtype
from glubina.train.programs import Stream, Sums, evaluation, training
from glubina.train.protocol import behaving


class Compiled:
    """What `compile` was told, and what is made of it when the outputs are known.

    It is no part of what the model computes, so programs are kept while it changes.
    """

    def __init__(self, optimizer: Any, settings: dict[str, Any]) -> None:
        self.optimizer = optimizer
        self.settings = settings
        self.trainer: Trainer | None = None
        self.programs: dict[str, Any] = {}
        self.history: Any = None
        self.stop_training = False


class Training:
    """What makes a model trainable; the work itself is done by `glubina.train.Trainer`."""

    _trainer: Any = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        **ignored: Any,
    ) -> None:
        """Say how the model is trained and measured.

        optimizer: a name or an object of `keras.optimizers`. loss: a name, a function of (y_true,
        y_pred) or an object; with several outputs a list, or a dict by their names. metrics: names,
        functions or objects of `keras.metrics`, per output where there are several. loss_weights:
        factors of the outputs' losses.
        """
        for name in ignored:
            if name not in ("run_eagerly", "steps_per_execution", "jit_compile"):
                raise TypeError(f"compile has no argument {name!r}")
        if weighted_metrics:
            raise ValueError("weighted_metrics are not supported: metrics are without weights")
        rule = optimizers.get(optimizer)
        check_names(loss, losses.get)
        check_names(metrics, lambda name: metric_named(name, None))
        settings = {"optimizer": rule, "loss": loss, "metrics": metrics}
        self._trainer = Compiled(rule, {**settings, "loss_weights": loss_weights})

    @property
    def optimizer(self) -> Any:
        """The optimizer that `compile` was given."""
        return None if self._trainer is None else self._trainer.optimizer

    @property
    def loss(self) -> Any:
        """The loss that `compile` was given."""
        return None if self._trainer is None else self._trainer.settings["loss"]

    @property
    def history(self) -> Any:
        """What the last `fit` returned."""
        return None if self._trainer is None else self._trainer.history

    @property
    def stop_training(self) -> bool:
        """Set it to True in a callback to end training."""
        return self._trainer is not None and self._trainer.stop_training

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        self._trainer.stop_training = bool(value)

    def compiled_config(self) -> Any:
        """What `compile` was told, where it is plain data; None otherwise."""
        if self._trainer is None:
            return None
        config = {name: described(value) for name, value in self._trainer.settings.items()}
        return config if _is_plain(config) else None

    def recompile(self, config: Any) -> None:
        """Compile as `compiled_config` says."""
        if config is not None:
            self.compile(**config)

    @property
    def metrics_names(self) -> list[str]:
        """The names of the figures that `evaluate` returns."""
        return ["loss", *(metric.name for metric in self._made().metrics)]

    def _made(self, verb: str = "training") -> Trainer:
        """The trainer; made when the outputs are known, and the optimizer with the weights."""
        told = self._trainer
        if told is None:
            raise RuntimeError(f"call compile(optimizer=..., loss=...) before {verb}")
        if told.trainer is None:
            names = self.output_names or ["output"]  # type: ignore[attr-defined]
            settings = told.settings
            if settings["loss"] is None:
                raise ValueError("compile was given no loss: training and evaluation need one")
            loss = TotalLoss(self, settings["loss"], settings["loss_weights"], names)
            figures = [resolve(metric) for metric in loss.figures(settings["metrics"])]
            told.trainer = Trainer(self, self._rule, loss, figures)  # type: ignore[arg-type]
        return told.trainer  # type: ignore[no-any-return]

    def _rule(self, parameters: list[Any]) -> Any:
        return self.optimizer.bind(parameters, self.constrained())  # type: ignore[attr-defined]

    # -- whole sets -----------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = 1,
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        **old: Any,
    ) -> History:
        """Train for epochs − initial_epoch epochs; the figures of each come back.

        x, y: arrays, or lists (dicts by name) of them for several inputs and outputs; or x alone: a
        data set or DataLoader of `glubina.data`, a `keras.utils.Sequence`, or a generator of
        mini-batches (with steps_per_epoch; validation_data with validation_steps).
        validation_split: the last share of the examples. class_weight: a factor of the loss by
        class; sample_weight: by example. verbose: 0 silent, 1 a bar, 2 lines.
        """
        epochs = old.pop("nb_epoch", epochs)
        for name in ("workers", "use_multiprocessing", "max_queue_size", "validation_freq"):
            old.pop(name, None)  # the mini-batches are made in the calling thread
        if old:
            raise TypeError(f"fit has no argument {', '.join(map(repr, old))}")
        trainer = self._made("fit")
        if is_batched(x):
            inputs, targets = Batched(x, steps_per_epoch, bool(shuffle)), None
            shuffle = False
        elif y is None and not isinstance(x, (tuple, list, np.ndarray)):
            inputs, targets = x, None  # a loader or a data set
        else:
            inputs, targets = self._data(x, y, class_weight, sample_weight)
        if validation_split and validation_data is None:
            (inputs, targets), validation_data = _split(inputs, targets, validation_split)
        elif is_batched(validation_data):
            validation_data = Batched(validation_data, validation_steps)
        elif isinstance(validation_data, (tuple, list)):
            vx, vy, *weights = validation_data
            validation_data = self._data(vx, vy, None, *(weights or [None]))
        history = History()
        given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
        called = [*(c for c in given if c is not None), history]
        backups = [c for c in called if isinstance(c, BackupAndRestore)]
        trainer.fit(
            inputs,
            targets,
            batch_size=batch_size or 32,
            epochs=epochs - initial_epoch,
            validation_data=validation_data,
            callbacks=[adapter(self, called, initial_epoch, epochs)],
            shuffle=bool(shuffle),
            verbose=1 if verbose == "auto" else int(verbose),
            **(backups[0].options if backups else {}),
        )
        for backup in backups:
            backup.finish()
        self._trainer.history = history
        return history

    def fit_generator(self, generator: Any, *args: Any, **options: Any) -> History:
        """`fit` under its old name for generators: steps_per_epoch and epochs come next."""
        named = dict(zip(("steps_per_epoch", "epochs", "verbose", "callbacks"), args))
        return self.fit(generator, **named, **options)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = 1,
        sample_weight: Any = None,
        return_dict: bool = False,
        **_: Any,
    ) -> Any:
        """[loss, metric, ...] over data (the loss alone without metrics); a dict if wanted."""
        trainer = self._made("evaluate")
        inputs, targets = (Batched(x, _.get("steps")) if is_batched(x) else x), y
        if y is not None:
            inputs, targets = self._data(x, y, None, sample_weight)
        figures = trainer.evaluate(inputs, targets, batch_size or 256)
        return _returned(figures, return_dict)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0, **_: Any) -> Any:
        """The outputs for inputs, as a NumPy array; a list of arrays for several outputs."""
        trainer = None if self._trainer is None else self._trainer.trainer
        trainer = trainer or Trainer(self)  # type: ignore[arg-type]
        x = batched_inputs(x, _.get("steps")) if is_batched(x) else x
        outputs = trainer.outputs(self._inputs_of(x), batch_size or 256)
        return list(outputs) if isinstance(outputs, tuple) else outputs

    def predict_classes(self, x: Any, batch_size: int | None = None, verbose: Any = 0) -> Any:
        """The class of each example: the largest output, or whether the only one is above 0.5."""
        y = self.predict(x, batch_size)
        return y.argmax(axis=-1) if y.shape[-1] > 1 else (y > 0.5).astype(np.int32)

    predict_proba = predict

    # -- one mini-batch -------------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        **_: Any,
    ) -> Any:
        """One step; the loss and the metrics of the mini-batch before it."""
        trainer = self._made("train_on_batch")
        with behaving(self, True):  # type: ignore[arg-type]
            figures = self._one(trainer, "train", x, y, class_weight, sample_weight)
        self.optimizer.advance()
        return _returned(figures, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False, **_: Any
    ) -> Any:
        """The loss and the metrics of a mini-batch."""
        trainer = self._made("test_on_batch")
        with behaving(self, False):  # type: ignore[arg-type]
            return _returned(self._one(trainer, "test", x, y, None, sample_weight), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for a mini-batch."""
        return self.predict(x)

    def _one(
        self, trainer: Trainer, kind: str, x: Any, y: Any, class_weight: Any, weight: Any
    ) -> dict[str, float]:
        """Run a program, which is kept from call to call."""
        inputs, targets = self._data(x, y, class_weight, weight)
        dtype = model_dtype(self.parameters())  # type: ignore[attr-defined]
        made = examples_of(inputs, targets, dtype)
        if kind not in self._trainer.programs:
            shape = trainer.output_shape(made, dtype)
            loss: Any = trainer.loss
            sums = Sums(loss, trainer.metrics)
            work = evaluation(self, loss, sums)  # type: ignore[arg-type]
            if kind == "train":
                work = training(self, trainer.optimizer, loss, sums)  # type: ignore[arg-type]

            def prepare(batch: Examples) -> Examples:
                return Examples(batch.x, loss.fit_targets(batch.y, shape, dtype, "y"))

            self._trainer.programs[kind] = (Stream(work, sums, dtype, prepare), sums)
        stream, sums = self._trainer.programs[kind]
        sums.reset()
        stream.run(made)
        figures: dict[str, float] = sums.read()
        return figures

    # -- data -------------------------------------------------------------------------------------

    def _inputs_of(self, x: Any) -> Any:
        return _several(x, getattr(self, "input_names", []), "input")

    def _data(self, x: Any, y: Any, class_weight: Any, sample_weight: Any) -> tuple[Any, Any]:
        """Inputs and targets as training takes them; weights stand behind the targets."""
        if y is None:
            raise DataError("y is missing: give inputs and targets")
        inputs = self._inputs_of(x)
        names: list[str] = self.output_names  # type: ignore[attr-defined]
        targets = _several(y, names, "output")
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float32)
        if class_weight is not None:
            if isinstance(targets, Several):
                raise ValueError("class_weight is for models with one output")
            own = _class_weights(np.asarray(targets), class_weight)
            weights = own if weights is None else weights * own
        if weights is not None:
            given = list(targets) if isinstance(targets, Several) else [targets]
            targets = Several((*given, weights))
        return inputs, targets

    # -- files ------------------------------------------------------------------------------------

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True, **_: Any) -> None:
        """Write architecture, weights and what `compile` was told into a folder of this name."""
        from glubina.keras.models import save_model

        save_model(self, filepath, overwrite)

    def to_json(self, indent: int | None = None, **_: Any) -> str:
        """The architecture, and what `compile` was told, as text; see `models.model_from_json`."""
        return json.dumps(describe(self), indent=indent, ensure_ascii=False, allow_nan=False)

    def save_weights(self, filepath: str | os.PathLike[str], **_: Any) -> None:
        """Write the weights into a safetensors file of this name."""
        weights = copy_weights(self)  # type: ignore[arg-type]
        order = json.dumps(list(weights))
        write_tensors(filepath, weights, {"format": "glubina", "order": order})

    def load_weights(self, filepath: str | os.PathLike[str], **_: Any) -> None:
        """Take the weights from a file that `save_weights` wrote.

        Layers with other names take them in the order in which they were written, if all shapes
        are the same.
        """
        given, metadata = read_with_metadata(filepath)
        own = copy_weights(self)  # type: ignore[arg-type]
        if set(own) != set(given) and "order" in metadata:
            order = _order(metadata["order"], given, filepath)
            if [given[name].shape for name in order] == [w.shape for w in own.values()]:
                given = {mine: given[name] for mine, name in zip(own, order, strict=True)}
        self.load_state_dict(given)  # type: ignore[attr-defined]


def _order(text: str, given: Mapping[str, Any], path: str | os.PathLike[str]) -> list[str]:
    """The names of a file's weights in their order, if the text is a list of just these."""
    try:
        order = parse_json(text.encode())
        if sorted(order) == sorted(given):
            return list(order)
    except (ValueError, TypeError):
        pass
    raise DamagedFileError(path, "is damaged: its list of the weights is not of its weights")


def _returned(figures: dict[str, float], as_dict: bool) -> Any:
    if as_dict:
        return figures
    values = list(figures.values())
    return values[0] if len(values) == 1 else values


def _several(value: Any, names: list[str], kind: str) -> Any:
    """One array, or several from a list or a dict by name."""
    if isinstance(value, Mapping):
        missing = [name for name in names if name not in value]
        if missing or len(value) != len(names):
            raise DataError(f"the {kind}s are named {names}, the data {list(value)}")
        value = [value[name] for name in names]
    if isinstance(value, (list, tuple)) and value and _is_array(value[0]):
        if len(names) > 1 or len(value) > 1:
            if names and len(value) != len(names):
                raise DataError(
                    f"the model has {len(names)} {kind}s ({', '.join(names)}), got {len(value)}"
                )
            return Several(value)
        return value[0]
    return value


def _is_array(value: Any) -> bool:
    return getattr(value, "ndim", 0) > 0


def _class_weights(y: NDArray[Any], factors: Mapping[int, float]) -> NDArray[np.float32]:
    """The factor of each example's class (a column of classes, or one-hot rows)."""
    labels = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y))
    table = {int(label): float(factor) for label, factor in factors.items()}
    missing = sorted({int(label) for label in np.unique(labels)} - set(table))
    if missing:
        raise ValueError(f"class_weight has no factor for the classes {missing}")
    return np.array([table[int(label)] for label in labels], np.float32)


def _split(x: Any, y: Any, share: float) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """All but the last share of the examples, and that share."""
    if not 0 < share < 1 or y is None:
        raise DataError(f"validation_split must be between 0 and 1, of arrays; got {share}")
    first = x[0] if isinstance(x, Several) else x
    kept = int(len(first) * (1 - share))

    def cut(value: Any, part: slice) -> Any:
        if isinstance(value, Several):
            return Several(np.asarray(array)[part] for array in value)
        return np.asarray(value)[part]

    return tuple((cut(x, part), cut(y, part)) for part in (slice(kept), slice(kept, None)))  # type: ignore[return-value]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, (bool, int, float, str))
