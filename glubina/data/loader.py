"""DataLoader: a data set in mini-batches of tensors, shuffled anew in every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data.checks import as_array
from glubina.data.dataset import Dataset, TensorDataset
from glubina.data.errors import DataError, DataTypeError
from glubina.data.order import Order, epoch_order, fresh_seed
from glubina.tensor import Tensor, tensor
from glubina.tensor.arguments import whole


class DataLoader:
    """Mini-batches of a data set; each pass over it is an epoch.

    dataset: a TensorDataset, a tuple of arrays (which becomes one), or any object with a length
    whose items are examples. batch_size: examples in a mini-batch. shuffle: a new order in every
    epoch, which depends on the seed and the epoch's number alone; `seed=None` draws the seed from
    the state that `gl.manual_seed` sets. drop_last: leave a last, smaller mini-batch out.

    A mini-batch is a tuple of tensors (one tensor where the examples are not tuples).
    """

    def __init__(
        self,
        dataset: Dataset | tuple[Any, ...],
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        self.dataset: Dataset = TensorDataset(*dataset) if isinstance(dataset, tuple) else dataset
        if not (hasattr(self.dataset, "__len__") and hasattr(self.dataset, "__getitem__")):
            kind = type(dataset).__name__
            raise DataTypeError(
                "a data set has a length and examples by number (__len__ and __getitem__), or is a "
                f"tuple of arrays; got {kind}"
            )
        try:
            batch_size = whole("batch_size", batch_size)
        except ValueError as error:
            raise DataError(str(error)) from None
        if len(self.dataset) == 0:
            raise DataError("the data set is empty")
        if drop_last and batch_size > len(self.dataset):
            raise DataError(
                f"the data set has {len(self.dataset)} examples; with batch_size {batch_size} and "
                "drop_last no mini-batch would be left"
            )
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0  # the number of passes begun so far

    def __len__(self) -> int:
        """The number of mini-batches in an epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def next_order(self) -> Order:
        """The order of the examples in the next epoch; asking for it begins that epoch."""
        count = len(self.dataset)
        epoch, self.epoch = self.epoch, self.epoch + 1
        if not self.shuffle:
            return np.arange(count)
        if self.seed is None:
            self.seed = fresh_seed()
        return epoch_order(count, self.seed, epoch)

    def __iter__(self) -> Iterator[Any]:
        return self.after(0)

    def after(self, done: int) -> Iterator[Any]:
        """The mini-batches of the next epoch but for the first `done`, which are not made."""
        order = self.next_order()
        for start in range(done * self.batch_size, len(self) * self.batch_size, self.batch_size):
            rows = order[start : start + self.batch_size]
            if isinstance(self.dataset, TensorDataset):
                yield self.dataset[rows]
            else:
                yield _collate([self.dataset[int(row)] for row in rows])

    def state_dict(self) -> dict[str, Any]:
        """How many epochs were begun, and the seed of their orders."""
        return {"epoch": self.epoch, "seed": self.seed}

    def load_state_dict(self, values: Any, again: bool = False) -> None:
        """Go on with the next epoch; `again`: with the one that was begun last."""
        self.epoch, self.seed = values["epoch"] - bool(again), values["seed"]


def _collate(examples: list[Any]) -> Any:
    """Single examples as one mini-batch: every part stacked along a new first axis."""
    if isinstance(examples[0], tuple):
        return tuple(_stack(list(part), place) for place, part in enumerate(zip(*examples)))
    return _stack(examples, 0)


def _stack(part: list[Any], place: int) -> Tensor:
    arrays: list[NDArray[Any]] = [as_array(value, f"part {place} of an example") for value in part]
    try:
        return tensor(np.stack(arrays))
    except ValueError as error:
        shapes = sorted({array.shape for array in arrays})
        raise DataError(
            f"part {place} of the examples has different shapes, {shapes[0]} and {shapes[-1]}; "
            "the examples of a mini-batch need equal shapes"
        ) from error
