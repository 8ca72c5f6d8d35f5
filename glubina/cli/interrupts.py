"""What a person is told while a run goes on: warnings as notes, and how to go on after a stop."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer


@contextmanager
def noted() -> Iterator[None]:
    """In the block warnings are notes of one line, without the place in the code."""

    def show(message: Any, *rest: Any) -> None:
        typer.echo(f"note: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@contextmanager
def stoppable(again: str) -> Iterator[None]:
    """A Ctrl-C or a SIGTERM ends the block in order, and the person is told how to go on.

    again: the command that does. While `fit` saves checkpoints it minds the signals itself.
    """

    def terminated(number: int, frame: FrameType | None) -> None:
        print(f"interrupted by SIGTERM. To go on: {again}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminated) if main else None
    try:
        yield
    except KeyboardInterrupt as error:
        if str(error):
            raise
        raise KeyboardInterrupt(f"interrupted. To go on: {again}") from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
