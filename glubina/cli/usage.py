"""Wrong options and commands, told on one line as every other error of the commands is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

# typer hands on one class of the library below it, which is another library in newer versions
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def path(text: str) -> Path:
    """The path that was given; an empty one (of a variable that is not set) is refused."""
    if not text:
        raise typer.BadParameter("it is empty, and a path was expected")
    return Path(text)


class Group(TyperGroup):
    """The commands; what cannot be understood of the arguments is one line, exit code 2."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command that the arguments name."""
        alone = extra.get("standalone_mode", True)
        extra["standalone_mode"] = False
        if not alone:
            return super().main(*args, **extra)
        try:
            code = super().main(*args, **extra)
        except _UsageError as error:
            typer.echo(_told(error), err=True)
            sys.exit(2)
        except typer.Abort:
            typer.echo("interrupted", err=True)
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)


def _told(error: Any) -> str:
    text = error.format_message()
    if "NoArgs" in type(error).__name__:
        return str(text)  # the help, which was asked for by giving nothing
    text = text.strip().rstrip(".").replace(". Did you mean", "; did you mean")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "glubina"
    return f"error: {text[:1].lower()}{text[1:]} (see `{command} --help`)"
