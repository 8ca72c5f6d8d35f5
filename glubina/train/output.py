"""A stream that people read: when it breaks off or is full, what writes to it goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO


class Output:
    """A text stream whose errors end nothing: what cannot be written is lost.

    Hours of training must not end because `| head` has seen enough, or because the disk with the
    log is full. stream: where the text goes. told: called with the first error.
    """

    def __init__(self, stream: TextIO, told: Callable[[OSError], None] | None = None) -> None:
        self._stream = stream
        self._told = told

    def write(self, text: str) -> int:
        """Write what can be written; the number of characters given."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._lost(error)
        except ValueError:  # it is closed
            pass
        return len(text)

    def flush(self) -> None:
        """Hand on what can be handed on."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lost(error)
        except ValueError:
            pass

    def end(self) -> None:
        """The last flush: what cannot be handed on now is let go, or Python would try again."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lost(error)
            self._let_go()
        except ValueError:
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lost(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:  # nobody reads it, ever
            self._let_go()
        told, self._told = self._told, None
        if told is not None:
            told(error)

    def _let_go(self) -> None:
        """From now on the stream, and what is still in it, goes nowhere."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)
