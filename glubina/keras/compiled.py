"""What `compile` makes of losses and metrics: one loss over all outputs, figures by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import glubina.tensor as gl
from glubina.data import DataError
from glubina.data.checks import require_labels
from glubina.keras import losses, metrics
from glubina.metrics import Metric as Summed
from glubina.tensor import Tensor
from glubina.train import Several


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def by_output(kind: str, given: Any, names: list[str]) -> list[Any]:
    """One value per output, from one for all, a list, or a dict by the outputs' names."""
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise ValueError(f"{kind} names {name!r}; the model's outputs are {names}")
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise ValueError(f"{kind} has {len(given)} entries for {len(names)} outputs {names}")
        return list(given)
    return [given] * len(names)


class TotalLoss:
    """Σ weight · mean loss over the outputs, plus the penalties on the weights.

    Targets: one array, or one for each output and after them the examples' weights.
    """

    reduction = "mean"

    def __init__(self, model: Any, loss: Any, weights: Any, names: list[str]) -> None:
        self.model, self.names = model, names
        self.parts = [losses.get(one) for one in by_output("loss", loss, names) if one is not None]
        if len(self.parts) != len(names):
            raise ValueError(f"every one of the outputs {names} needs a loss, got {loss!r}")
        self.weights = [
            1.0 if weight is None else float(weight)
            for weight in by_output("loss_weights", weights, names)
        ]

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """The loss of a mini-batch."""
        predicted, true = _listed(outputs), _listed(targets)
        weights = true[len(predicted)] if len(true) > len(predicted) else None
        total: Any = None
        for loss, share, y_pred, y_true in zip(self.parts, self.weights, predicted, true):
            if weights is None:
                value = loss.mean(y_true, y_pred)
            else:
                values = loss.call(y_true, y_pred)
                spread = gl.reshape(weights, (-1, *(1,) * (len(values.shape) - 1)))
                value = gl.mean(values * spread)
            value = value if share == 1.0 else value * share
            total = value if total is None else total + value
        for penalty in self.model.losses:
            total = total + penalty
        return total  # type: ignore[no-any-return]

    def fit_targets(self, y: Any, shapes: Any, dtype: np.dtype[Any], name: str) -> Any:
        """The targets in the form that each output's loss takes, checked against its shape."""
        given = _listed(y)
        predicted = list(shapes) if isinstance(shapes, Several) else [shapes]
        if len(given) not in (len(predicted), len(predicted) + 1):
            raise DataError(
                f"{name} has {len(given)} arrays, and the model {len(predicted)} outputs: "
                f"{', '.join(self.names)}"
            )
        made = [
            _targets(
                loss, target, output[1:], dtype, name if len(predicted) == 1 else f"{name}[{i}]"
            )
            for i, (loss, target, output) in enumerate(zip(self.parts, given, predicted))
        ]
        made += [np.asarray(w, dtype) for w in given[len(predicted) :]]
        return made[0] if len(made) == 1 else Several(made)

    def figures(self, wanted: Any) -> list[Summed]:
        """The metrics in the order of Keras: the outputs' losses if there are several, then all."""
        several = len(self.names) > 1
        made = []
        if several:
            for number, (loss, name) in enumerate(zip(self.parts, self.names)):
                mean = metrics.MeanMetricWrapper(loss.call, f"{name}_loss")
                made.append(metrics.summed(mean, number, len(self.names), mean.name))
        for number, (name, given) in enumerate(zip(self.names, self._wanted(wanted, several))):
            for one in given:
                metric = metrics.get(one, self.parts[number])
                label = f"{name}_{metric.name}" if several else metric.name
                made.append(metrics.summed(metric, number, len(self.names), label))
        return made

    def _wanted(self, wanted: Any, several: bool) -> list[list[Any]]:
        if wanted is None:
            return [[]] * len(self.names)
        if isinstance(wanted, (list, tuple)) and not (
            several and any(isinstance(part, (list, tuple)) for part in wanted)
        ):
            return [list(wanted)] * len(self.names)
        each = by_output("metrics", wanted, self.names)
        return [[] if one is None else _listed(one) for one in each]


def _targets(
    loss: Any, y: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any], name: str
) -> NDArray[Any]:
    example = y.shape[1:]
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        if example == (*shape[:-1], 1):
            y = y[..., 0]
        if y.shape[1:] != shape[:-1]:
            hint = "; for one-hot targets take 'categorical_crossentropy'" * (example == shape)
            raise DataError(
                f"{name} has examples of shape {example}: sparse_categorical_crossentropy over "
                f"outputs of shape {shape} takes one class number each, shape {shape[:-1]}{hint}"
            )
        y = y.astype(np.int64) if y.dtype.kind == "f" and np.all(y == np.floor(y)) else y
        require_labels(y, shape[-1], name)
        return np.ascontiguousarray(y, np.int64)
    if example != shape and (*example, 1) == shape:
        y = y[..., None]
    elif example != shape and not isinstance(loss, losses.FunctionLoss):
        hint = ""
        if isinstance(loss, losses.CategoricalCrossentropy):
            hint = (
                "; class numbers need loss='sparse_categorical_crossentropy', or "
                "keras.utils.to_categorical(y)"
            )
        raise DataError(
            f"{name} has examples of shape {example} and the model's outputs are of shape "
            f"{shape}{hint}"
        )
    return np.ascontiguousarray(y, dtype)
