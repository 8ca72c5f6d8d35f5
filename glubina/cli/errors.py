"""Errors that a person can mend, told in a line instead of a traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

from glubina.graph.tracebacks import wanted_whole

P = ParamSpec("P")


class CommandError(Exception):
    """Something in what the command was given; the message is for the person."""


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """The command, its errors on one line: exit code 2 for input, data and files, 1 for others."""

    @functools.wraps(command)
    def inside(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as error:
            typer.echo(str(error) or "interrupted", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # nobody reads on, as after `| head`: the command ends silently
            raise
        except Exception as error:
            if wanted_whole():
                raise
            text, code = _told(error)
            typer.echo(f"error: {text}", err=True)
            raise typer.Exit(code) from None

    return inside


def _told(error: Exception) -> tuple[str, int]:
    """What a person reads of an error, and the exit code: 2 for what was given, 1 for the rest."""
    # Imported here, where something has gone wrong already: a command starts without them.
    if isinstance(error, _expected()):
        return str(error), 2
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{(error.strerror or str(error)).lower()}", 1
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}", 1
    return (
        f"{type(error).__name__}: {error} (this should not happen: `glubina --debug ...` shows "
        "where it does; please report it)"
    ), 1


def _expected() -> tuple[type[Exception], ...]:
    """The errors that say themselves what a person has to do."""
    from glubina.data import DataError
    from glubina.files import FileError
    from glubina.graph import GraphError
    from glubina.nn.errors import ArchitectureError, StateError
    from glubina.recipes import UnknownRecipeError
    from glubina.tensor.errors import AnomalyError
    from glubina.train import MissingExtraError

    return (
        CommandError,
        AnomalyError,
        GraphError,
        DataError,
        FileError,
        UnknownRecipeError,
        MissingExtraError,
        ArchitectureError,
        StateError,
    )
