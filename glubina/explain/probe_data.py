"""What a probe's examples, targets and outputs are like, told from their numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.tensor import no_grad, tensor
from glubina.train.protocol import takes_labels

Array = NDArray[Any]

_FEW_VALUES = 20  # different ones, of a feature that may be the label in disguise
_ENOUGH = 20  # examples, from which on such a thing is no chance
_MANY = 100_000  # features, from which on nobody looks for it


@dataclass(frozen=True)
class DataRecord:
    """The probe's inputs.

    size: the root of their mean square, NaN for whole numbers. scales: the least and the largest
    standard deviation of a feature that varies, for inputs (examples, features). telling: the
    number of a feature that alone tells the target, of the flattened ones; None if there is none.
    """

    size: float
    scales: tuple[float, float]
    telling: int | None


@dataclass(frozen=True)
class OutputRecord:
    """The network's outputs on the probe, as the loss takes them.

    guess: the loss of always giving the same, best answer; NaN where that is not known.
    twice: "softmax" or "sigmoid" if the loss applies it to outputs that are probabilities already,
    "logits" if it takes logarithms of probabilities and gets others; "" if nothing is wrong.
    same: the class that all examples get, None if they differ; others: the share of the targets
    that are of another class.
    """

    guess: float
    twice: str
    same: int | None
    others: float


def seen_data(x: Array, y: Array) -> DataRecord:
    """The record of a probe's examples (count, ...) and targets (count, ...)."""
    size, scales = math.nan, (math.nan, math.nan)
    if x.dtype.kind == "f" and np.isfinite(x).all():
        size = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
        spreads = x.std(axis=0, dtype=np.float64)
        varying = spreads[spreads > 1e-12 * max(size, 1e-300)]
        if x.ndim == 2 and len(varying):
            scales = float(varying.min()), float(varying.max())
    return DataRecord(size, scales, _telling(x, y))


def _telling(x: Array, y: Array) -> int | None:
    """The first feature of which each value goes with one target, and each target with one value.

    Only features of few different values are asked; of few features each may well be the target.
    """
    rows = x.reshape(len(x), -1)
    if y.ndim != 1 or len(y) < _ENOUGH or not 3 <= rows.shape[1] <= _MANY:
        return None
    targets, numbers = np.unique(y, return_inverse=True)
    if not 2 <= len(targets) <= min(_FEW_VALUES, len(y) // 4):
        return None
    firsts = [int(np.argmax(numbers == target)) for target in range(len(targets))]
    values = rows[firsts]  # (targets, features): what the first example of each has
    fits = (rows == values[numbers]).all(axis=0)
    for feature in np.flatnonzero(fits):
        if len(np.unique(values[:, feature])) == len(targets):
            return int(feature)
    return None


def seen_outputs(outputs: Array, y: Array, loss: Any, operation: str) -> OutputRecord:
    """The record of outputs (count, ...) with their targets. operation: that gave the outputs."""
    same, others = _one_class(outputs, y, loss)
    return OutputRecord(_guess(outputs, y, loss), _mismatch(outputs, loss, operation), same, others)


def _mismatch(outputs: Array, loss: Any, operation: str) -> str:
    kind = type(loss).__name__
    if outputs.dtype.kind != "f" or not np.isfinite(outputs).all():
        return ""
    if kind == "BCEWithLogitsLoss":
        return "sigmoid" if operation == "sigmoid" else ""
    if not takes_labels(loss) or outputs.ndim < 2 or outputs.shape[-1] < 2:
        return ""
    if kind == "NLLLoss":
        with np.errstate(over="ignore"):
            sums = np.exp(outputs, dtype=np.float64).sum(axis=-1)
        return "" if np.allclose(sums, 1, atol=1e-3) else "logits"
    ones = np.allclose(outputs.sum(axis=-1, dtype=np.float64), 1, atol=1e-3)
    return "softmax" if ones and outputs.min() >= 0 else ""


def _one_class(outputs: Array, y: Array, loss: Any) -> tuple[int | None, float]:
    if takes_labels(loss) and outputs.ndim == y.ndim + 1:
        chosen, true = outputs.argmax(axis=-1), y
    elif type(loss).__name__ == "BCEWithLogitsLoss" and outputs.shape == y.shape:
        chosen, true = (outputs > 0).astype(np.int64), (y > 0.5).astype(np.int64)
        if outputs.ndim > 1 and outputs.shape[-1] > 1:
            return None, 0.0  # several answers at once
    else:
        return None, 0.0
    first = int(chosen.reshape(-1)[0])
    return (first if bool((chosen == first).all()) else None), float((true != first).mean())


def _guess(outputs: Array, y: Array, loss: Any) -> float:
    """The loss of the frequencies of the classes, or of the targets' mean, for every example."""
    kind = type(loss).__name__
    if takes_labels(loss) and outputs.ndim == y.ndim + 1 and y.dtype.kind in "iu":
        valid = y[(y >= 0) & (y < outputs.shape[-1])]
        counts = np.bincount(valid.reshape(-1), minlength=outputs.shape[-1])
        answer = np.log(np.maximum(counts, 1e-3) / max(counts.sum(), 1))
    elif kind in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss") and outputs.shape == y.shape:
        answer = y.mean(axis=0)
    elif kind == "BCEWithLogitsLoss" and outputs.shape == y.shape:
        share = np.clip(y.mean(axis=0, dtype=np.float64), 1e-6, 1 - 1e-6)
        answer = np.log(share / (1 - share))
    else:
        return math.nan
    constant = np.ascontiguousarray(np.broadcast_to(answer, outputs.shape), outputs.dtype)
    with no_grad():
        return float(loss(tensor(constant), tensor(y)).item())
