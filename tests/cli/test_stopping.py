"""Signals end a command in order, wherever they come."""

from __future__ import annotations

import os
import signal

import pytest

from glubina.cli.interrupts import stoppable


def swallow(number: int) -> None:
    """What compiled code of another library makes of an exception that a signal raises in it."""
    try:
        os.kill(os.getpid(), number)
        for _ in range(1000):
            pass
    except BaseException:
        raise TypeError("incompatible function arguments") from None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_another_library_makes_an_error_of(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    known = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, stoppable("glubina train again"):
        swallow(number)
    assert ended.value.code == 128 + number
    assert "To go on: glubina train again" in capfd.readouterr().err
    assert signal.getsignal(number) == known


def test_ctrl_c_that_another_library_makes_an_error_of() -> None:
    text = r"^interrupted\. To go on: again$"
    with pytest.raises(KeyboardInterrupt, match=text), stoppable("again"):
        swallow(signal.SIGINT)


def test_an_error_without_a_signal_is_itself() -> None:
    with pytest.raises(TypeError, match="of its own"), stoppable("again"):
        raise TypeError("of its own")
