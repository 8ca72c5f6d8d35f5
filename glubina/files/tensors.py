"""Arrays by name in safetensors files: the format that other frameworks open as well."""

from __future__ import annotations

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


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the named arrays as a safetensors file, atomically.

    The metadata (text by text) goes into the file's header. Arrays may have any memory layout.
    """
    # ascontiguousarray would make a rank-0 array rank 1.
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    write_bytes(path, encode(arrays, metadata=dict(metadata or {})))


def read_tensors(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read every array of a safetensors file. The arrays are the caller's own, and writable.

    Raises FileError if the file is missing and DamagedFileError if it is cut short, altered in
    its header, or no safetensors file.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FileError(file, f"cannot be read: {reason(error)}") from error
    try:
        loaded = decode(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(
            file,
            f"is damaged or is not a safetensors file, {len(content)} bytes ({error}). "
            "Restore it from a copy or train again",
        ) from error
    return {name: np.array(array) for name, array in loaded.items()}
