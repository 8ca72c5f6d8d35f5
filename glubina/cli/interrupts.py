"""What a person is told while a run goes on: notes, and how to go on after a stop."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import typer

from glubina.files.errors import reason
from glubina.train.interrupts import SIGNALS, Terminated
from glubina.train.output import Output


@contextmanager
def noted() -> Iterator[None]:
    """In the block warnings are notes of one line, without the place in the code."""

    def show(message: Any, *rest: Any) -> None:
        with suppress(OSError):  # of a note, a run does not end
            typer.echo(f"note: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@contextmanager
def lasting() -> Iterator[None]:
    """In the block the standard output may break off or be full: a note says so, and it goes on."""
    before: Any = sys.stdout

    def told(error: OSError) -> None:
        with suppress(OSError):
            problem = reason(error)
            typer.echo(f"note: the output is lost ({problem}); training goes on", err=True)

    if before is None:
        yield
        return
    output: Any = Output(before, told)
    sys.stdout = output
    try:
        yield
    finally:
        sys.stdout = before
        output.end()


@contextmanager
def stoppable(again: str) -> Iterator[None]:
    """A Ctrl-C, SIGTERM or SIGHUP ends the block in order; the person is told how to go on.

    again: the command that does. While `fit` saves checkpoints it minds the signals itself.
    """
    came: list[int] = []

    def stopped(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    def told() -> BaseException:
        """What ends the command; not the handler says it, which may interrupt a print."""
        if came[-1] == signal.SIGINT:
            return KeyboardInterrupt(f"interrupted. To go on: {again}")
        name = signal.Signals(came[-1]).name
        with suppress(OSError):
            print(f"interrupted by {name}. To go on: {again}", file=sys.stderr, flush=True)
        return SystemExit(128 + came[-1])

    main = threading.current_thread() is threading.main_thread()
    before = {}
    for number in SIGNALS if main else ():
        if signal.getsignal(number) not in (None, signal.SIG_IGN):  # (nohup)
            before[number] = signal.signal(number, stopped)
    try:
        yield
    except Terminated:
        raise  # `fit` has told it
    except KeyboardInterrupt as error:
        if str(error):
            raise
        raise KeyboardInterrupt(f"interrupted. To go on: {again}") from None
    except (Exception, SystemExit):
        # also what a signal raises within another library's compiled code, that may make an error
        # of its own of ("incompatible function arguments")
        if not came:
            raise
        raise told() from None
    finally:
        for number, known in before.items():
            signal.signal(number, known)
