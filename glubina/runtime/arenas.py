"""Working memory that programs take turns in: no more than what runs at once needs."""

from __future__ import annotations

import os
import threading

from glubina.runtime.buffer import Buffer
from glubina.runtime.limits import require_memory

SHARED = 1 << 16  # programs that need less have memory of their own, which costs no turn
_ASKED = 1 << 20  # memory below this is had without asking how much there is
_KEPT = 2  # free arenas: more are there only while more runs are under way


class Arenas:
    """Arenas that no run is using. A run takes one that is large enough and gives it back.

    The programs of a process (a step, that of the last, smaller mini-batch, an evaluation) run one
    after the other, so one arena serves them all; programs that run at once have one each.
    """

    def __init__(self) -> None:
        self._free: list[Buffer] = []
        self._lock = threading.Lock()

    def take(self, nbytes: int) -> Buffer:
        """An arena of at least so many bytes; MemoryError if there is no memory for it."""
        with self._lock:
            free = self._free
            if free and free[-1].nbytes >= nbytes:
                return free.pop()
            for number, arena in enumerate(free):
                if arena.nbytes >= nbytes:
                    return free.pop(number)
            free.clear()  # the larger one takes their place
        return made(nbytes)

    def give(self, arena: Buffer) -> None:
        """Take an arena back."""
        with self._lock:
            self._free.append(arena)
            if len(self._free) > _KEPT:
                self._free.remove(min(self._free, key=lambda free: free.nbytes))

    def clear(self) -> None:
        """Give the free arenas back to the system."""
        with self._lock:
            self._free.clear()

    def free_bytes(self) -> int:
        """The size of the largest free arena."""
        with self._lock:
            return max((arena.nbytes for arena in self._free), default=0)

    def reset_after_fork(self) -> None:
        """In a child process: free the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()


def made(nbytes: int) -> Buffer:
    """New working memory; MemoryError with the numbers if it cannot be had."""
    if nbytes > _ASKED:
        require_memory(nbytes, "the program's working memory")
    return Buffer(nbytes)


ARENAS = Arenas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ARENAS.reset_after_fork)
