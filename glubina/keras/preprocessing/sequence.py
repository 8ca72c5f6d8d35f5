"""Sequences of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0.0,
) -> NDArray[Any]:
    """(n, maxlen, ...): each sequence filled up with `value`, or cut, before ('pre') or after.

    maxlen: the length of the longest unless given.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f"{name} is 'pre' or 'post', got {side!r}")
    rows = [np.asarray(row, dtype) for row in sequences]
    length = max((len(row) for row in rows), default=0) if maxlen is None else maxlen
    rest = next((row.shape[1:] for row in rows if len(row)), ())
    made = np.full((len(rows), length, *rest), value, dtype)
    for target, row in zip(made, rows):
        kept = row[max(len(row) - length, 0) :] if truncating == "pre" else row[:length]
        if len(kept):
            place = slice(length - len(kept), None) if padding == "pre" else slice(len(kept))
            target[place] = kept
    return made


__all__ = ["pad_sequences"]
