"""The lock on a folder: one process at a time, given back when the process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

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


def test_a_folder_with_another_name_is_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.symlink_to(one)
    monkeypatch.setattr(Path, "resolve", lambda path: path)  # as where letters' case is no matter
    with locked(one), pytest.raises(LockedError, match="in this folder already"):
        locked(two).__enter__()


def test_threads_that_take_turns_hold_it_against_other_processes(tmp_path: Path) -> None:
    others, end = [], threading.Event()

    def take_turns() -> None:
        while not end.is_set():
            with suppress(LockedError), locked(tmp_path):
                others.append(_elsewhere(tmp_path))

    threads = [threading.Thread(target=take_turns) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(others) < 60 and any(thread.is_alive() for thread in threads):
        time.sleep(0.01)
    end.set()
    for thread in threads:
        thread.join()
    assert set(others) == {False}


def _elsewhere(folder: Path) -> bool:
    """Whether another process gets the lock."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        with locked(folder):
            os._exit(0)
    except LockedError:
        os._exit(1)


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
