"""Errors that a person can mend, told in a line instead of a traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

P = ParamSpec("P")


class CommandError(Exception):
    """Something in what the command was given; the message is for the person."""


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """The command, with errors of input, data and files on one line and exit code 2."""

    @functools.wraps(command)
    def inside(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as error:
            typer.echo(str(error) or "interrupted", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            # Imported here, where something has gone wrong already: a command starts without them.
            if not isinstance(error, _expected()):
                raise
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None

    return inside


def _expected() -> tuple[type[Exception], ...]:
    """The errors that say themselves what a person has to do."""
    from glubina.data import DataError
    from glubina.files import FileError
    from glubina.nn.errors import ArchitectureError, StateError
    from glubina.recipes import UnknownRecipeError
    from glubina.train import MissingExtraError

    return (
        CommandError,
        DataError,
        FileError,
        UnknownRecipeError,
        MissingExtraError,
        ArchitectureError,
        StateError,
    )
