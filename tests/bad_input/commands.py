"""The rows of the table about commands: run in a folder of their own, with a finished run in it."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from typer.testing import CliRunner

from bad_input.table import BEFORE, FILE, HERE, Row, write

RUNNER = CliRunner()


@lru_cache(maxsize=1)
def run_folder() -> Path:
    """A finished run, made once."""
    from glubina.cli.app import app

    folder = Path(tempfile.mkdtemp(prefix="glubina-bad-input-")) / "run"
    options = ["digits", "--epochs", "1", "--quiet", "--output", str(folder)]
    result = RUNNER.invoke(app, ["train", *options])
    assert result.exit_code == 0, result.output
    return folder


def told_by(row: Row) -> str:
    """The exit code and all that the command says of its error."""
    from glubina.cli.app import app

    *lines, command = row.code.splitlines()
    arguments = shlex.split(command.removeprefix("$ glubina"))
    run = run_folder()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(contextlib.chdir(folder))
        if "run" in row.code:
            shutil.copytree(run, "run")

        def patch(name: str, error: Exception) -> None:
            stack.enter_context(mock.patch(name, side_effect=error))

        names: dict[str, Any] = {"patch": patch}
        exec(compile(row.before, BEFORE, "exec"), names)
        exec(compile("\n".join(lines), FILE, "exec"), names)
        result = RUNNER.invoke(app, arguments, env={"COLUMNS": "200"})
        return f"exit {result.exit_code}, {result.stderr.strip()}".replace(folder, "FOLDER")


if __name__ == "__main__":
    write(HERE / "commands.txt", told_by)
    sys.exit(0)
