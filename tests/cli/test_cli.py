"""The command line: a run from training to prediction, and every refusal on one line."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from glubina.cli.app import app
from glubina.data import digits
from glubina.files import read_tensors

RUNNER = CliRunner()


def call(*arguments: object) -> Any:
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """The one line of a refusal: exit code 2, no traceback."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return str(line)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the default recipe."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    result = call("train", "--epochs", 2, "--seed", 3, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    assert "Test accuracy" in result.output
    assert "macro F1" in result.output
    assert "Confusion: rows are the true classes" in result.output
    return folder


def test_a_run_leaves_everything(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {
        "model.safetensors", "model.json", "settings.json", "history.csv", "metrics.json",
    } <= names  # fmt: skip
    assert "checkpoint.safetensors" not in names
    settings = json.loads((run / "settings.json").read_text())
    assert (settings["recipe"], settings["epochs"], settings["seed"]) == ("digits", 2, 3)
    figures = json.loads((run / "metrics.json").read_text())
    assert figures["examples"] == 359
    assert figures["accuracy"] > 0.5
    assert np.trace(figures["confusion"]) == round(359 * figures["accuracy"])
    lines = (run / "history.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,loss,accuracy,val_loss,val_accuracy")
    assert len(lines) == 3


def test_an_interrupted_run_leaves_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Any, epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("glubina.cli.train.SHARE", 1e9)
    with monkeypatch.context() as patch:
        patch.setattr("glubina.train.ProgressBar.on_epoch_end", stop)
        result = call("train", "digits", "--epochs", 4, "--output", tmp_path)
    assert result.exit_code == 130
    assert f"interrupted. To go on: glubina train digits --resume {tmp_path}" in result.stderr
    (path,) = (tmp_path / "checkpoints").iterdir()
    assert path.name == "epoch-000002-step-00000000.safetensors"
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3
    assert not (tmp_path / "model.json").exists()
    assert "--resume' goes on with it" in refused("evaluate", tmp_path)
    assert f"go on with --resume {tmp_path}" in refused("train", "digits", "--output", tmp_path)
    result = call("train", "--resume", tmp_path, "--quiet")
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "checkpoints").exists()
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 5


def test_the_pictures(run: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("curves.png", "confusion.png"):
        assert (run / name).read_bytes()[:4] == b"\x89PNG"


def test_without_matplotlib_the_run_is_complete_but_for_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = call("train", "--epochs", 1, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    assert "pip install 'glubina[plots]'" in result.stderr
    assert (tmp_path / "run" / "metrics.json").exists()
    assert not (tmp_path / "run" / "curves.png").exists()


def test_evaluate_gives_the_same_figures(run: Path) -> None:
    result = call("evaluate", run)
    assert result.exit_code == 0, result.output
    assert "The figures are those in" in result.output
    result = call("evaluate", run, "--json", "--threads", 1)
    assert json.loads(result.stdout) == json.loads((run / "metrics.json").read_text())


def test_an_outside_script_gives_the_same_figures(run: Path) -> None:
    """The network in NumPy, from the weights file alone."""
    w = read_tensors(run / "model.safetensors")
    rows = json.loads((run / "settings.json").read_text())["test_rows"]
    x, y = digits()
    z = x[rows][..., None] / np.float32(16)
    for layer in ("0", "2"):
        padded = np.pad(z, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        z = np.einsum("nyxckl,klco->nyxo", windows, w[f"{layer}.weight"]) + w[f"{layer}.bias"]
        z = np.maximum(z, 0)
    z = z.reshape(-1, 4, 2, 4, 2, 32).max(axis=(2, 4)).reshape(len(z), -1)
    z = np.maximum(z @ w["7.weight"].T + w["7.bias"], 0)
    z = z @ w["10.weight"].T + w["10.bias"]
    figures = json.loads((run / "metrics.json").read_text())
    assert (z.argmax(axis=1) == y[rows]).mean() == figures["accuracy"]
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), y[rows]]
    assert losses.mean() == pytest.approx(figures["loss"], rel=1e-4)


def test_the_same_seed_gives_the_same_weights(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    options = ("--epochs", 2, "--seed", 3, "--threads", 1, "--quiet")
    assert call("train", "digits", *options, "--output", again).exit_code == 0
    first = read_tensors(run / "model.safetensors")
    for name, value in read_tensors(again / "model.safetensors").items():
        np.testing.assert_array_equal(value, first[name])


def test_augmentation_and_averaged_weights(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ("--epochs", 2, "--augment", "shift:1,erase:0.2", "--ema", 0.9, "--quiet")
    result = call("train", "digits", *options, "--output", folder)
    assert result.exit_code == 0, result.output
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["augment"], settings["ema"]) == ("shift:1,erase:0.2", 0.9)
    result = call("evaluate", folder)
    assert "The figures are those in" in result.output


def test_what_went_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glubina.cli import train
    from glubina.explain import Diagnosis

    trouble = Diagnosis("overfitting", "", 1, "the validation loss rises", "stop there")
    monkeypatch.setattr(train, "diagnose", lambda history, records: [trouble])
    result = call("train", "digits", "--epochs", 1, "--quiet", "--output", tmp_path / "run")
    assert result.exit_code == 0
    assert "note: overfitting: the validation loss rises; stop there" in result.stderr


def test_find_rate(tmp_path: Path) -> None:
    result = call("train", "--find-rate", "--output", tmp_path / "rates")
    assert result.exit_code == 0, result.output
    assert "Try --learning-rate" in result.output
    lines = (tmp_path / "rates" / "rates.csv").read_text().splitlines()
    assert lines[0] == "rate,loss,smoothed"
    assert 20 < len(lines) <= 101
    assert not (tmp_path / "rates" / "model.json").exists()


def test_predict(run: Path, tmp_path: Path) -> None:
    x, y = digits()
    np.savez(tmp_path / "some.npz", x=x[:50], y=y[:50])
    np.save(tmp_path / "one.npy", x[0])
    np.savetxt(tmp_path / "flat.csv", x[:3].reshape(3, -1), delimiter=",", fmt="%d")
    result = call(
        "predict", run, tmp_path / "some.npz", tmp_path / "one.npy", tmp_path / "flat.csv"
    )
    assert result.exit_code == 0, result.output
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(rows) == 54
    assert np.mean([int(row[1]) == label for row, label in zip(rows, y)]) > 0.5
    assert rows[0][0] == f"{tmp_path / 'some.npz'}:0"
    assert rows[50] == [str(tmp_path / "one.npy"), *rows[0][1:]]
    assert [row[1:] for row in rows[51:]] == [row[1:] for row in rows[:3]]


def test_predict_an_image(run: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    x, _ = digits()
    pixels = np.kron(x[0], np.ones((4, 4))) * 255 / 16
    image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "light.png")
    image.fromarray((255 - pixels).astype(np.uint8)).save(tmp_path / "dark.png")
    light = call("predict", run, tmp_path / "light.png")
    dark = call("predict", run, tmp_path / "dark.png", "--invert")
    assert light.exit_code == dark.exit_code == 0
    assert light.stdout.split("\t")[1] == dark.stdout.split("\t")[1]
    (tmp_path / "broken.png").write_bytes((tmp_path / "light.png").read_bytes()[:40])
    assert "broken.png" in refused("predict", run, tmp_path / "broken.png")


def test_the_package_is_the_command() -> None:
    import subprocess
    import sys

    result = subprocess.run(
        [sys.executable, "-m", "glubina", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("glubina ")


def test_recipes_and_version() -> None:
    assert "fashion-mnist" in call("recipes").output
    assert call("--version").output.startswith("glubina ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "digit"), "unknown recipe 'digit'. Did you mean 'digits'?"),
        (("train", "xyz"), "Recipes: digits, fashion-mnist"),
        (("train", "--learning-rate", "-1"), "--learning-rate must be greater than 0"),
        (("train", "--ema", "1"), "--ema must be from 0 to below 1, got 1.0"),
        (("train", "--augment", "flip,crp:2"), "unknown augmentation 'crp'. Did you mean 'crop'?"),
        (("train", "--augment", "shift:x"), "augmentation 'shift:x': 'x' is not a number"),
        (("evaluate", "/nowhere/at/all"), "there is no run folder"),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in refused("train", "--output", tmp_path / "file")
    assert "cannot be written" in refused("train", "--output", tmp_path / "file" / "run")


def test_a_finished_run_is_not_lost(run: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    assert "--overwrite" in refused("train", "--epochs", 1, "--output", run)
    assert (run / "model.safetensors").read_bytes() == before


def copy_of(run: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("model.safetensors", "model.json", "settings.json", "metrics.json"):
        (folder / name).write_bytes((run / name).read_bytes())
    return folder


def test_damaged_files_are_named(run: Path, tmp_path: Path) -> None:
    cut = copy_of(run, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-100])
    assert "model.safetensors: is damaged" in refused("evaluate", cut)
    other = copy_of(run, tmp_path / "other")
    text = (run / "model.json").read_text()
    (other / "model.json").write_text(text.replace('"Linear"', '"os.system"'))
    assert "model.json" in refused("evaluate", other)
    (other / "model.json").write_text(text.replace('"out_features": 64', '"out_features": 65'))
    assert "model.safetensors: does not fit model.json" in refused("predict", other, "x.npy")
    (other / "model.json").write_text(text[:-50])
    assert "model.json: is damaged" in refused("evaluate", other)


def test_files_that_cannot_be_predicted(run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((3, 9, 9)))
    line = refused("predict", run, tmp_path / "wide.npy")
    assert "wide.npy" in line
    assert "(8, 8, 1)" in line
    np.save(tmp_path / "nan.npy", np.full((2, 8, 8), np.nan))
    assert "contains nan in row 0" in refused("predict", run, tmp_path / "nan.npy")
    assert "nothing.npy: cannot be read" in refused("predict", run, tmp_path / "nothing.npy")
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    assert "holds the arrays a, b" in refused("predict", run, tmp_path / "two.npz")


def test_a_set_cut_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    name = "train-images-idx3-ubyte"
    (folder / name).write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, 100, 28, 28) + bytes(500))
    monkeypatch.setenv("GLUBINA_DATA", str(tmp_path))
    line = refused("train", "fashion-mnist", "--output", tmp_path / "run")
    assert f"{name}: is damaged or was cut short" in line
