"""Folders that results go into: found to be writable before hours of work, not after."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from glubina.files.errors import FileError, reason


def require_writable(folder: str | os.PathLike[str]) -> Path:
    """Make the folder if it is missing and prove by a trial file that it can be written.

    Raises FileError with the reason if not.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise FileError(path, "is a file, and a folder of this name is to be written")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise FileError(path, f"the folder cannot be written: {reason(error)}") from error
    return path
