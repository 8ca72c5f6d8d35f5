"""Folders that results go into: found to be writable before hours of work, not after."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from glubina.files.atomic import make_folder
from glubina.files.errors import FileError, reason
from glubina.files.leftovers import sweep


def path_of(path: str | os.PathLike[str]) -> Path:
    """The path; FileError for an empty text, which would mean the folder that one is in."""
    if not os.fspath(path):
        raise FileError("''", "is no path: it is empty (the folder one is in is '.')")
    return Path(path)


def require_writable(folder: str | os.PathLike[str]) -> Path:
    """Make the folder if it is missing and prove by a trial file that it can be written.

    What killed processes have left half written in it is removed. Raises FileError with the
    reason if it cannot be written.
    """
    path = path_of(folder)
    try:
        if path.exists() and not path.is_dir():
            raise FileError(path, "is a file, and a folder of this name is to be written")
        make_folder(path)
        with tempfile.TemporaryFile(dir=path):
            pass
        sweep(path)
    except FileError:
        raise
    except ValueError as error:  # a NUL in the name
        shown = str(path).encode("unicode_escape").decode("ascii")
        raise FileError(shown, f"is no name that a folder can have ({error})") from error
    except OSError as error:
        raise FileError(path, f"the folder cannot be written: {reason(error)}") from error
    return path
