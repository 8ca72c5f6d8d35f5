"""One checkpoint: the state of a training as one safetensors file, checksummed and atomic."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glubina.files import DamagedFileError, FileError, pack, unpack, write_tensors
from glubina.files.json_file import parse_json, require_shallow
from glubina.files.tensors import read_with_metadata

FORMAT, VERSION = "glubina checkpoint", 1
STATE = "state.json"
_NAME = re.compile(r"epoch-(\d+)-step-(\d+)\.safetensors")


class CheckpointError(FileError):
    """A checkpoint that is whole, and that this training cannot go on with."""


def write_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state as one file, atomically.

    The arrays are the file's tensors; everything else is JSON, the bytes of the tensor
    "state.json". The library's version and a checksum of all of it are in the header. Raises
    FileError if the disk does not take it, and for a state that would not be read again.
    """
    packed, arrays = pack(dict(state))
    text = json.dumps(packed, ensure_ascii=False, allow_nan=False).encode()
    try:
        require_shallow(text.decode())
    except ValueError as error:
        raise FileError(path, f"its state cannot be kept: {error}; use arrays") from error
    arrays[STATE] = np.frombuffer(text, np.uint8)
    write_tensors(path, arrays, {"format": FORMAT, "version": str(VERSION)})


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state in a file.

    Raises FileError if it cannot be read or has another version of the format, DamagedFileError if
    it is cut short, altered, or no checkpoint.
    """
    file = Path(path)
    arrays, metadata = read_with_metadata(file)
    if metadata.get("format") != FORMAT or STATE not in arrays:
        raise DamagedFileError(file, f"is not a checkpoint of glubina (format {FORMAT!r} expected)")
    if metadata.get("version") != str(VERSION):
        version = metadata.get("version", "")
        raise CheckpointError(
            file, f"has version {version:.20} of its format; this glubina reads version {VERSION}"
        )
    try:
        state = unpack(parse_json(arrays.pop(STATE).tobytes()), arrays)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(file, f"is damaged: {error}") from error
    if not _is_state(state):
        raise DamagedFileError(file, "is damaged: it has no state of a training")
    made: dict[str, Any] = state
    return made


def name_of(epoch: int, step: int) -> str:
    """The name of the checkpoint in an epoch after so many of its steps."""
    return f"epoch-{epoch:06d}-step-{step:08d}.safetensors"


def place_of(path: Path) -> tuple[int, int] | None:
    """The epoch and its step in a checkpoint's name; None for a file that is none by its name."""
    found = _NAME.fullmatch(path.name)
    return None if found is None else (int(found[1]), int(found[2]))


def _is_state(state: Any) -> bool:
    """Whether the parts that are looked at before anything is put back are as they must be."""
    if not isinstance(state, dict):
        return False
    if not all(isinstance(state.get(name), dict) for name in ("position", "settings", "model")):
        return False
    seed = state["settings"].get("seed", 0)
    if type(seed) is not int or seed < 0:
        return False
    best = state.get("best")
    if best is None:
        return True
    value, name = (best.get("value"), best.get("file")) if isinstance(best, dict) else (None, None)
    return isinstance(value, float) and isinstance(name, str) and bool(_NAME.fullmatch(name))
