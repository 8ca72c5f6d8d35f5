"""Opening files of unknown origin: regular files only, and no more of them than is allowed."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from glubina.files.errors import DamagedFileError, FileError, reason
from glubina.runtime.limits import available_memory

LARGE = 64 * 2**20  # bytes from which it is asked whether there is room, and what they come from
RATIO = 500  # bytes that one compressed byte may stand for; zeros give 1030, real data below 100
PIECE = 2**20  # bytes read at a time where only a header says how many will come


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """The file, open for reading in binary.

    Raises FileError if it cannot be opened, and for a folder, a pipe or a device: reading these
    might never end.
    """
    file = Path(path)
    try:
        _require_regular(file, os.stat(file).st_mode)
        stream = open(file, "rb", opener=_at_once)  # noqa: SIM115 - the caller's to close
    except FileError:
        raise
    except OSError as error:
        raise FileError(file, f"cannot be read: {reason(error)}") from error
    except ValueError as error:  # a NUL in the name, or a character that no name can hold
        raise _bad_name(file, error) from error
    try:
        # once more: another file may have come in its place
        _require_regular(file, os.fstat(stream.fileno()).st_mode)
    except BaseException:
        stream.close()
        raise
    return stream


def _at_once(name: str, flags: int) -> int:
    """Open without waiting for a pipe's other end."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _require_regular(file: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
    raise FileError(file, f"cannot be read: is {kind}; a file was expected")


def _bad_name(file: Path, error: ValueError) -> FileError:
    shown = str(file).encode("unicode_escape").decode("ascii")
    return FileError(shown, f"is no name that a file can have ({error})")


def read_bytes(path: str | os.PathLike[str], largest: int | None = None) -> bytes:
    """A file's content. Raises FileError if it cannot be read or has more than `largest` bytes."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if largest is not None and size > largest:
            raise FileError(path, f"has {size} bytes; a file of its kind may have up to {largest}")
        require_room(path, size)
        try:
            return stream.read(size)
        except OSError as error:
            raise FileError(path, f"cannot be read: {reason(error)}") from error


def require_room(path: str | os.PathLike[str], nbytes: int) -> None:
    """Raise FileError with the numbers if a file's content does not fit into the memory."""
    if nbytes < LARGE:
        return
    free = available_memory()
    if nbytes > free:
        raise FileError(
            path, f"holds {nbytes:,} bytes of data, and only {free:,} bytes of memory are free"
        )


def require_plausible(path: str | os.PathLike[str], size: int, stored: int) -> None:
    """Refuse compressed data that claim to be, or are, out of all proportion to what is stored.

    size: the bytes that they are unpacked to. stored: those that they take in the file.
    """
    if size >= LARGE and size > RATIO * stored:
        raise DamagedFileError(
            path,
            f"unpacks {stored:,} bytes to {size:,} and more, as real data do not (beyond "
            f"{LARGE >> 20} MiB at most {RATIO} times); if it is meant so, store it uncompressed",
        )
    require_room(path, size)
