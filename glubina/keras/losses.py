"""Losses with Keras's names: functions of (y_true, y_pred) that give a loss for each example.

Where predictions are a softmax or a sigmoid, the cross-entropies are worked out from what it was
taken of: exact for all logits, as fast as `nn`'s. Other probabilities are kept 1e-7 from 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import glubina.tensor as gl
from glubina.keras.activations import Probabilities
from glubina.keras.backend import epsilon
from glubina.keras.lookup import Described, found
from glubina.nn import functional as F
from glubina.tensor import Tensor

Function = Callable[..., Tensor]


def _clipped(p: Tensor) -> Tensor:
    return gl.clip(p, epsilon(), 1 - epsilon())


def _logits(y_pred: Tensor, kind: str, from_logits: bool) -> Tensor | None:
    """The logits, if the predictions are those or know them."""
    if from_logits:
        return y_pred
    known = isinstance(y_pred, Probabilities) and y_pred.kind == kind
    return y_pred.logits if known else None  # type: ignore[attr-defined]


def _smoothed(y_true: Tensor, label_smoothing: float, share: float) -> Tensor:
    return y_true * (1 - label_smoothing) + label_smoothing * share if label_smoothing else y_true


def categorical_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """−Σ_c t_c ln p_c for one-hot (or soft) targets t of the predictions' shape."""
    return _categorical(y_true, y_pred, from_logits, label_smoothing, "none")


def _categorical(
    y_true: Tensor, y_pred: Tensor, from_logits: bool, label_smoothing: float, reduction: str
) -> Tensor:
    y_true = y_true.astype(y_pred.dtype)
    logits = _logits(y_pred, "softmax", from_logits)
    if logits is not None:
        return F.cross_entropy(logits, y_true, None, reduction, label_smoothing)
    y_true = _smoothed(y_true, label_smoothing, 1 / y_pred.shape[-1])
    shares = y_pred / gl.sum(y_pred, axis=-1, keepdims=True)
    losses = -gl.sum(y_true * gl.log(_clipped(shares)), axis=-1)
    return losses if reduction == "none" else gl.mean(losses)


def sparse_categorical_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False
) -> Tensor:
    """−ln p_label for targets that are class numbers, of the predictions' shape without the last.

    (A last axis of extent 1 may stay.)
    """
    return _sparse(y_true, y_pred, from_logits, "none")


def _labels(y_true: Tensor, y_pred: Tensor) -> Tensor:
    if len(y_true.shape) == len(y_pred.shape):
        y_true = gl.reshape(y_true, y_true.shape[:-1])
    return y_true if y_true.dtype.kind in "iu" else y_true.astype(np.int64)


def _sparse(y_true: Tensor, y_pred: Tensor, from_logits: bool, reduction: str) -> Tensor:
    labels = _labels(y_true, y_pred)
    logits = _logits(y_pred, "softmax", from_logits)
    if logits is None:
        shares = y_pred / gl.sum(y_pred, axis=-1, keepdims=True)
        return F.nll_loss(gl.log(_clipped(shares)), labels, reduction=reduction)
    return F.cross_entropy(logits, labels, reduction=reduction)


def binary_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """The mean over the last axis of −t ln p − (1 − t) ln(1 − p)."""
    return gl.mean(_binary(y_true, y_pred, from_logits, label_smoothing), axis=-1)


def _binary(y_true: Tensor, y_pred: Tensor, from_logits: bool, label_smoothing: float) -> Tensor:
    y_true = _smoothed(y_true.astype(y_pred.dtype), label_smoothing, 0.5)
    logits = _logits(y_pred, "sigmoid", from_logits)
    if logits is not None:
        return F.binary_cross_entropy_with_logits(logits, y_true, reduction="none")
    p = _clipped(y_pred)
    return -(y_true * gl.log(p) + (1 - y_true) * gl.log(1 - p))


def mean_squared_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean over the last axis of (p − t)²."""
    error = y_pred - y_true
    return gl.mean(error * error, axis=-1)


def mean_absolute_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean over the last axis of |p − t|."""
    return gl.mean(abs(y_pred - y_true), axis=-1)


def mean_absolute_percentage_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """100 times the mean over the last axis of |p − t| / |t|, |t| at least 1e-7."""
    share = abs(y_pred - y_true) / gl.maximum(abs(y_true), epsilon())
    return gl.mean(share, axis=-1) * 100.0


def mean_squared_logarithmic_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean over the last axis of (ln(1 + p) − ln(1 + t))², both at least 1e-7."""
    first = gl.log(gl.maximum(y_pred, epsilon()) + 1.0)
    error = first - gl.log(gl.maximum(y_true, epsilon()) + 1.0)
    return gl.mean(error * error, axis=-1)


def _signs(y_true: Tensor) -> Tensor:
    """Labels 0 and 1 become −1 and 1."""
    binary = gl.all((y_true == 0) | (y_true == 1))
    return gl.where(binary, 2 * y_true - 1, y_true)


def hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean over the last axis of max(1 − t p, 0), with t of −1 and 1 (or 0 and 1)."""
    return gl.mean(gl.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean over the last axis of max(1 − t p, 0)²."""
    return gl.mean(gl.square(gl.maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """max(1 + the largest p of a wrong class − p of the right one, 0)."""
    right = gl.sum(y_true * y_pred, axis=-1)
    wrong = gl.max((1.0 - y_true) * y_pred, axis=-1)
    return gl.maximum(wrong - right + 1.0, 0.0)


def huber(y_true: Tensor, y_pred: Tensor, delta: float = 1.0) -> Tensor:
    """The mean over the last axis of e² / 2 where |e| ≤ δ, else δ |e| − δ² / 2; e = p − t."""
    return gl.mean(F.huber_loss(y_pred, y_true, "none", delta), axis=-1)


def log_cosh(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean over the last axis of ln cosh(p − t)."""
    error = y_pred - y_true
    return gl.mean(error + F.softplus(-2.0 * error) - math.log(2.0), axis=-1)


def kl_divergence(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Σ_c t_c ln(t_c / p_c), both kept between 1e-7 and 1."""
    t, p = gl.clip(y_true, epsilon(), 1.0), gl.clip(y_pred, epsilon(), 1.0)
    return gl.sum(t * gl.log(t / p), axis=-1)


def poisson(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean over the last axis of p − t ln(p + 1e-7)."""
    return gl.mean(y_pred - y_true * gl.log(y_pred + epsilon()), axis=-1)


def cosine_similarity(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Tensor:
    """−cos of the angle between targets and predictions: −1 where they point the same way."""
    return -gl.sum(_unit(y_true, axis) * _unit(y_pred, axis), axis=axis)


def _unit(x: Tensor, axis: int) -> Tensor:
    norm = gl.sum(x * x, axis=axis, keepdims=True)
    return x / gl.sqrt(gl.maximum(norm, 1e-12))


class Loss(Described):
    """A loss as an object: its function's settings. Called with (y_true, y_pred): the mean."""

    function: ClassVar[Any] = None

    def __init__(self, **settings: Any) -> None:
        settings.pop("reduction", None)
        self.name = settings.pop("name", None) or type(self).__name__
        self.settings = settings

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example."""
        if type(self).function is None:
            raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred)")
        losses: Tensor = type(self).function(y_true, y_pred, **self.settings)
        return losses

    def mean(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The mean over the examples."""
        return gl.mean(self.call(y_true, y_pred))

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """The mean over the examples, each times its weight if there are weights."""
        true, pred = (
            gl.asarray(y_true),
            y_pred if isinstance(y_pred, Tensor) else gl.asarray(y_pred),
        )
        if sample_weight is None:
            return self.mean(true, pred)
        return gl.mean(self.call(true, pred) * gl.asarray(sample_weight))


class CategoricalCrossentropy(Loss):
    """See `categorical_crossentropy`; settings: from_logits, label_smoothing."""

    function = staticmethod(categorical_crossentropy)

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, **named: Any
    ) -> None:
        super().__init__(from_logits=from_logits, label_smoothing=label_smoothing, **named)

    def mean(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The mean over the examples."""
        return _categorical(y_true, y_pred, reduction="mean", **self.settings)


class SparseCategoricalCrossentropy(Loss):
    """See `sparse_categorical_crossentropy`; settings: from_logits."""

    function = staticmethod(sparse_categorical_crossentropy)

    def __init__(self, from_logits: bool = False, **named: Any) -> None:
        super().__init__(from_logits=from_logits, **named)

    def mean(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The mean over the examples."""
        return _sparse(y_true, y_pred, reduction="mean", **self.settings)


class BinaryCrossentropy(Loss):
    """See `binary_crossentropy`; settings: from_logits, label_smoothing."""

    function = staticmethod(binary_crossentropy)

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, **named: Any
    ) -> None:
        super().__init__(from_logits=from_logits, label_smoothing=label_smoothing, **named)

    def mean(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The mean over the examples."""
        return gl.mean(_binary(y_true, y_pred, **self.settings))


class Huber(Loss):
    """See `huber`; settings: delta."""

    function = staticmethod(huber)

    def __init__(self, delta: float = 1.0, **named: Any) -> None:
        super().__init__(delta=delta, **named)


class FunctionLoss(Loss):
    """Any function of (y_true, y_pred) as a loss."""

    def __init__(self, function: Function) -> None:
        super().__init__(name=getattr(function, "__name__", "loss"))
        self.called = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """What the function gives."""
        return self.called(y_true, y_pred)


def _object(name: str, function: Function) -> type[Loss]:
    """The class of a loss without settings."""
    made = type(name, (Loss,), {"function": staticmethod(function), "__doc__": function.__doc__})
    made.__module__ = __name__
    return made


MeanSquaredError = _object("MeanSquaredError", mean_squared_error)
MeanAbsoluteError = _object("MeanAbsoluteError", mean_absolute_error)
MeanAbsolutePercentageError = _object("MeanAbsolutePercentageError", mean_absolute_percentage_error)
MeanSquaredLogarithmicError = _object("MeanSquaredLogarithmicError", mean_squared_logarithmic_error)
Hinge = _object("Hinge", hinge)
SquaredHinge = _object("SquaredHinge", squared_hinge)
CategoricalHinge = _object("CategoricalHinge", categorical_hinge)
LogCosh = _object("LogCosh", log_cosh)
KLDivergence = _object("KLDivergence", kl_divergence)
Poisson = _object("Poisson", poisson)
CosineSimilarity = _object("CosineSimilarity", cosine_similarity)

mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kullback_leibler_divergence = kl_divergence
logcosh, cosine_proximity = log_cosh, cosine_similarity

KNOWN: dict[str, Any] = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mape": MeanAbsolutePercentageError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "msle": MeanSquaredLogarithmicError,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "categorical_hinge": CategoricalHinge,
    "huber": Huber,
    "huber_loss": Huber,
    "log_cosh": LogCosh,
    "kl_divergence": KLDivergence,
    "kullback_leibler_divergence": KLDivergence,
    "kld": KLDivergence,
    "poisson": Poisson,
    "cosine_similarity": CosineSimilarity,
    "cosine_proximity": CosineSimilarity,
}

_OBJECTS = {kind.function: kind for kind in KNOWN.values()}


def get(identifier: Any) -> Any:
    """A loss object from a name, a class, an object, or a function of (y_true, y_pred)."""
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier) and not isinstance(identifier, Loss):
        kind = _OBJECTS.get(identifier)
        return FunctionLoss(identifier) if kind is None else kind()
    return found("loss", identifier, KNOWN, Loss)
