"""Files, written whole or not at all: the only code of the package that writes what users keep."""

from __future__ import annotations

from glubina.files.atomic import open_atomic, write_bytes, write_text
from glubina.files.checksum import sha256
from glubina.files.errors import DamagedFileError, FileError, MissingExtraError
from glubina.files.folders import require_writable
from glubina.files.json_file import read_json, write_json
from glubina.files.lock import LockedError, locked
from glubina.files.packed import UnstorableError, pack, unpack
from glubina.files.tensors import read_tensors, write_tensors

__all__ = [
    "FileError",
    "DamagedFileError",
    "MissingExtraError",
    "open_atomic",
    "write_bytes",
    "write_text",
    "read_json",
    "write_json",
    "read_tensors",
    "write_tensors",
    "sha256",
    "require_writable",
    "locked",
    "LockedError",
    "pack",
    "unpack",
    "UnstorableError",
]
