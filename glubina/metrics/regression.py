"""Errors of predicted numbers over whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mean_squared_error(y_true: ArrayLike, y_predicted: ArrayLike) -> float:
    """The mean of (y_predicted - y_true)^2 over all elements; arrays of one shape."""
    return float(np.mean(_difference(y_true, y_predicted) ** 2))


def mean_absolute_error(y_true: ArrayLike, y_predicted: ArrayLike) -> float:
    """The mean of |y_predicted - y_true| over all elements; arrays of one shape."""
    return float(np.mean(np.abs(_difference(y_true, y_predicted))))


def _difference(y_true: ArrayLike, y_predicted: ArrayLike) -> NDArray[Any]:
    """The difference in float64. Shapes must agree: (n,) and (n, 1) would broadcast to (n, n)."""
    true, predicted = np.asarray(y_true, np.float64), np.asarray(y_predicted, np.float64)
    if true.shape != predicted.shape or true.size == 0:
        raise ValueError(
            "true and predicted values must be two arrays of one shape and not empty; got "
            f"{true.shape} and {predicted.shape}"
        )
    return predicted - true
