"""Ctrl-C, SIGTERM, SIGHUP in training: noted, so that the step can be finished and saved."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

# SIGHUP: the terminal was closed, or the connection to it is lost
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
SIGNALS = (signal.SIGINT, *ENDING)


class Interrupted(KeyboardInterrupt):
    """Training was ended by Ctrl-C after the step was finished and saved; the text says where."""


class Terminated(SystemExit):
    """Training was ended by SIGTERM or SIGHUP, the step finished and saved: exit code 143, 129."""


class Signals:
    """The signal that came while this listened, or None."""

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._before: dict[int, Any] = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        """The first one is noted; at the second there is no waiting."""
        if self.caught is None:
            self.caught = signal.Signals(number)
            return
        self._restore()
        signal.raise_signal(number)

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def leave(self, text: str) -> NoReturn:
        """End the training for the signal: KeyboardInterrupt, or an exit with code 128 + number."""
        if self.caught is not None and self.caught in ENDING:
            with suppress(OSError):  # nobody may be there to read it
                print(text, file=sys.stderr, flush=True)
            raise Terminated(128 + self.caught)
        raise Interrupted(text)

    @contextmanager
    def listening(self) -> Iterator[Signals]:
        """In the block signals are noted; those that are ignored stay so.

        One that came too late to be minded in the block is raised at its end. Only the main thread
        can listen; in another one nothing is changed.
        """
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                known = signal.getsignal(number)
                if known is not None and known != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        try:
            yield self
        finally:
            self._restore()
        if self.caught is not None:
            signal.raise_signal(self.caught)
