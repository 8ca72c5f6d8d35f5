"""DataLoader: mini-batches of a data set, as PyTorch gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.torch.tensor import faced
from glubina.torch.utils.data.dataset import IterableDataset, Subset, TensorDataset
from glubina.torch.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler


def default_collate(batch: list[Any]) -> Any:
    """Examples as one mini-batch: tensors stacked, numbers as a tensor, the rest part by part."""
    first = batch[0]
    if isinstance(first, (gl.Tensor, np.ndarray, np.generic)):
        arrays = [b.numpy(copy=False) if isinstance(b, gl.Tensor) else np.asarray(b) for b in batch]
        shapes = sorted({a.shape for a in arrays})
        if len(shapes) > 1:
            raise RuntimeError(
                f"DataLoader: the examples have different shapes, {shapes[0]} and {shapes[-1]}; "
                "a mini-batch needs equal ones, or a collate_fn"
            )
        return faced(gl.tensor(np.stack(arrays)))
    if isinstance(first, (bool, int, float)):
        return faced(gl.tensor(list(batch)))
    if isinstance(first, str):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([b[key] for b in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(part)) for part in zip(*batch, strict=True)))
    if isinstance(first, (tuple, list)):
        return [default_collate(list(part)) for part in zip(*batch, strict=True)]
    raise TypeError(
        f"DataLoader: examples of {type(first).__name__} cannot be put together; examples are "
        "tensors, arrays, numbers, or tuples, lists and dicts of them (or give a collate_fn)"
    )


class DataLoader:
    """Mini-batches of a data set; each pass over it is an epoch.

    num_workers, pin_memory and the like are accepted and have no effect: examples are loaded in
    the calling thread.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = False,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        **more: Any,
    ) -> None:
        unknown = set(more) - {"prefetch_factor", "persistent_workers", "pin_memory_device"}
        if unknown:
            raise TypeError(f"DataLoader has no argument {', '.join(sorted(unknown))}")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: a sampler gives the order itself: leave shuffle out")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.num_workers, self.collate_fn = num_workers, collate_fn or default_collate
        self.sampler: Any = None
        self.batch_sampler: Any = None
        self._streams = isinstance(dataset, IterableDataset)
        self._whole = collate_fn is None  # rows can be cut from the tensors at once
        if self._streams:
            return
        if sampler is None:
            sampler = (
                RandomSampler(dataset, generator=generator) if shuffle
                else SequentialSampler(dataset)
            )  # fmt: skip
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler

    def __len__(self) -> int:
        """The number of mini-batches in an epoch."""
        if self._streams:
            raise TypeError("DataLoader: a stream has no length")
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        if self._streams:
            yield from self._stream()
        elif self.batch_sampler is None:
            for index in self.sampler:
                yield faced(self.dataset[index])
        else:
            for indices in self.batch_sampler:
                yield self._batch(list(indices))

    def _batch(self, indices: list[int]) -> Any:
        if self._whole:
            source: Any = self.dataset
            rows: Any = np.asarray(indices)
            while isinstance(source, Subset) and type(source).__getitem__ is Subset.__getitem__:
                source, rows = source.dataset, np.asarray(source.indices)[rows]
            plain = type(source).__getitem__ is TensorDataset.__getitem__
            if isinstance(source, TensorDataset) and plain:
                return list(source.rows(rows))
        return self.collate_fn([self.dataset[i] for i in indices])

    def _stream(self) -> Iterator[Any]:
        examples = iter(self.dataset)
        if self.batch_size is None:
            yield from examples
            return
        while batch := list(islice(examples, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield self.collate_fn(batch)
