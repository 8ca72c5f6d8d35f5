"""Helpers: one-hot labels and back, normalised rows, a fixed seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.keras.generators import Sequence
from glubina.tensor import manual_seed

__all__ = ["Sequence", "normalize", "np_utils", "set_random_seed", "to_categorical"]


def to_categorical(y: Any, num_classes: int | None = None, dtype: Any = "float32") -> NDArray[Any]:
    """One-hot rows (..., classes) from class numbers (...), or (..., 1).

    num_classes: the largest label + 1 unless given. ValueError for labels beyond it.
    """
    labels = np.asarray(y)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    whole = labels.astype(np.int64)
    if labels.dtype.kind == "f" and not np.array_equal(whole, labels):
        raise ValueError("to_categorical takes class numbers, got fractions")
    count = int(num_classes) if num_classes is not None else int(whole.max()) + 1
    if whole.size and (whole.min() < 0 or whole.max() >= count):
        raise ValueError(
            f"labels must go from 0 to {count - 1}; found {whole.min()} to {whole.max()}"
        )
    return np.eye(count, dtype=dtype)[whole]


def normalize(x: Any, axis: int = -1, order: int = 2) -> NDArray[Any]:
    """Divided by the norms along an axis; zeros stay zeros."""
    array = np.asarray(x)
    norms = np.linalg.norm(array, order, axis, keepdims=True)
    result: NDArray[Any] = array / np.where(norms == 0, 1, norms)
    return result


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and Glubina's random numbers."""
    import random

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - course code draws from it
    manual_seed(seed)


class np_utils:
    """Where older programs look for `to_categorical`."""

    to_categorical = staticmethod(to_categorical)
    normalize = staticmethod(normalize)
