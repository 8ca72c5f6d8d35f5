"""Sequences of different lengths, padded to one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import glubina.tensor as gl
from glubina.torch.tensor import faced


def pad_sequence(
    sequences: Sequence[Any], batch_first: bool = False, padding_value: float = 0.0
) -> Any:
    """Sequences (length, ...) as one tensor (longest, batch, ...), or (batch, longest, ...)."""
    longest = max(s.shape[0] for s in sequences)
    wide = [
        gl.pad(s, [(0, longest - s.shape[0]), *[(0, 0)] * (s.ndim - 1)], padding_value)
        for s in sequences
    ]
    return faced(gl.stack(wide, 0 if batch_first else 1))


def pack_padded_sequence(*args: Any, **kwargs: Any) -> Any:
    """NotImplementedError: recurrent layers take the lengths themselves."""
    raise NotImplementedError(
        "there are no packed sequences here: give the padded tensor and the lengths to the "
        "layer, lstm(x, lengths=lengths); outputs beyond a sequence's length are zero"
    )


def pad_packed_sequence(*args: Any, **kwargs: Any) -> Any:
    """NotImplementedError: recurrent layers give padded outputs."""
    return pack_padded_sequence()
