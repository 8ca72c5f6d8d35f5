"""The errors of reading and writing files: each names the file and says what to do."""

from __future__ import annotations

import os
from pathlib import Path


class FileError(OSError):
    """A file that cannot be read or written; the message names it.

    It is an `OSError`, so code that guards against file trouble in general catches it too. What
    the file says of itself is shown within measure: up to `LONGEST` characters, none of which a
    terminal would obey; so is its name, which may come out of somebody's archive.
    """

    def __init__(self, path: str | os.PathLike[str], problem: str) -> None:
        self.path = Path(path)
        self.problem = _shown(problem)
        name = str(self.path)
        shown = _shown(name if len(name) <= 4096 else f"{name[:200]}...")  # no file has such a name
        super().__init__(f"{shown}: {self.problem}")


LONGEST = 2000


def _shown(text: str) -> str:
    """The text without control characters, and not longer than a screen."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 100]} ... ({len(text) - LONGEST + 100} more characters)"
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class DamagedFileError(FileError):
    """A file that is there but is not what its name promises: cut short, altered, or foreign."""


class MissingExtraError(ImportError):
    """A library that only this function needs is not installed; the message says how to get it."""


def reason(error: OSError) -> str:
    """What the operating system said, without its number and without the path."""
    return (error.strerror or str(error)).lower()
