"""What a person sees of an error: the lines of their own program, then what is wrong.

The library's own lines are left out of the traceback that Python prints, unless GLUBINA_DEBUG
contains `trace`, or the error is one that says that the library itself is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# these say that the library is wrong, and not what it was given
_INTERNAL = (AssertionError, RecursionError)
_INTERNAL_NAMES = frozenset(("CompileError", "LoadError", "PlanError", "ProgramError"))


def wanted_whole() -> bool:
    """Whether GLUBINA_DEBUG asks for the whole trace."""
    return "trace" in os.environ.get("GLUBINA_DEBUG", "").replace(" ", "").split(",")


@lru_cache(maxsize=1)
def _others() -> tuple[str, ...]:
    """The folders of Python and of installed packages: what we call in them is no user's line."""
    import sysconfig

    paths = sysconfig.get_paths()
    return (*(paths[name] for name in ("stdlib", "purelib", "platlib")), "<frozen")


def is_ours(file: str) -> bool:
    """Whether a file belongs to the library."""
    return file.startswith(_OWN)


def is_internal(error: BaseException) -> bool:
    """Whether the error speaks of the library itself, so that its lines are of interest."""
    kind = type(error)
    known = kind.__name__ in _INTERNAL_NAMES and kind.__module__.startswith("glubina")
    return known or (isinstance(error, _INTERNAL) and is_ours(_last_file(error)))


def visible(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the library's lines, and without those of others that it called."""
    shown: list[TracebackType] = []
    inside = False
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_ours(file):
            inside = True
        elif not (inside and file.startswith(_others())):
            inside = False
            shown.append(trace)
        trace = trace.tb_next
    last: TracebackType | None = None
    for part in reversed(shown):
        last = TracebackType(last, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return last


def told(error: BaseException) -> str:
    """The error as Python prints it, without the library's lines."""
    import traceback  # only now that something has gone wrong

    trace = visible(error.__traceback__)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = ""
    if cause is not None and visible(cause.__traceback__) is not None:
        before = told(cause)
        direct = error.__cause__ is not None
        before += (
            "\nThe above exception was the direct cause of the following exception:\n\n"
            if direct
            else "\nDuring handling of the above exception, another exception occurred:\n\n"
        )
    lines = traceback.format_exception(type(error), error, trace, chain=False)
    return before + "".join(lines)


def concerns(error: BaseException) -> bool:
    """Whether the library's lines are in the error's traceback, and are to be left out of it."""
    if wanted_whole() or is_internal(error):
        return False
    trace = error.__traceback__
    while trace is not None:
        if is_ours(trace.tb_frame.f_code.co_filename):
            return visible(error.__traceback__) is not None
        trace = trace.tb_next
    return False


def _last_file(error: BaseException) -> str:
    file = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
    return file


# -- where Python asks how an error is shown ------------------------------------------------------


def install() -> None:
    """Show uncaught errors so from now on, unless somebody else shows them already."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _hook  # (a module that is loaded anew finds the old one's, and keeps it)
    try:
        shell = get_ipython()  # type: ignore[name-defined]
    except NameError:
        return
    if not getattr(shell, "custom_exceptions", ()):
        shell.set_custom_exc((Exception,), _in_notebook)


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    show: Callable[..., Any] = sys.__excepthook__
    try:
        if concerns(error):
            sys.stderr.write(told(error))
            return
    except Exception:  # of an error nothing may be lost because of how it is shown
        pass
    show(kind, error, trace)


def _in_notebook(
    shell: Any, kind: Any, error: BaseException, trace: Any, tb_offset: Any = None
) -> None:
    shown = visible(trace) if concerns(error) else trace
    shell.showtraceback((kind, error, shown), tb_offset=tb_offset)
