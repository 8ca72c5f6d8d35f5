"""Arrays by name in safetensors files: the format that other frameworks open as well.

What is written here tells in its metadata the format's version, the library's, and a checksum: the
SHA-256 of the whole file with zeros in the checksum's place. Files without them are read too.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.files import header
from glubina.files.atomic import open_atomic
from glubina.files.documents import library_version, require_version
from glubina.files.errors import DamagedFileError, FileError, reason
from glubina.files.header import Slot
from glubina.files.reading import PIECE, open_regular, read_bytes, require_room

__all__ = [
    "decode_tensors", "encode_tensors", "read_bytes", "read_layout", "read_tensors",
    "read_with_metadata", "write_tensors",
]  # fmt: skip

VERSION = 1
_VERSION, _LIBRARY, _SUM = "glubina.format", "glubina.version", "glubina.sha256"
_ZEROS = "0" * 64
_MEND = "Restore it from a copy or train again"


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the named arrays as a safetensors file, atomically.

    The metadata (text by text) goes into the file's header. Arrays may have any memory layout.
    Equal arrays and metadata give equal bytes. TypeError for a dtype that the format has not.
    """
    arrays = _little(tensors)
    head, order = _head(arrays, metadata or {})
    with open_atomic(path) as stream:
        stream.write(head)
        for name in order:
            stream.write(_view(arrays[name]))


def encode_tensors(
    tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """What `write_tensors` would write, as bytes."""
    arrays = _little(tensors)
    head, order = _head(arrays, metadata or {})
    return b"".join([head, *(_view(arrays[name]) for name in order)])


def read_tensors(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read every array of a safetensors file. The arrays are the caller's own, and writable.

    bfloat16, which NumPy has not, becomes float32. Raises FileError if the file is missing or does
    not fit into the memory, and DamagedFileError if it is cut short, altered, or no safetensors
    file. The header is checked against the file's size before anything is allocated.
    """
    return read_with_metadata(path)[0]


def read_with_metadata(
    path: str | os.PathLike[str],
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays of a safetensors file, as `read_tensors` gives them, and its metadata."""
    with open_regular(path) as stream:
        return _decoded(stream, os.fstat(stream.fileno()).st_size, Path(path))


def read_layout(path: str | os.PathLike[str]) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """The shapes and dtypes of a file's arrays by name, without reading the arrays.

    Raises what `read_tensors` raises, but for damage within the arrays, which is not seen.
    """
    with open_regular(path) as stream:
        _, slots, _ = _layout(stream, os.fstat(stream.fileno()).st_size, Path(path))
    return {s.name: (s.shape, np.dtype("f4") if s.code == "BF16" else s.dtype) for s in slots}


def decode_tensors(
    content: bytes, file: str | os.PathLike[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and the metadata of a safetensors file's content; `file` names it in errors."""
    return _decoded(io.BytesIO(content), len(content), Path(file))


# -- writing --------------------------------------------------------------------------------------


def _little(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays contiguous and little-endian."""
    # ascontiguousarray would make a rank-0 array rank 1.
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    return {n: a.astype(a.dtype.newbyteorder("<"), copy=False) for n, a in arrays.items()}


def _view(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _head(arrays: Mapping[str, NDArray[Any]], given: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """The header with its checksum, and the names in their order."""
    own = {_VERSION: str(VERSION), _LIBRARY: library_version(), _SUM: _ZEROS}
    head, order = header.written(arrays, {**given, **own})
    digest = hashlib.sha256(head)
    for name in order:
        digest.update(_view(arrays[name]))
    return head.replace(_mark(_ZEROS), _mark(digest.hexdigest())), order


def _mark(digest: str) -> bytes:
    """The checksum as it stands in the header; a quote in a name or a text is escaped there."""
    return f'"{_SUM}":"{digest}"'.encode()


# -- reading --------------------------------------------------------------------------------------


def _decoded(
    stream: io.BufferedIOBase, size: int, file: Path
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    require_room(file, size)
    try:
        head, slots, metadata = _layout(stream, size, file)
        stored = metadata.get(_SUM)
        digest = None
        if stored is not None:
            digest = hashlib.sha256(head.replace(_mark(stored), _mark(_ZEROS)))
        loaded = {slot.name: _array(stream, slot, digest, file) for slot in slots}
    except FileError:
        raise
    except OSError as error:
        raise FileError(file, f"cannot be read: {reason(error)}") from error
    if digest is not None and digest.hexdigest() != stored:
        raise DamagedFileError(file, f"is damaged: its content does not fit its checksum. {_MEND}")
    return loaded, metadata


def _layout(
    stream: io.BufferedIOBase, size: int, file: Path
) -> tuple[bytes, list[Slot], dict[str, str]]:
    """The header as it stands in the file, and what it says."""
    try:
        first = stream.read(header.LENGTH)
        text = stream.read(header.length(first, size))
        slots, metadata = header.parsed(text, size - len(first) - len(text))
    except ValueError as error:
        raise DamagedFileError(
            file,
            f"is damaged or is not a safetensors file, {size} bytes ({error}). {_MEND}",
        ) from error
    version = metadata.get(_VERSION)
    if version is not None:
        number = int(version) if version.isdecimal() and len(version) < 9 else version
        require_version(file, number, metadata.get(_LIBRARY), VERSION)
    return first + text, slots, metadata


def _array(stream: io.BufferedIOBase, slot: Slot, digest: Any, file: Path) -> NDArray[Any]:
    """The next array of the file, in memory of its own."""
    raw = np.empty(slot.stop - slot.start, np.uint8)
    view, place = raw.data, 0
    while place < len(raw):
        count = stream.readinto(view[place : place + PIECE])
        if not count:
            raise DamagedFileError(file, f"is damaged: it ends inside the array {slot.name!r:.80}")
        if digest is not None:
            digest.update(view[place : place + count])
        place += count
    if slot.code == "BOOL" and len(raw) and raw.max() > 1:
        raise DamagedFileError(file, f"is damaged: {slot.name!r:.80} holds truths that are neither")
    array = raw.view(slot.dtype).reshape(slot.shape)
    if slot.code == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(slot.dtype.newbyteorder("="), copy=False)
