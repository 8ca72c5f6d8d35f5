"""Checks of data before anything is done with them; every error says where and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError, DataTypeError
from glubina.tensor.convert import ragged

ROWS = 4096  # examined at a time when the place of a bad value is sought


def as_array(value: Any, name: str) -> NDArray[Any]:
    """The value (array, tensor, list) as a NumPy array of numbers or booleans.

    Raises DataTypeError for text, objects, dates and complex numbers, and for lists whose rows
    have different lengths.
    """
    if value is None:
        raise DataTypeError(f"{name} is None; an array of numbers is expected")
    source = value.numpy() if hasattr(value, "numpy") else value
    try:
        array = np.asarray(source)
    except ValueError as error:
        where = ragged(source) if isinstance(source, (list, tuple)) else f": {error}"
        raise DataTypeError(
            f"{name} cannot be made an array, its rows have different lengths{where}; pad the "
            "shorter ones"
        ) from None
    if array.dtype.kind not in "biuf":
        hint = "Convert it first, for example with .astype('float32')"
        if array.dtype.kind in "US":
            hint = f"Number the words first: np.unique({name}, return_inverse=True)[1]"
        raise DataTypeError(f"{name} has dtype {array.dtype}; numbers are expected. {hint}")
    return array


def require_examples(array: NDArray[Any], name: str) -> None:
    """Refuse data without a row or without an axis of rows."""
    if array.ndim == 0:
        raise DataError(f"{name} is a single number; its first axis must run over the examples")
    if len(array) == 0:
        raise DataError(f"{name} is empty: its shape is {array.shape}, without an example")


def require_same_length(x: NDArray[Any], y: NDArray[Any], names: tuple[str, str]) -> None:
    """Refuse inputs and targets of different lengths."""
    if len(x) != len(y):
        raise DataError(
            f"{names[0]} has {len(x)} examples and {names[1]} has {len(y)}; every example needs "
            f"its target (shapes {x.shape} and {y.shape})"
        )


def require_finite(array: NDArray[Any], name: str) -> None:
    """Refuse NaN and infinity, naming the first place and the number of them."""
    if array.dtype.kind != "f" or array.size == 0:
        return
    # Both extremes are finite only if everything is; no array of booleans is made for this.
    with np.errstate(invalid="ignore"):
        if np.isfinite(array.min()) and np.isfinite(array.max()):
            return
    count, first = 0, None
    for start in range(0, len(array), ROWS):
        bad = ~np.isfinite(array[start : start + ROWS])
        found = int(np.count_nonzero(bad))
        if found and first is None:
            inside = np.argwhere(bad)[0]
            first = (start + int(inside[0]), *(int(i) for i in inside[1:]))
        count += found
    assert first is not None
    at = f" at position {first[1:]}" if len(first) > 1 else ""
    raise DataError(
        f"{name} contains {array[first]} in row {first[0]}{at}; {count} of its {array.size} values "
        "are NaN or infinite. Remove these rows or fill in the values"
    )


def require_labels(labels: NDArray[Any], classes: int, name: str) -> None:
    """Refuse labels that are not whole numbers from 0 to classes - 1."""
    if labels.dtype.kind not in "iu":
        raise DataTypeError(
            f"{name} has dtype {labels.dtype}; cross-entropy expects class numbers, integers from "
            f"0 to {classes - 1}. If the values are whole, convert them: {name}.astype('int64')"
        )
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        hint = ""
        if labels.min() == 1 and labels.max() == classes:
            hint = f". These begin at 1: give {name} - 1"
        raise DataError(
            f"{name} contains the label {labels[place]} in row {place[0]}; the network has "
            f"{classes} outputs, so labels go from 0 to {classes - 1}{hint}"
        )
