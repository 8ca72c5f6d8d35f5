"""The header of a safetensors file: what lies where. Every claim of it is checked.

Eight bytes with the header's length, the header (JSON: name -> dtype, shape, offsets), then the
arrays, one after another without gaps. Source: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glubina.files.json_file import parse_json

LARGEST = 16 * 2**20  # bytes; a hundred thousand arrays take ten million
LENGTH = 8  # bytes that hold the header's length
HIGHEST_RANK = 64  # of an array in NumPy 2

# In the order in which arrays lie in a file, so that each is aligned.
DTYPES = {
    "U64": "<u8", "I64": "<i8", "F64": "<f8", "C64": "<c8", "F32": "<f4", "U32": "<u4",
    "I32": "<i4", "BF16": "<u2", "F16": "<f2", "U16": "<u2", "I16": "<i2", "I8": "i1", "U8": "u1",
    "BOOL": "?",
}  # fmt: skip
_ORDER = {code: place for place, code in enumerate(DTYPES)}
_CODES = {np.dtype(text): code for code, text in DTYPES.items() if code != "BF16"}


class Slot(NamedTuple):
    """An array in a file: its name, its dtype's code, its shape, and its bytes' place."""

    name: str
    code: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the elements as they are stored."""
        return np.dtype(DTYPES[self.code])


def written(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """A header for the arrays, with its length before it, and their names in their order.

    Raises TypeError for an array whose dtype the format has not.
    """
    for name, array in arrays.items():
        if array.dtype.newbyteorder("<") not in _CODES:
            raise TypeError(f"{name!r} has dtype {array.dtype}, which safetensors has not")
    codes = {name: _CODES[array.dtype.newbyteorder("<")] for name, array in arrays.items()}
    order = sorted(arrays, key=lambda name: (_ORDER[codes[name]], name))
    entries: dict[str, Any] = {}
    if metadata:
        entries["__metadata__"] = dict(sorted(metadata.items()))
    place = 0
    for name in order:
        array = arrays[name]
        entries[name] = {
            "dtype": codes[name],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so the arrays begin aligned
    return len(text).to_bytes(LENGTH, "little") + text, order


def length(first: bytes, size: int) -> int:
    """The header's length, by the file's first bytes and its size; ValueError if it cannot be."""
    if len(first) < LENGTH:
        raise ValueError(f"it has {size} bytes, and its header's length alone takes {LENGTH}")
    claimed = int.from_bytes(first[:LENGTH], "little")
    if claimed > size - LENGTH:
        raise ValueError(f"it claims a header of {claimed} bytes and has {size - LENGTH}")
    if claimed > LARGEST:
        raise ValueError(f"it claims a header of {claimed} bytes; up to {LARGEST} are read")
    return claimed


def parsed(text: bytes, size: int) -> tuple[list[Slot], dict[str, str]]:
    """The arrays and the metadata that a header tells of, for `size` bytes of arrays.

    Raises ValueError saying which of its claims cannot be.
    """
    entries = parse_json(text)
    if not isinstance(entries, dict):
        raise ValueError("its header is no object")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are not texts by name")
    slots = sorted((_slot(name, entry) for name, entry in entries.items()), key=lambda s: s[3:])
    place = 0
    for slot in slots:
        if slot.start != place:
            how = "overlaps the one before" if slot.start < place else "leaves a gap before it"
            raise ValueError(f"its array {slot.name!r:.80} {how}, at byte {slot.start}")
        place = slot.stop
    if place != size:
        raise ValueError(f"its arrays take {place} bytes and it holds {size}")
    return slots, metadata


def _slot(name: str, entry: Any) -> Slot:
    """The checked entry of an array."""
    where = f"its array {name!r:.80}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where} has no dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        raise ValueError(f"{where} has the dtype {code!r:.20}; known are {', '.join(DTYPES)}")
    if not _counts(shape) or len(shape) > HIGHEST_RANK or math.prod(n or 1 for n in shape) >= 2**60:
        raise ValueError(f"{where} has the shape {shape!r:.60}")
    if not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{where} has the offsets {offsets!r:.60}")
    slot = Slot(name, code, tuple(shape), *offsets)
    needed = math.prod(slot.shape) * slot.dtype.itemsize
    if slot.stop - slot.start != needed:
        raise ValueError(
            f"{where} of shape {list(shape)} takes {needed} bytes, not {slot.stop - slot.start}"
        )
    return slot


def _counts(value: Any) -> bool:
    """Whether it is a list of whole numbers that are not negative."""
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
