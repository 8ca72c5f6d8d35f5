"""A lock on a folder: one process works in it, and the lock dies with that process."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glubina.files.errors import FileError, reason

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"

# The folders that this process holds (its number, theirs: a folder may have several names): the
# system's lock does not keep a process from itself, and is gone when any handle is closed.
_held: set[tuple[int, int, int]] = set()
_checking = threading.RLock()  # re-entrant, as a handler of signals may come while it is held


class LockedError(FileError):
    """Another process, or another part of this one, is at work in the folder."""


@contextmanager
def locked(folder: str | os.PathLike[str], doing: str = "at work") -> Iterator[None]:
    """In the block no other process gets this lock of the folder, which must be there.

    The system gives the lock back when the process ends, however it ends. It is not inherited by
    a fork. Raises LockedError at once where another has it (naming its process: it "is `doing`"),
    FileError where the folder cannot be written.
    """
    path = Path(folder).resolve()
    with _checking:
        mine = os.getpid(), *_number(path)
        if mine in _held:
            raise LockedError(path, f"this process is {doing} in this folder already")
        handle = _acquire(path, doing)
        _held.add(mine)
    try:
        yield
    finally:
        with _checking:  # nobody may have the lock again before the handle is closed
            if os.getpid() == mine[0]:
                with suppress(OSError):
                    os.unlink(path / LOCK)  # while it is held: whoever waits sees that it is gone
            os.close(handle)
            _held.discard(mine)


def _number(folder: Path) -> tuple[int, int]:
    """What tells the folder from all others."""
    try:
        known = os.stat(folder)
    except OSError as error:
        raise FileError(folder, f"the folder cannot be written: {reason(error)}") from error
    return known.st_dev, known.st_ino


def _after_fork() -> None:
    global _checking
    _checking = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _acquire(folder: Path, doing: str) -> int:
    file = folder / LOCK
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise FileError(folder, f"the folder cannot be written: {reason(error)}") from error
        try:
            if sys.platform != "win32":
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _owner(handle)
            os.close(handle)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise FileError(folder, f"cannot be locked: {reason(error)}") from error
            raise LockedError(
                folder,
                f"another process{owner} is {doing} in this folder; wait for its end, or name "
                "another folder",
            ) from None
        if _is_current(handle, file):
            _sign(handle)
            return handle
        os.close(handle)  # its owner removed it between our opening and our lock


def _is_current(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(file))
    except OSError:
        return False


def _sign(handle: int) -> None:
    """Write who has the lock; a full disk is no reason not to have it."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()} on {socket.gethostname()}\n".encode())


def _owner(handle: int) -> str:
    with suppress(OSError, ValueError):
        text = os.read(handle, 200).decode("utf-8").strip()
        return f" ({text})" if text else ""
    return ""
