"""Metrics with Keras's names, each computed over the whole set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import glubina.tensor as gl
from glubina.keras import losses
from glubina.keras.activations import Probabilities
from glubina.keras.lookup import Described, named, plain, unknown
from glubina.metrics import Metric as Summed
from glubina.tensor import Tensor

Function = Callable[..., Tensor]


def _scores(y_pred: Tensor) -> Tensor:
    """What has the same order as the predictions: their logits, which have no ties by rounding."""
    return y_pred.logits if isinstance(y_pred, Probabilities) else y_pred


def categorical_accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 where the largest prediction is at the largest target (one-hot targets)."""
    return gl.argmax(_scores(y_pred), axis=-1) == gl.argmax(y_true, axis=-1)


def sparse_categorical_accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 where the largest prediction is that of the class number."""
    return gl.argmax(_scores(y_pred), axis=-1) == _labels(y_true, y_pred)


def binary_accuracy(y_true: Tensor, y_pred: Tensor, threshold: float = 0.5) -> Tensor:
    """The share of the last axis where the prediction is on the target's side of the threshold."""
    hits = (y_pred > threshold) == (y_true > 0.5)
    return gl.mean(hits.astype(np.float32), axis=-1)


def top_k_categorical_accuracy(y_true: Tensor, y_pred: Tensor, k: int = 5) -> Tensor:
    """1 where the target's class (one-hot) is among the k largest predictions."""
    return _in_top(gl.argmax(y_true, axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true: Tensor, y_pred: Tensor, k: int = 5) -> Tensor:
    """1 where the class number is among the k largest predictions."""
    return _in_top(_labels(y_true, y_pred), y_pred, k)


def _labels(y_true: Tensor, y_pred: Tensor) -> Tensor:
    same = len(y_true.shape) == len(y_pred.shape)
    labels = gl.reshape(y_true, y_true.shape[:-1]) if same else y_true
    return labels.astype(np.int64)


def _in_top(labels: Tensor, y_pred: Tensor, k: int) -> Tensor:
    scores = _scores(y_pred)
    classes = gl.arange(scores.shape[-1], dtype=np.int64)
    own = gl.where(classes == gl.reshape(labels, (*labels.shape, 1)), scores, 0.0).sum(axis=-1)
    return (scores > gl.reshape(own, (*own.shape, 1))).sum(axis=-1) < k


class Metric(Described):
    """A metric: sums over mini-batches (`total`), and what they come to over the set (`finish`).

    In a loop of one's own: `update_state(y_true, y_pred)` adds a mini-batch, `result()` is the
    figure so far, `reset_state()` begins anew.
    """

    name = "metric"
    _sums: NDArray[np.float64] | None = None
    _count: float = 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a mini-batch. sample_weight: a number for each example."""
        count: float
        if sample_weight is None:
            total, count = self.total(_plain(y_true), _plain(y_pred))
        else:
            total, count = self.weighted(_plain(y_true), _plain(y_pred), _plain(sample_weight))
        self._add(total.numpy(), count)

    def _add(self, total: NDArray[Any], count: float) -> None:
        added = np.asarray(total, np.float64)
        self._sums = added if self._sums is None else np.asarray(self._sums + added)
        self._count += count

    def weighted(self, y_true: Tensor, y_pred: Tensor, weight: Tensor) -> tuple[Tensor, float]:
        """As `total`, with a weight for each example."""
        raise ValueError(f"{self.name} takes no sample_weight")

    def result(self) -> Tensor:
        """The figure over all that was added."""
        value = 0.0 if self._sums is None else self.finish(self._sums, self._count)
        return gl.tensor(np.float32(value))

    def reset_state(self) -> None:
        """Forget what was added."""
        self._sums, self._count = None, 0.0

    reset_states = reset_state

    def __call__(self, *arguments: Any, **keywords: Any) -> Tensor:
        """Add a mini-batch, and give the figure so far."""
        self.update_state(*arguments, **keywords)
        return self.result()

    def total(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, int]:
        """A mini-batch's sum, and the number of things summed."""
        raise NotImplementedError(f"{type(self).__name__} must define total(y_true, y_pred)")

    def finish(self, sums: NDArray[np.float64], count: float) -> float:
        """The figure: the mean, unless told."""
        return float(sums) / max(count, 1)


def _plain(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else gl.tensor(np.asarray(value))


class Mean(Metric):
    """The mean of the values that are added, for loops of one's own: `mean(loss)`.

    For `compile(metrics=...)` give a metric of targets and predictions.
    """

    def __init__(self, name: str = "mean", dtype: Any = None) -> None:
        self.name = name

    def update_state(  # type: ignore[override]  # values instead of targets and predictions
        self, values: Any, sample_weight: Any = None
    ) -> None:
        """Add values of any shape, each with its weight."""
        added = np.asarray(_plain(values).numpy(), np.float64)
        weight = 1.0 if sample_weight is None else np.asarray(sample_weight, np.float64)
        self._add((added * weight).sum(), float(np.broadcast_to(weight, added.shape).sum()))

    def finish(self, sums: NDArray[np.float64], count: float) -> float:
        """The mean."""
        return float(sums) / count if count else 0.0


class Sum(Mean):
    """The sum of the values that are added."""

    def __init__(self, name: str = "sum", dtype: Any = None) -> None:
        super().__init__(name)

    def finish(self, sums: NDArray[np.float64], count: float) -> float:
        """The sum."""
        return float(sums)


class MeanMetricWrapper(Metric):
    """The mean over all examples of a function of (y_true, y_pred)."""

    def __init__(self, function: Function, name: str, **settings: Any) -> None:
        self.function, self.name, self.settings = function, name, settings

    def total(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, int]:
        """A mini-batch's sum, and the number of things summed."""
        values = self.function(y_true, y_pred, **self.settings)
        if not values.shape:  # a mean already
            return values * y_pred.shape[0], y_pred.shape[0]
        return values.astype(np.float32).sum(), math.prod(values.shape)

    def weighted(self, y_true: Tensor, y_pred: Tensor, weight: Tensor) -> tuple[Tensor, float]:
        """A mini-batch's weighted sum, and the sum of the weights."""
        values = self.function(y_true, y_pred, **self.settings).astype(np.float64)
        if values.shape[: weight.ndim] != weight.shape:
            raise ValueError(
                f"{self.name}: sample_weight has the shape {weight.shape}, the examples' values "
                f"{values.shape}"
            )
        spread = gl.reshape(weight, (*weight.shape, *[1] * (values.ndim - weight.ndim)))
        weights = gl.broadcast_to(spread.astype(np.float64), values.shape)
        return (values * weights).sum(), float(weights.sum().item())


class _Counted(Metric):
    """From the numbers of true and false positives and negatives."""

    def __init__(self, thresholds: Any = None, name: str | None = None, **_: Any) -> None:
        self.threshold = 0.5 if thresholds is None else float(thresholds)
        self.name = name or type(self).__name__.lower()

    def total(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, int]:
        """True positives, predicted positives, positives."""
        taken, there = y_pred > self.threshold, y_true.reshape(y_pred.shape) > 0.5
        return gl.stack([(taken & there).sum(), taken.sum(), there.sum()]), y_pred.shape[0]


class Precision(_Counted):
    """True positives / predicted positives, positive above the threshold (0.5)."""

    def finish(self, sums: NDArray[np.float64], count: float) -> float:
        """The figure."""
        return float(sums[0] / sums[1]) if sums[1] else 0.0


class Recall(_Counted):
    """True positives / positives."""

    def finish(self, sums: NDArray[np.float64], count: float) -> float:
        """The figure."""
        return float(sums[0] / sums[2]) if sums[2] else 0.0


class AUC(Metric):
    """The area under the ROC curve, from counts at `num_thresholds` thresholds (trapezoids)."""

    def __init__(self, num_thresholds: int = 200, name: str | None = None, **_: Any) -> None:
        inner = np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
        self.thresholds = (-1e-7, *inner.tolist(), 1 + 1e-7)
        self.name = name or "auc"

    def total(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, int]:
        """True and false positives at each threshold."""
        taken = gl.reshape(y_pred, (-1, 1)) > gl.asarray(np.array(self.thresholds, np.float32))
        there = gl.reshape(y_true, (-1, 1)) > 0.5
        hits = (taken & there).sum(axis=0)
        return gl.stack([hits, taken.sum(axis=0) - hits]), y_pred.shape[0]

    def finish(self, sums: NDArray[np.float64], count: float) -> float:
        """The figure."""
        rates = sums / np.maximum(sums[:, :1], 1e-300)
        return float(np.sum((rates[0][:-1] + rates[0][1:]) / 2 * -np.diff(rates[1])))


class RootMeanSquaredError(Metric):
    """√ of the mean of (p − t)² over all elements."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or "root_mean_squared_error"

    def total(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, int]:
        """A mini-batch's sum, and the number of things summed."""
        error = y_pred - y_true
        return (error * error).sum(), math.prod(error.shape)

    def finish(self, sums: NDArray[np.float64], count: float) -> float:
        """The figure."""
        return math.sqrt(float(sums) / max(count, 1))


FUNCTIONS: dict[str, Function] = {
    "categorical_accuracy": categorical_accuracy,
    "sparse_categorical_accuracy": sparse_categorical_accuracy,
    "binary_accuracy": binary_accuracy,
    "top_k_categorical_accuracy": top_k_categorical_accuracy,
    "sparse_top_k_categorical_accuracy": sparse_top_k_categorical_accuracy,
    **{name: kind.function for name, kind in losses.KNOWN.items() if name != "cosine_similarity"},
    "cosine_similarity": lambda t, p: -losses.cosine_similarity(t, p),
}

CLASSES: dict[str, Any] = {
    "precision": Precision,
    "recall": Recall,
    "auc": AUC,
    "root_mean_squared_error": RootMeanSquaredError,
}


def _class(name: str, function: Function) -> Callable[..., Metric]:
    """A metric class that is the mean of a function."""

    def make(name: str = name, **settings: Any) -> Metric:
        settings.pop("dtype", None)
        return MeanMetricWrapper(function, name, **settings)

    return make


CategoricalAccuracy = _class("categorical_accuracy", categorical_accuracy)
SparseCategoricalAccuracy = _class("sparse_categorical_accuracy", sparse_categorical_accuracy)
BinaryAccuracy = _class("binary_accuracy", binary_accuracy)
TopKCategoricalAccuracy = _class("top_k_categorical_accuracy", top_k_categorical_accuracy)
SparseTopKCategoricalAccuracy = _class(
    "sparse_top_k_categorical_accuracy", sparse_top_k_categorical_accuracy
)
MeanSquaredError = _class("mean_squared_error", losses.mean_squared_error)
MeanAbsoluteError = _class("mean_absolute_error", losses.mean_absolute_error)
CategoricalCrossentropy = _class("categorical_crossentropy", losses.categorical_crossentropy)
SparseCategoricalCrossentropy = _class(
    "sparse_categorical_crossentropy", losses.sparse_categorical_crossentropy
)
BinaryCrossentropy = _class("binary_crossentropy", losses.binary_crossentropy)

mse = MSE = mean_squared_error = losses.mean_squared_error
mae = MAE = mean_absolute_error = losses.mean_absolute_error


def Accuracy(name: str = "accuracy") -> str:
    """The accuracy that fits loss and outputs, as the name 'accuracy' means it."""
    return name


def get(identifier: Any, loss: Any) -> Metric:
    """A metric from a name, an object, or a function of (y_true, y_pred).

    'accuracy' is that which fits the loss and the outputs.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str):
        if identifier in ("accuracy", "acc"):
            return MeanMetricWrapper(_fitting(loss), identifier)
        known = {**FUNCTIONS, **CLASSES}
        if plain(identifier) not in map(plain, known):
            raise unknown("metric", identifier, ["accuracy", *known])
        made = named("metric", identifier, known)
        metric: Metric = made() if made in CLASSES.values() else MeanMetricWrapper(made, identifier)
        return metric
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        own: Metric = identifier()
        return own
    if callable(identifier):
        if identifier in _MAKERS:
            made_metric: Metric = identifier()
            return made_metric
        return MeanMetricWrapper(identifier, getattr(identifier, "__name__", "metric"))
    raise TypeError(f"a metric is a name, a metric or a function, got {identifier!r}")


_MAKERS: tuple[Any, ...] = (
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    BinaryAccuracy,
    TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    MeanSquaredError,
    MeanAbsoluteError,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    BinaryCrossentropy,
)


def _fitting(loss: Any) -> Function:
    """The accuracy that 'accuracy' means beside this loss."""

    def accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
        if isinstance(loss, losses.BinaryCrossentropy) or y_pred.shape[-1] == 1:
            from_logits = getattr(loss, "settings", {}).get("from_logits")
            return binary_accuracy(y_true, y_pred, 0.0 if from_logits else 0.5)
        if y_true.shape == y_pred.shape:
            return categorical_accuracy(y_true, y_pred)
        return sparse_categorical_accuracy(y_true, y_pred)

    return accuracy


def summed(metric: Metric, output: int, count: int, name: str) -> Summed:
    """The metric of one of several outputs, as training takes it; targets may carry weights."""

    def total(outputs: Any, targets: Any) -> tuple[Tensor, int]:
        y_pred = outputs[output] if isinstance(outputs, (list, tuple)) else outputs
        y_true = targets[output] if isinstance(targets, (list, tuple)) else targets
        return metric.total(y_true, y_pred)

    return Summed(name, total, metric.finish)
