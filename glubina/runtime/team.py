"""The team of threads that runs programs, and how many of them there should be."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from glubina.codegen import driver
from glubina.codegen.target import host
from glubina.runtime import compiler
from glubina.runtime.apart import apart
from glubina.runtime.buffer import Buffer
from glubina.runtime.limits import default_threads
from glubina.runtime.loader import Library, load

# A thread without work waits so long awake, as the next step of a loop usually comes soon.
SPIN_NANOSECONDS = 200_000
# Pauses (about 20 ns each) in a barrier before the core is offered to others.
BARRIER_PAUSES = 300
# How long what the process may use of the machine is taken to stay the same.
LOOK_SECONDS = 1.0

_SYMBOLS = ("glubina_run", "glubina_work", "glubina_team_begin", "glubina_team_end")


class Driver(NamedTuple):
    """The native driver's functions; see `glubina.codegen.driver`."""

    run: Callable[[int, int], int]
    work: Callable[[int, int], None]
    begin: Callable[[int], None]
    end: Callable[[int], int]
    library: Library


@functools.cache
def native_driver() -> Driver:
    """The driver, compiled (or found in the cache) and loaded once per process."""
    target = host()
    code = compiler.compile_kernels({"driver": lambda: driver.driver_ir(target)}, target)
    library = load(code, _SYMBOLS)
    word, address = ctypes.c_int64, ctypes.c_void_p
    types = (
        ctypes.CFUNCTYPE(word, address, address),
        ctypes.CFUNCTYPE(None, address, word),
        ctypes.CFUNCTYPE(None, address),
        ctypes.CFUNCTYPE(word, address),
    )
    run, work, begin, end = (t(library.addresses[s]) for t, s in zip(types, _SYMBOLS, strict=True))
    return Driver(run, work, begin, end, library)


class Team:
    """Threads that wait to help whoever runs a program; the caller is always the first of them.

    `address` is where the native driver finds the team, `size` how many threads it has (with the
    caller). Threads are started when they are first needed and never end before the process; a
    team without work sleeps. After a fork the child begins anew, with no helpers.
    """

    def __init__(self) -> None:
        self._chosen: int | None = None
        self._default = 1
        self._allowed: set[int] = set()
        self._adapts = True
        self._begin()

    def _begin(self) -> None:
        self.size = 1
        self.address = 0
        self._memory: Buffer | None = None
        self._helpers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False
        self._looked_until = 0.0

    @property
    def threads(self) -> int:
        """How many threads a program gets unless told otherwise.

        What the process may use (the scheduler's affinity, the container's quota) may change while
        it runs: a look at it is good for a second.
        """
        if self._chosen is not None:
            return self._chosen
        if time.monotonic() >= self._looked_until:
            self._look()
        return self._default

    def _look(self) -> None:
        self._default = min(default_threads(), driver.MAX_THREADS)
        self._looked_until = time.monotonic() + LOOK_SECONDS
        if hasattr(os, "sched_getaffinity"):
            allowed = os.sched_getaffinity(0)
            if allowed != self._allowed:  # the helpers go where this thread may go
                self._allowed = allowed
                for helper in list(self._helpers):
                    _put_on(helper, allowed)

    def choose(self, threads: int | None) -> None:
        """Set how many threads programs get; None for as many as there are cores to use."""
        if threads is not None and not 1 <= threads <= driver.MAX_THREADS:
            raise ValueError(f"the number of threads should be at least 1, it is {threads}")
        self._chosen = threads

    @contextmanager
    def steadfast(self) -> Iterator[None]:
        """Inside a `with` block, programs use the team even where it is no help.

        Else the driver notices when other programs keep the cores so busy that waiting for the
        helpers takes longer than doing their work, and leaves them out for a while. The results
        are the same; this is for measuring and for tests.
        """
        before = self._adapts
        self._set_adapts(False)
        try:
            yield
        finally:
            self._set_adapts(before)

    def _set_adapts(self, adapts: bool) -> None:
        with self._lock:
            self._adapts = adapts
            if self._memory is not None:
                self._words[driver.TEAM_ADAPTS // 8] = adapts
                self._words[driver.TEAM_UNTIL // 8] = 0

    def grow(self, threads: int) -> int:
        """Start helpers until there are `threads` with the caller; returns how many there are.

        There may be fewer: where the system gives no more threads, programs run on those it gave.
        """
        apart(self._grow, threads)
        return self.size

    def _grow(self, threads: int) -> None:
        with self._lock, suppress(RuntimeError):  # can't start new thread
            while self.size < threads and not self._closed:
                self._start(self.size)

    def _start(self, index: int) -> None:
        native = native_driver()
        if self._memory is None:
            self._memory = memory = Buffer.zeros(driver.TEAM_BYTES)
            self._words = memory.array((driver.TEAM_BYTES // 8,), "int64")
            self._words[driver.TEAM_SPIN // 8] = SPIN_NANOSECONDS
            self._words[driver.TEAM_PAUSES // 8] = BARRIER_PAUSES
            self._words[driver.TEAM_ADAPTS // 8] = self._adapts
            native.begin(memory.address)
            self.address = memory.address
        helper = threading.Thread(
            target=native.work, args=(self.address, index), name=f"glubina-{index}", daemon=True
        )
        helper.start()
        self._helpers.append(helper)
        self.size += 1
        self._words[driver.TEAM_SIZE // 8] = self.size

    def close(self) -> None:
        """Send the helpers home; programs run on their callers' threads from now on."""
        with self._lock:
            self._closed = True
            helpers, self._helpers = self._helpers, []
            self.size = 1
        deadline = time.monotonic() + 1.0
        while helpers and not native_driver().end(self.address):
            if time.monotonic() > deadline:  # a daemon thread is still running a program
                return
            time.sleep(0.001)
        for helper in helpers:
            helper.join(1.0)

    def reset_after_fork(self) -> None:
        """In a child process: forget the parent's helpers, which are not in it."""
        self._begin()


def _put_on(thread: threading.Thread, cpus: set[int]) -> None:
    if thread.native_id is not None:
        with suppress(OSError):
            os.sched_setaffinity(thread.native_id, cpus)


TEAM = Team()
# Before the interpreter takes its memory and code down, nobody may be running in them.
atexit.register(TEAM.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TEAM.reset_after_fork)


def get_num_threads() -> int:
    """How many threads programs run on."""
    return TEAM.threads


def set_num_threads(threads: int | None) -> None:
    """Set how many threads programs run on (None: one per core that this process may use).

    Results do not depend on it.
    """
    TEAM.choose(threads)
