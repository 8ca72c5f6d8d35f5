"""The lock on a folder: one process at a time, given back when the process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glubina.files import FileError, LockedError, locked

HOLD = """
import sys, time
from glubina.files import locked
with locked(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=rf"another process \({other.pid} on .*\) is training"):
        locked(tmp_path, "training").__enter__()
    other.send_signal(signal.SIGKILL)
    other.wait()
    with locked(tmp_path, "training"):
        pass
    assert not any(tmp_path.iterdir())


def test_this_process_is_refused_a_second_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(LockedError, match="at work in this folder already"):
        locked(tmp_path).__enter__()
    with locked(tmp_path):
        pass


def test_a_fork_does_not_keep_the_lock(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    holder = os.fork()
    if not holder:
        with locked(tmp_path):
            child = os.fork()
            if not child:
                os.read(reading, 1)
                os._exit(0)
            os._exit(0)  # without giving it back
    os.waitpid(holder, 0)
    with locked(tmp_path):
        pass
    os.write(writing, b"x")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written: no such file or directory"):
        locked(tmp_path / "missing").__enter__()
