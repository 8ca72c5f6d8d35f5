"""The one lock of the engine above the programs: who makes or changes what threads share, holds it.

Values that wait to be worked out may be shared between threads (the first weights of a network
that several threads use), and a recording changes a network for as long as it lasts. Running what
was recorded needs no lock, unless it changes state of its own.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Protocol

work = threading.RLock()
"""Held while pending values are worked out and while a function is recorded. Read it through the
module: a child process has another one."""


class Holder(Protocol):
    """What has a lock of its own."""

    lock: Any


_holders: weakref.WeakSet[Any] = weakref.WeakSet()


def give_lock(holder: Holder) -> None:
    """Give an object its `lock`, and in a child process another: there nobody would free it."""
    holder.lock = threading.RLock()
    _holders.add(holder)


def _after_fork() -> None:
    global work
    work = threading.RLock()
    for holder in list(_holders):
        holder.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
