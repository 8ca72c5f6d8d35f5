"""Every row of the table gives its error; a person sees their own lines of the traceback only."""

from __future__ import annotations

import pytest

from bad_input import commands
from bad_input.table import FILE, Row, all_rows, error_of, fits
from glubina.cli.app import app
from glubina.data import DataError
from glubina.graph.tracebacks import is_ours, visible

KINDS = (
    *("tensors", "layers", "losses", "optimisers", "fitting", "files"),
    *("programs", "keras", "torch"),
)
ROWS = all_rows(*KINDS)
COMMANDS = all_rows("commands")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.file}: {row.name}")
def test_a_person_is_told(row: Row) -> None:
    error = error_of(row)
    assert error is not None, "nothing is refused"
    told = str(error.__dict__["told"])
    assert fits(told, row.expected), f"\n  came:     {told}\n  expected: {row.expected}"
    trace = visible(error.__traceback__)
    files = []
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    assert FILE in files
    assert not any(is_ours(file) for file in files)


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_a_command_tells_a_person(row: Row) -> None:
    told = commands.told_by(row)
    assert fits(told, row.expected), f"\n  came:     {told}\n  expected: {row.expected}"
    code, _, text = told.partition(", ")
    assert code in ("exit 1", "exit 2")
    assert text.startswith("error: ")
    assert len(text.splitlines()) == 1
    assert "Traceback" not in text


def test_a_command_shows_where_it_failed_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUBINA_DEBUG", "")
    result = commands.RUNNER.invoke(app, ["--debug", "data", "nowhere"])
    assert isinstance(result.exception, DataError)


def test_the_table_is_long_and_has_no_row_twice() -> None:
    names = [(row.file, row.name) for row in ROWS]
    assert len(set(names)) == len(names)
    assert len(names) >= 200
