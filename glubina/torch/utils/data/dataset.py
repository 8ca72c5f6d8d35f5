"""Data sets: examples by number, and how they are joined and split."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

import glubina.tensor as gl
from glubina.torch.tensor import faced

T = TypeVar("T", covariant=True)


class Dataset(Generic[T]):
    """Examples by number: subclass it, write `__getitem__` and `__len__`."""

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError(f"{type(self).__name__} needs a method __getitem__(self, index)")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Examples in a stream: subclass it, write `__iter__`."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} needs a method __iter__(self)")


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Tensors of equal length: `dataset[i]` is the tuple of their i-th slices."""

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ValueError("TensorDataset needs at least one tensor")
        for place, tensor in enumerate(tensors):
            if not isinstance(tensor, gl.Tensor):
                kind = type(tensor).__name__
                raise TypeError(f"TensorDataset: argument {place} is a {kind}, not a tensor")
            if tensor.shape[:1] != tensors[0].shape[:1]:
                raise ValueError(
                    f"TensorDataset: the lengths differ: tensor 0 has the shape "
                    f"{tuple(tensors[0].shape)}, tensor {place} {tuple(tensor.shape)}"
                )
        self.tensors = tensors

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(faced(t[index]) for t in self.tensors)

    def rows(self, indices: np.ndarray[Any, Any]) -> tuple[Any, ...]:
        """Many examples at once, copied without a program."""
        return tuple(faced(gl.tensor(t.numpy(copy=False)[indices])) for t in self.tensors)


class Subset(Dataset[T]):
    """The examples of another data set with these numbers."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self.indices[index]]


class ConcatDataset(Dataset[Any]):
    """Data sets one after the other."""

    def __init__(self, datasets: Sequence[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one data set")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} examples")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - ([0, *self.cumulative_sizes][which])]


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[Any]]:
    """The data set cut into parts at random; the lengths are numbers, or shares that make 1."""
    count = len(dataset)
    sizes = _sizes(lengths, count)
    order = gl.randperm(count, generator=generator).tolist()
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes)]


def _sizes(lengths: Sequence[int | float], count: int) -> list[int]:
    if abs(sum(lengths) - 1) < 1e-9 and all(0 <= n <= 1 for n in lengths):
        sizes = [int(count * share) for share in lengths]
        for place in range(count - sum(sizes)):
            sizes[place % len(sizes)] += 1
        return sizes
    if sum(lengths) != count:
        raise ValueError(
            f"random_split: the lengths {list(lengths)} make {sum(lengths)}, the data set has "
            f"{count} examples"
        )
    return [int(n) for n in lengths]
