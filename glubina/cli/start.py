"""Ctrl-C before the command begins and after it has ended: the process ends without a trace."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def awake() -> Iterator[None]:
    """In the block Ctrl-C is Python's KeyboardInterrupt.

    `glubina/_command.py` has it end the process outright while the command is still imported;
    after the block, while Python takes itself down, it does so again.
    """
    asleep = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    if asleep:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if asleep:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
