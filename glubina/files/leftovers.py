"""What killed processes leave: temporary files that nobody writes any more, found and removed.

A process that writes holds a lock on its temporary file, and the system takes the lock away with
the process. So whoever gets the lock knows that the file is abandoned.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

SUFFIX = ".glubina-part"
_DAY = 86400.0  # where files cannot be locked, one that was not touched for so long is abandoned


def hold(handle: int) -> bool:
    """Lock a new temporary file as one that is being written; whether it is still there."""
    if sys.platform == "win32":
        return True
    with suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    return os.fstat(handle).st_nlink > 0


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove the abandoned temporary files in a folder; with a name only those of that file.

    Files of living processes stay, whichever process they are of. Failing to is no error.
    """
    begin = "." if name is None else f".{name[:48]}."
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(begin) and entry.name.endswith(SUFFIX):
                _remove_if_abandoned(entry.path)


def _remove_if_abandoned(path: str) -> None:
    with suppress(OSError):
        if sys.platform == "win32":
            if time.time() - os.stat(path).st_mtime > _DAY:
                os.unlink(path)
            return
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if _free(handle):
                os.unlink(path)
        finally:
            os.close(handle)


def _free(handle: int) -> bool:
    """Whether no living process holds the file."""
    assert sys.platform != "win32"
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return time.time() - os.fstat(handle).st_mtime > _DAY
    return True
