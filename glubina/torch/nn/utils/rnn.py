"""Sequences of different lengths: padded to one tensor, and packed for recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.torch.tensor import faced


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Sequences (length, ...) as one tensor (longest, batch, ...), or (batch, longest, ...)."""
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: padding_side is 'right' or 'left', got {padding_side!r}")
    longest = max(s.shape[0] for s in sequences)
    wide = []
    for s in sequences:
        missing = longest - s.shape[0]
        around = (0, missing) if padding_side == "right" else (missing, 0)
        wide.append(gl.pad(s, [around, *[(0, 0)] * (s.ndim - 1)], padding_value))
    return faced(gl.stack(wide, 0 if batch_first else 1))


class PackedSequence:
    """Sequences of different lengths, which a recurrent layer goes through each to its own end.

    They are kept padded, (longest, batch, ...), with their lengths; `data` and `batch_sizes` are
    worked out where they are asked for. Make them with `pack_padded_sequence`.
    """

    def __init__(
        self, data: Any, batch_sizes: Any = None, sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> None:  # fmt: skip
        sizes = np.asarray(batch_sizes if batch_sizes is not None else [], np.int64)
        if not sizes.size:
            raise ValueError("PackedSequence: needs batch_sizes; pack_padded_sequence makes one")
        lengths = (sizes[None, :] > np.arange(sizes[0])[:, None]).sum(1)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        places = np.minimum(starts[:, None] + np.arange(sizes[0])[None, :], sizes.sum() - 1)
        order = None if unsorted_indices is None else np.asarray(unsorted_indices)
        if order is not None:
            places, lengths = places[:, order], lengths[order]
        rows = gl.take(data, gl.tensor(places.reshape(-1)), 0)
        self._set(rows.reshape((*places.shape, *data.shape[1:])), lengths, order is not None)

    def _set(self, padded: gl.Tensor, lengths: np.ndarray[Any, Any], sorts: bool) -> None:
        self._padded, self._lengths, self._sorts = padded, lengths, sorts

    @classmethod
    def of(cls, padded: gl.Tensor, lengths: np.ndarray[Any, Any], sorts: bool) -> PackedSequence:
        """From a padded tensor (longest, batch, ...) and the lengths."""
        self = cls.__new__(cls)
        self._set(padded, lengths, sorts)
        return self

    @property
    def _order(self) -> np.ndarray[Any, Any]:
        count = len(self._lengths)
        return np.argsort(-self._lengths, kind="stable") if self._sorts else np.arange(count)

    @property
    def sorted_indices(self) -> Any:
        """The sequences from the longest to the shortest, if they were not given so."""
        return faced(gl.tensor(self._order)) if self._sorts else None

    @property
    def unsorted_indices(self) -> Any:
        """Where each given sequence is among the sorted ones."""
        return faced(gl.tensor(np.argsort(self._order))) if self._sorts else None

    @property
    def batch_sizes(self) -> Any:
        """How many sequences reach each step."""
        steps = np.arange(self._lengths.max())
        return faced(gl.tensor((self._lengths[None, :] > steps[:, None]).sum(1)))

    @property
    def data(self) -> Any:
        """The elements step by step, without the padding: (sum of lengths, ...)."""
        order, count = self._order, len(self._lengths)
        places = [t * count + i for t in range(self._lengths.max()) for i in order
                  if self._lengths[i] > t]  # fmt: skip
        rows = self._padded.reshape((-1, *self._padded.shape[2:]))
        return faced(gl.take(rows, gl.tensor(np.asarray(places, np.int64)), 0))

    def to(self, *targets: Any, **options: Any) -> PackedSequence:
        """In another dtype, or on the CPU."""
        return PackedSequence.of(faced(self._padded).to(*targets, **options), self._lengths,
                                 self._sorts)  # fmt: skip

    def cpu(self) -> PackedSequence:
        """The same."""
        return self

    def __repr__(self) -> str:
        return (
            f"PackedSequence(data={self.data!r}, batch_sizes={self.batch_sizes!r}, "
            f"sorted_indices={self.sorted_indices!r}, unsorted_indices={self.unsorted_indices!r})"
        )


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """The padded tensor (longest, batch, ...) with the lengths of its sequences.

    enforce_sorted: RuntimeError unless the lengths fall, which nothing here needs.
    """
    given = lengths.numpy() if isinstance(lengths, gl.Tensor) else np.asarray(lengths)
    steps, batch = input.shape[1 if batch_first else 0], input.shape[0 if batch_first else 1]
    if given.shape != (batch,) or given.dtype.kind not in "iu":
        raise ValueError(f"pack_padded_sequence: expected {batch} whole lengths, got {lengths!r}")
    if given.size and (given.min() <= 0 or given.max() > steps):
        raise RuntimeError(
            f"pack_padded_sequence: lengths must be from 1 to {steps}, got {given.tolist()}"
        )
    if enforce_sorted and (np.diff(given) > 0).any():
        raise RuntimeError(
            "pack_padded_sequence: `lengths` must be sorted in decreasing order when "
            "`enforce_sorted` is True; pass enforce_sorted=False"
        )
    first = gl.swapaxes(input, 0, 1) if batch_first else input
    return PackedSequence.of(first[: int(given.max())], given.astype(np.int64), not enforce_sorted)


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, ...) packed; see `pack_padded_sequence`."""
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """The padded tensor (longest, batch, ...), or (batch, longest, ...), and the lengths."""
    padded, lengths = sequence._padded, sequence._lengths
    steps = padded.shape[0]
    if total_length is not None:
        if total_length < steps:
            raise ValueError(f"pad_packed_sequence: total_length {total_length} is below {steps}")
        more = [(0, total_length - steps), *[(0, 0)] * (padded.ndim - 1)]
        padded = gl.pad(padded, more, padding_value)
    inside = np.arange(padded.shape[0])[:, None] < lengths[None, :]
    inside = inside.reshape((*inside.shape, *[1] * (padded.ndim - 2)))
    padded = gl.where(gl.tensor(inside), padded, padding_value)
    result = gl.swapaxes(padded, 0, 1) if batch_first else padded
    return faced(result), faced(gl.tensor(lengths))


def unpad_sequence(padded: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded tensor, each of its own length."""
    rows = gl.unstack(padded, 0 if batch_first else 1)
    return [faced(row[: int(n)]) for row, n in zip(rows, lengths, strict=True)]


def unpack_sequence(packed: PackedSequence) -> list[Any]:
    """The sequences, each of its own length."""
    return unpad_sequence(*pad_packed_sequence(packed))
