"""Errors of predicted numbers over whole arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mean_squared_error(y_true: ArrayLike, y_predicted: ArrayLike) -> float:
    """The mean of (y_predicted - y_true)^2 over all elements; arrays of one shape."""
    return float(np.mean(_difference(y_true, y_predicted) ** 2))


def mean_absolute_error(y_true: ArrayLike, y_predicted: ArrayLike) -> float:
    """The mean of |y_predicted - y_true| over all elements; arrays of one shape."""
    return float(np.mean(np.abs(_difference(y_true, y_predicted))))


def root_mean_squared_error(y_true: ArrayLike, y_predicted: ArrayLike) -> float:
    """The square root of the mean squared error: in the units of y."""
    return math.sqrt(mean_squared_error(y_true, y_predicted))


def r2_score(y_true: ArrayLike, y_predicted: ArrayLike) -> float:
    """1 − Σ (y − ŷ)² / Σ (y − ȳ)²: the share of the variance that is explained.

    1 is perfect, 0 what the mean alone gives. Constant targets give 1 if hit exactly, else 0. For
    several columns it is the mean over them.
    """
    errors = _difference(y_true, y_predicted)
    true = np.asarray(y_true, np.float64)
    residual = (errors**2).sum(axis=0)
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    share = np.where(residual == 0, 1.0, 0.0)
    np.divide(spread - residual, spread, out=share, where=spread > 0)
    return float(share.mean())


def _difference(y_true: ArrayLike, y_predicted: ArrayLike) -> NDArray[Any]:
    """The difference in float64. Shapes must agree: (n,) and (n, 1) would broadcast to (n, n)."""
    true, predicted = np.asarray(y_true, np.float64), np.asarray(y_predicted, np.float64)
    if true.shape != predicted.shape or true.size == 0:
        raise ValueError(
            "true and predicted values must be two arrays of one shape and not empty; got "
            f"{true.shape} and {predicted.shape}"
        )
    return predicted - true
