"""What holds in the running thread: whether operations record derivatives, what is watched."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from glubina.tensor.anomaly import Detector
    from glubina.tensor.trace import Trace

P = ParamSpec("P")
R = TypeVar("R")


class _Mode(threading.local):
    grad: bool = True
    trace: Trace | None = None
    detector: Detector | None = None


mode = _Mode()


class _GradMode:
    """Sets the recording of derivatives for a `with` block or for the calls of a function."""

    enabled = True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.grad)
        mode.grad = self.enabled

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        mode.grad = self._before.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with type(self)():
                return function(*args, **kwargs)

        return inside


class no_grad(_GradMode):
    """Context manager and decorator: inside, results do not require gradients.

    >>> with gl.no_grad():
    ...     weight.sub_(0.1 * weight.grad)
    """

    enabled = False


class enable_grad(_GradMode):
    """Context manager and decorator: derivatives are recorded again inside a `no_grad`."""

    enabled = True


def is_grad_enabled() -> bool:
    """Whether operations record derivatives now."""
    return mode.grad
