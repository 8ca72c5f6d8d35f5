"""Keeps forks and LLVM apart: a child must not begin with LLVM's locks held by nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite.binding import ffi

_PATIENCE = 30.0  # seconds that a fork waits for LLVM at most


class Gate:
    """Counts the threads that are in LLVM; a fork waits until none is, and keeps them out."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._shut = False
        self._has_lock = False  # llvmlite's

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is in LLVM."""
        changed = self._changed
        with changed:
            changed.wait_for(lambda: not self._shut)
            self._inside += 1
        try:
            yield
        finally:
            with changed:
                self._inside -= 1
                changed.notify_all()

    def before_fork(self) -> None:
        """Wait until nobody is in LLVM, and let nobody in."""
        with self._changed:
            self._shut = True
            self._changed.wait_for(lambda: not self._inside, _PATIENCE)
        ffi.lib._lock.__enter__()  # llvmlite's own, around its short calls
        self._has_lock = True

    def after_fork(self) -> None:
        """In the parent: let them in again (also where Ctrl-C came into the waiting)."""
        self._free_lock()
        with self._changed:
            self._shut = False
            self._changed.notify_all()

    def in_child(self) -> None:
        """In the child, which has one thread."""
        self._free_lock()
        self._begin()

    def _free_lock(self) -> None:
        if self._has_lock:
            self._has_lock = False
            ffi.lib._lock.__exit__(None, None, None)


gate = Gate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=gate.before_fork, after_in_parent=gate.after_fork, after_in_child=gate.in_child
    )
