"""Files, written whole or not at all: the only code of the package that writes what users keep."""

from __future__ import annotations

from typing import Any

from glubina.files.atomic import open_atomic, write_bytes, write_text
from glubina.files.checksum import sha256
from glubina.files.documents import read_document, require_unaltered, write_document
from glubina.files.errors import DamagedFileError, FileError, MissingExtraError
from glubina.files.folders import path_of, require_writable
from glubina.files.json_file import read_json, write_json
from glubina.files.leftovers import sweep
from glubina.files.lock import LockedError, locked
from glubina.files.packed import UnstorableError, pack, unpack
from glubina.files.reading import open_regular, read_bytes
from glubina.files.tensors import read_layout, read_tensors, read_with_metadata, write_tensors
from glubina.graph.names import missing

__all__ = [
    "FileError",
    "DamagedFileError",
    "MissingExtraError",
    "open_atomic",
    "write_bytes",
    "write_text",
    "open_regular",
    "read_bytes",
    "read_json",
    "write_json",
    "read_document",
    "require_unaltered",
    "write_document",
    "read_layout",
    "read_tensors",
    "read_with_metadata",
    "write_tensors",
    "sha256",
    "sweep",
    "path_of",
    "require_writable",
    "locked",
    "LockedError",
    "pack",
    "unpack",
    "UnstorableError",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
