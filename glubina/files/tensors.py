"""Arrays by name in safetensors files: the format that other frameworks open as well."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as decode
from safetensors.numpy import save as encode

from glubina.files.atomic import write_bytes
from glubina.files.errors import DamagedFileError, FileError, reason


def encode_tensors(
    tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The named arrays in the safetensors format; the metadata goes into the header."""
    # ascontiguousarray would make a rank-0 array rank 1.
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    content: bytes = encode(arrays, metadata=dict(metadata or {}))
    return content


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the named arrays as a safetensors file, atomically.

    The metadata (text by text) goes into the file's header. Arrays may have any memory layout.
    """
    write_bytes(path, encode_tensors(tensors, metadata))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """A file's content; FileError if it cannot be read."""
    file = Path(path)
    try:
        return file.read_bytes()
    except OSError as error:
        raise FileError(file, f"cannot be read: {reason(error)}") from error


def decode_tensors(
    content: bytes, file: str | os.PathLike[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and the metadata of a safetensors file's content; `file` names it in errors."""
    try:
        loaded = decode(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(
            Path(file),
            f"is damaged or is not a safetensors file, {len(content)} bytes ({error}). "
            "Restore it from a copy or train again",
        ) from error
    return {name: np.array(array) for name, array in loaded.items()}, metadata


def read_tensors(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read every array of a safetensors file. The arrays are the caller's own, and writable.

    Raises FileError if the file is missing and DamagedFileError if it is cut short, altered in
    its header, or no safetensors file.
    """
    return decode_tensors(read_bytes(path), path)[0]
