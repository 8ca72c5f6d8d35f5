"""JSON files with a format: its name and version, the library's version, and a checksum."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glubina.files.errors import DamagedFileError, FileError
from glubina.files.json_file import read_json, write_json

HEADING = ("format", "version", "library", "sha256")
"""The keys that say what a document is; what it holds stands beside them."""


def write_document(
    path: str | os.PathLike[str], kind: str, version: int, content: Mapping[str, Any]
) -> None:
    """Write the content as JSON under its format's name, atomically.

    The checksum is of all the rest, whatever its layout: a file that is only indented anew fits it.
    """
    value = {"format": kind, "version": version, "library": library_version(), **content}
    write_json(path, {**value, "sha256": _digest(value)})


def read_document(
    path: str | os.PathLike[str], kind: str, version: int, *, check: bool = True
) -> dict[str, Any]:
    """The content of a document, with its heading.

    Files of earlier versions are the caller's to understand; the first ones have no `library` and
    no `sha256`. Raises FileError if it is of a later version than `version` (and says what can read
    it), DamagedFileError if it is of another format, or not as it was written. check=False leaves
    the checksum to a later `require_unaltered`, where the caller can say more of what is wrong.
    """
    file = Path(path)
    value = read_json(file)
    if not isinstance(value, dict) or value.get("format") != kind:
        raise DamagedFileError(file, f"is not a file of the format {kind!r}")
    require_version(file, value.get("version"), value.get("library"), version)
    if check:
        require_unaltered(file, value)
    return value


def require_unaltered(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Refuse a document whose content is not that of its checksum, if it has one."""
    told = value.get("sha256")
    if told is not None and told != _digest(value):
        raise DamagedFileError(
            path,
            "is not as it was written: its content does not fit its checksum. Restore it from a "
            "copy; if somebody has changed it on purpose, remove its line 'sha256'",
        )


def require_version(file: Path, version: object, library: object, known: int) -> None:
    """Refuse a file whose format is of a version that this library does not know."""
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise DamagedFileError(file, f"is damaged: {version!r:.40} is no version of a format")
    if version > known:
        needed = f"glubina {library:.40}" if isinstance(library, str) else "a later glubina"
        raise FileError(
            file,
            f"has version {version} of its format; this glubina ({library_version()}) reads up to "
            f"version {known}. Install {needed}, which has written it, or a later one",
        )


def library_version() -> str:
    """The version of this library."""
    return str(sys.modules["glubina"].__version__)


def _digest(value: Mapping[str, Any]) -> str:
    """SHA-256 of the value without its checksum, in one line with sorted keys."""
    plain = {name: part for name, part in value.items() if name != "sha256"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
