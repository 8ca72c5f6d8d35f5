"""Checksums of files."""

from __future__ import annotations

import hashlib
import os

from glubina.files.errors import FileError, reason
from glubina.files.reading import open_regular


def sha256(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256 in hexadecimal, read in pieces.

    Raises FileError if the file cannot be read.
    """
    try:
        with open_regular(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileError:
        raise
    except OSError as error:
        raise FileError(path, f"cannot be read: {reason(error)}") from error
