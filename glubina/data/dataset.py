"""Data sets as a training loop sees them: a length and examples by number."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from glubina.data.checks import as_array, require_examples
from glubina.data.errors import DataError
from glubina.tensor import Tensor, tensor


@runtime_checkable
class Dataset(Protocol):
    """Any object with a length whose items are examples: an array or a tuple of arrays."""

    def __len__(self) -> int:
        """The number of examples."""

    def __getitem__(self, index: int, /) -> Any:
        """One example: an array or number, or a tuple of them (inputs, target)."""


class TensorDataset:
    """Arrays or tensors of equal length, seen as examples: `TensorDataset(x, y)[i] = (x[i], y[i])`.

    Raises DataError if the lengths differ or there is no example, DataTypeError for what cannot
    be an array of numbers.
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise DataError("TensorDataset needs at least one array")
        self.arrays = tuple(
            as_array(array, f"array {place} of the data set") for place, array in enumerate(arrays)
        )
        for place, array in enumerate(self.arrays):
            require_examples(array, f"array {place} of the data set")
            if len(array) != len(self.arrays[0]):
                raise DataError(
                    f"array 0 of the data set has {len(self.arrays[0])} examples and array "
                    f"{place} has {len(array)}"
                )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int | slice | NDArray[np.integer[Any]]) -> tuple[Tensor, ...]:
        count = len(self)
        if isinstance(index, (int, np.integer)) and not -count <= index < count:
            raise IndexError(f"example {index} is out of range: the data set has {count} examples")
        return tuple(tensor(array[index]) for array in self.arrays)
