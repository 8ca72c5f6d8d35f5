"""`glubina explain`: formulas and runs, the files that it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from glubina import nn
from glubina.cli.app import app
from glubina.data import Preprocessing, Rescale, Reshape
from glubina.nn.saving import save_model


def call(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["explain", *arguments])


def output(*arguments: str) -> str:
    """What a command that goes well prints."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def error(*arguments: str) -> str:
    """What a command that fails says."""
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    return result.stderr[7:].strip()


def test_a_formula_with_its_derivatives() -> None:
    text = output("w1**2 * w2**2", "w1=2", "w2=3")
    assert "Q = v1·v2  36     1" in text
    assert "∂Q/∂w1 = ∂Q/∂v1 · ∂v1/∂w1" in text
    assert "  = 9 · 4\n  = 36" in text


def test_a_formula_of_matrices() -> None:
    text = output("0.5*sum((X@W)**2)", "X=[[1,2],[3,4]]", "W=[[0.5],[-1]]")
    assert "∂Q/∂W = Xᵀ δ(v1)" in text
    assert "check at [1, 0]: -13 by the chain rule, -13 by a difference" in text


def test_a_formula_is_written_to_files(tmp_path: Path) -> None:
    assert "written" in output("exp(x)", "x=1", "--output", str(tmp_path / "q.svg"), "--animate")
    assert "<animate" in (tmp_path / "q.svg").read_text(encoding="utf-8")
    output("exp(x)", "x=1", "--output", str(tmp_path))
    assert (tmp_path / "explanation.html").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["import os"], "'import os' is not a formula: invalid syntax"),
        (["x.__class__", "x=1"], "'x.__class__' is not understood: a formula has numbers"),
        (["[x]", "x=1"], "'[x]' is not understood"),
        (["open(x)", "x=1"], "there is no function open; there are abs, cos"),
        (["exp(x, x)", "x=1"], "exp does not take 2 arguments"),
        (["x + y", "x=1"], "y has no value: give it as y=1.5"),
        (["x * 2", "x=one"], "x=one: a value is a number, or a list of numbers"),
        (["x * 2", "x"], "'x': a variable's value is given as name=value"),
        (["2 + 3"], "'2 + 3' has no variables"),
        (["x", "x=1"], "'x' is a variable: there is nothing to explain"),
        (["x @ y", "x=[[1,2]]", "y=[[1,2]]"], "matmul: (1, 2) @ (1, 2) do not fit"),
        (["x * 2", "x=1", "--kernels"], "--kernels is of a run"),
        (["runs/none"], "runs has no value: give it as runs=1.5 (and there is no folder runs/none"),
        (["x * 2", "x=1", "--output", "q.pdf"], "q.pdf: this is written as one of .html, .svg"),
        (["(" * 500 + "x" + ")" * 500, "x=1"], "is not a formula"),
    ],
)
def test_what_is_refused(arguments: list[str], text: str) -> None:
    assert text in error(*arguments)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a small network that was never trained."""
    folder = tmp_path / "run"
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10)
    )
    preprocessing = Preprocessing(Rescale(1 / 16), Reshape((8, 8, 1)))
    save_model(
        network, folder, preprocessing=preprocessing, classes=tuple("0123456789"), recipe="digits"
    )
    (folder / "settings.json").write_text('{"seed": 0}', encoding="utf-8")
    return folder


def test_a_run_on_the_test_sets_first_example(run: Path) -> None:
    text = output(str(run))
    assert "0 Conv2d" in text
    assert "cross_entropy" in text
    assert (run / "explanation.html").exists()
    assert not (run / "explanation.svg").exists()


def test_a_run_on_a_file(run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 64), np.float32))
    text = output(str(run), str(tmp_path / "x.npy"), "--animate", "--depth", "1")
    assert "max" in text
    assert "<animate" in (run / "explanation.svg").read_text(encoding="utf-8")


def test_the_kernels_of_a_run(run: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    text = output(str(run), "--kernels", "--batch-size", "8")
    assert "GFLOP/s" in text
    assert "0 Conv2d backward" in text
    assert "update" in text
    assert "typer" not in text
    page = (run / "kernels.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert (run / "model.safetensors").read_bytes() == before


def test_a_run_without_a_recipe_needs_a_file(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    save_model(nn.Sequential(nn.Linear(2, 1)), folder)
    assert "comes from no recipe: give a file with an example" in error(str(folder))
    assert "its training step is not known" in error(str(folder), "--kernels")
