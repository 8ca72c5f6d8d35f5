"""The table of bad input: what a person wrote, and the error that they get, in files of text.

Each row is `# what is wrong`, the person's lines, and `=> line n, Error: text`: the last of their
lines in the traceback that they see, the error's class and its whole text ("..." stands for
anything). The lines before the first row (in model.py) belong to all of them. In the file of
commands the person's lines are arguments, and what is expected is the exit code and the text.

`python -m bad_input.table FILE...` (in tests/) writes the errors as they are now into the files.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glubina.graph.tracebacks import visible

HERE = Path(__file__).resolve().parent
FILE, BEFORE = "your.py", "model.py"


@dataclass(frozen=True)
class Row:
    """One way to go wrong."""

    file: str
    name: str
    before: str
    code: str
    expected: str


def rows_of(file: Path) -> list[Row]:
    """The rows of a file."""
    before, *parts = re.split(r"^# ", file.read_text(), flags=re.MULTILINE)
    rows = []
    for part in parts:
        name, _, body = part.partition("\n")
        code, _, expected = body.partition("=> ")
        rows.append(Row(file.stem, name, before, code.strip("\n"), expected.strip("\n")))
    return rows


def all_rows(*kinds: str) -> list[Row]:
    """The rows of the files of these names."""
    return [row for kind in kinds for row in rows_of(HERE / f"{kind}.txt")]


def error_of(row: Row) -> BaseException | None:
    """What the row's lines raise, run as a program of their own in an empty folder."""
    import glubina as gl

    names: dict[str, Any] = {"__name__": "your"}
    gl.manual_seed(0)
    with _first_names(), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(compile(row.before, BEFORE, "exec"), names)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(row.code, FILE, "exec"), names)
        except Exception as error:
            told = f"{type(error).__name__}: {error}".replace(folder, "FOLDER")
            error.__dict__["told"] = f"line {line_of(error)}, {told}"
            return error
    return None


@contextlib.contextmanager
def _first_names() -> Iterator[None]:
    """In the block Keras's layers get the names that they have in a program of their own."""
    from glubina.keras import backend

    before = dict(backend._counts)
    backend.clear_session()
    try:
        yield
    finally:
        backend._counts.update(before)


def line_of(error: BaseException) -> int:
    """The last of the person's lines in the traceback that is shown to them."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(visible(error.__traceback__))
        if frame.filename == FILE
    ]
    return lines[-1] or 0


def fits(text: str, expected: str) -> bool:
    """Whether a text is as expected, "..." standing for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, text, flags=re.DOTALL) is not None


def told_by(row: Row) -> str:
    """What a person is told, after the line; "nothing" if nothing is refused."""
    error = error_of(row)
    return "nothing" if error is None else str(error.__dict__["told"])


def write(file: Path, told: Callable[[Row], str] = told_by) -> None:
    """Write what each row gives now into its file, where it does not fit what is there."""
    rows = rows_of(file)
    parts = [rows[0].before.strip("\n") + "\n"]
    for row in rows:
        found = told(row)
        expected = row.expected if row.expected and fits(found, row.expected) else found
        parts.append(f"# {row.name}\n{row.code}\n=> {expected}\n")
    file.write_text("\n".join(parts))


if __name__ == "__main__":
    os.environ.setdefault("GLUBINA_VERIFY", "1")
    for name in sys.argv[1:]:
        write(Path(name))
