"""What to train on and what to validate with, from the forms that `fit` takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from glubina.data import DataError
from glubina.tensor.arguments import between
from glubina.train.inputs import Batches, batches, split

PREDICT_BATCH = 256

Data = Any  # array, tensor, list, pair of them, TensorDataset, data set of one's own, DataLoader


def sources(
    x: Data,
    y: Any,
    batch_size: int,
    validation_data: Data,
    validation_split: float,
    seed: int,
    dtype: np.dtype[Any],
) -> tuple[Batches, Batches | None]:
    """What to train on, and what to validate with."""
    if validation_split and between("validation_split", validation_split, 0, 1) == 1:
        raise ValueError("validation_split must be below 1: nothing would be left to train on")
    if validation_split and validation_data is not None:
        raise ValueError("give validation_data or validation_split, not both")
    source = batches(x, y, batch_size, dtype)
    if validation_split:
        return _split(source, validation_split, seed)
    if validation_data is None:
        return source, None
    size = max(batch_size, PREDICT_BATCH)
    return source, batches(validation_data, None, size, dtype, "validation ")


def _split(source: Batches, share: float, seed: int) -> tuple[Batches, Batches]:
    """The source without the share of its examples that is held back, and that share."""
    if source.examples is None or source.loader is not None:
        raise DataError(
            "validation_split needs examples in memory; give validation_data beside a loader"
        )
    kept, held = split(source.examples, share, seed)
    size = max(source.batch_size, PREDICT_BATCH)
    return replace(source, examples=kept), Batches(size, held)
