"""Atomic writes: a reader, or a crash, sees the old file or the whole new one, never a part."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from glubina.files.errors import FileError, reason
from glubina.files.leftovers import SUFFIX, hold, sweep


@contextmanager
def open_atomic(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes the file when the block ends without an error.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and the file is
    renamed over the old one; then the folder is flushed. Folders that are missing are made. If the
    block raises, the old file stays as it was and the temporary one is removed; what a killed
    process has left of this file is removed by the next one that writes it.

    Raises FileError when the folder cannot be made or written.
    """
    target = Path(path)
    try:
        make_folder(target.parent)
        stream, temporary = _new(target)
    except OSError as error:
        raise FileError(target, f"cannot be written: {reason(error)}") from error
    except ValueError as error:  # a NUL in the name, or a character that no name can hold
        shown = str(target).encode("unicode_escape").decode("ascii")
        raise FileError(shown, f"is no name that a file can have ({error})") from error
    try:
        with stream:  # open, and so held, until it has its name
            yield stream
            stream.flush()
            _keep_mode(target, stream.fileno())
            os.fsync(stream.fileno())
            os.replace(temporary, target)
        flush_folder(target.parent)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and not isinstance(error, FileError):
            raise FileError(target, f"cannot be written: {reason(error)}") from error
        raise
    sweep(target.parent, target.name)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write the bytes to the file, atomically."""
    with open_atomic(path) as stream:
        stream.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write the text to the file in UTF-8 with the line ends as they are, atomically."""
    write_bytes(path, text.encode("utf-8"))


def make_folder(folder: Path) -> None:
    """Make the folder and those above it that are missing, durably."""
    missing = []
    while not folder.exists():
        if folder.is_symlink():
            raise FileNotFoundError(errno.ENOENT, f"{folder} is a link to nothing that is there")
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        flush_folder(made.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def flush_folder(folder: Path) -> None:
    """Make renamings in a folder durable; not every file system can, and that is no error."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _new(target: Path) -> tuple[BinaryIO, Path]:
    """A new file beside the target, held against being swept away, with the user's usual mode."""
    while True:
        temporary = target.with_name(f".{target.name[:48]}.{secrets.token_hex(4)}{SUFFIX}")
        try:
            stream = temporary.open("xb")
        except FileExistsError:
            continue
        if hold(stream.fileno()):
            return stream, temporary
        stream.close()  # swept away between the two lines


def _keep_mode(target: Path, handle: int) -> None:
    """Give the new file the mode of the old one, if there is an old one."""
    with suppress(FileNotFoundError):
        mode = target.stat().st_mode & 0o7777
        if os.fstat(handle).st_mode & 0o7777 != mode:
            os.chmod(handle if os.chmod in os.supports_fd else target, mode)
