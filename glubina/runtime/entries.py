"""The cache's files: written whole, taken only from this user, none larger than is possible.

An entry becomes machine code that this process runs. Its digest finds damage; that nobody else has
made it is told by its owner and its mode, whoever may write into the folder.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

HOUR = 3600.0
PARTIAL = ".partial"
LARGEST = 512 << 20  # bytes of an entry
_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_log = logging.getLogger(__name__)


def read_entry(path: Path) -> tuple[bytes, float] | None:
    """A file's content and the seconds since it was last used; None if it is not to be trusted.

    A link, a pipe, a file that another user owns or may write, and one that is far too large are
    not. Nor is one that cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST or not _is_ours(info):
                _log.debug("%s is not taken: it is not a file of this user's alone", path)
                return None
            return file.read(info.st_size + 1), time.time() - info.st_mtime
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.debug("cannot read %s: %s", path, error)
        return None


def _is_ours(info: os.stat_result) -> bool:
    """Whether only this user, or the machine's administrator, can have written it."""
    if not hasattr(os, "geteuid"):  # Windows keeps the folder of a user to the user
        return True
    return info.st_uid in (os.geteuid(), 0) and not info.st_mode & _OTHERS


def distrust(folder: Path) -> str | None:
    """Why a folder is not taken for a cache; None if it may be, or is not there yet."""
    try:
        info = folder.stat()
    except OSError:
        return None
    if not hasattr(os, "geteuid") or not stat.S_ISDIR(info.st_mode):
        return None
    if info.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user (number {info.st_uid})"
    if info.st_mode & stat.S_IWOTH:
        return "can be written by everybody"
    return None


def write_entry(path: Path, data: bytes) -> None:
    """Write a file under a name of its own and rename it; OSError if that is not possible.

    It is not flushed to the disk, which a cold start would wait for: an entry may be lost, and its
    digest tells whether all of it got there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.urandom(6).hex()}{PARTIAL}")
    try:
        # never for others to write, whatever the umask: it would not be read again
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(partial, flags, 0o644), "wb") as file:
            file.write(data)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make the cache's folder, for this user alone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def touch(path: Path) -> None:
    """Mark a file as used now; in a folder that is only read it is not."""
    try:
        os.utime(path)
    except OSError as error:
        _log.debug("cannot mark %s as used: %s", path, error)


def prune(folder: Path, limit: int) -> None:
    """Remove the entries unused for the longest time, if all take more bytes than the limit.

    What killed processes have left half written is removed as well. Other processes may read and
    write meanwhile: an entry that goes is made again.
    """
    entries = sorted(_files(folder))
    total = sum(size for _, size, _ in entries)
    # some room is made, so that the next write need not prune again
    aim = total if total <= limit else limit * 3 // 4
    now = time.time()
    for used, size, path in entries:
        abandoned = path.suffix == PARTIAL and abs(now - used) > HOUR  # the clock may be set back
        if total > aim or abandoned:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                _log.debug("cannot remove %s: %s", path, error)
                continue
            total -= size


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """The time of last use, the size and the path of each file."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            try:
                info = path.lstat()
            except OSError:  # removed by another process
                continue
            yield info.st_mtime, info.st_size, path
