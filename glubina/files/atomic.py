"""Atomic writes: a reader, or a crash, sees the old file or the whole new one, never a part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from glubina.files.errors import FileError, reason


@contextmanager
def open_atomic(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes the file when the block ends without an error.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and the file is
    renamed over the old one. Folders that are missing are made. If the block raises, the old file
    stays as it was and the temporary one is removed.

    Raises FileError when the folder cannot be made or written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part", dir=target.parent
        )
    except OSError as error:
        raise FileError(target, f"cannot be written: {reason(error)}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes the file private; a file that a user asked for has the user's usual mode.
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
        _flush_folder(target.parent)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and not isinstance(error, FileError):
            raise FileError(target, f"cannot be written: {reason(error)}") from error
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write the bytes to the file, atomically."""
    with open_atomic(path) as stream:
        stream.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write the text to the file in UTF-8 with the line ends as they are, atomically."""
    write_bytes(path, text.encode("utf-8"))


def _mode(target: Path) -> int:
    """The mode for the new file: the old file's, or what the umask leaves of rw-rw-rw-."""
    try:
        return target.stat().st_mode & 0o7777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself durable; not every file system can, and that is no error."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
