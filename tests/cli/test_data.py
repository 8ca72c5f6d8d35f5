"""`glubina data`: the report in the terminal, as JSON and in a folder; refusals in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from glubina.cli.app import app

RUNNER = CliRunner()


def call(*arguments: object) -> Any:
    return RUNNER.invoke(app, ["data", *(str(argument) for argument in arguments)])


def test_digits_in_the_terminal() -> None:
    result = call("digits")
    assert result.exit_code == 0, result.output
    assert "1,797" in result.output
    assert "8 x 8" in result.output
    assert "Nothing stands out" in result.output


def test_a_folder_with_the_report(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = call("digits", "--output", tmp_path / "report")
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "report" / "report.json").read_text())
    assert made["parts"]["all"]["examples"] == 1797
    assert (tmp_path / "report" / "examples.png").read_bytes()[:4] == b"\x89PNG"
    again = json.loads(call("digits", "--json").stdout)
    assert again == made


def test_without_matplotlib_there_is_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = call("digits", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert "pip install 'glubina[plots]'" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_table(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("kind,[a],b\nx,1,5\ny,,5\nx,3,5\nx,1,5\n")
    result = call(file, "--target", "kind", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "[a]" in result.output  # a name of the user's is not taken for a style
    for text in ("1 missing values", "nothing can be learnt from them: b", "1 examples occur"):
        assert text in result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]
    assert call(file, "--target", "none").exit_code == 0
    columns = json.loads(call(file, "--target", 0, "--json").stdout)["columns"]
    assert [column["name"] for column in columns] == ["[a]", "b"]


def test_images_without_labels(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((9, 6, 6, 3)))
    result = call(tmp_path / "x.npy", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "channel 2" in result.output
    assert (tmp_path / "out" / "examples.png").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "there is no data set"), ("a,b\n1\n", "row 2 has 1 columns"), ("", "is empty")],
)
def test_refusals(tmp_path: Path, content: str | None, text: str) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_text(content)
    result = call(tmp_path / "t.csv")
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert text in line
