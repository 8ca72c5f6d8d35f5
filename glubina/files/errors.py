"""The errors of reading and writing files: each names the file and says what to do."""

from __future__ import annotations

import os
from pathlib import Path


class FileError(OSError):
    """A file that cannot be read or written; the message names it.

    It is an `OSError`, so code that guards against file trouble in general catches it too.
    """

    def __init__(self, path: str | os.PathLike[str], problem: str) -> None:
        self.path = Path(path)
        self.problem = problem
        super().__init__(f"{self.path}: {problem}")


class DamagedFileError(FileError):
    """A file that is there but is not what its name promises: cut short, altered, or foreign."""


class MissingExtraError(ImportError):
    """A library that only this function needs is not installed; the message says how to get it."""


def reason(error: OSError) -> str:
    """What the operating system said, without its number and without the path."""
    return (error.strerror or str(error)).lower()
