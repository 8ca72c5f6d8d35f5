"""The run folder: written before anything is lost, read back exactly, damage named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glubina.files import DamagedFileError, FileError
from glubina.train import History, ModelFile, RunFolder

MODEL = ModelFile(
    {"class": "Linear", "arguments": {"in_features": 2, "out_features": 2}},
    [{"type": "Rescale", "arguments": {"scale": 0.1, "offset": 0.0}}],
    ("нет", "да"),
    "digits",
)
WEIGHTS = {"weight": np.ones((2, 2), np.float32)}


def saved(path: Path) -> RunFolder:
    folder = RunFolder.create(path, "digits")
    folder.save_model(MODEL, WEIGHTS)
    return folder


def test_a_model_goes_there_and_back(tmp_path: Path) -> None:
    saved(tmp_path / "run")
    model, weights = RunFolder.open(tmp_path / "run").load_model()
    assert model == MODEL
    np.testing.assert_array_equal(weights["weight"], WEIGHTS["weight"])


def test_results_are_plain_json(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "digits")
    history = History()
    history.append(1, {"loss": 0.5})
    figures = {"loss": np.float32(0.5), "matrix": np.eye(2, dtype=np.int64), "bad": float("nan")}
    folder.save_settings({"seed": 1})
    folder.save_results(history, figures)
    assert json.loads(folder.metrics.read_text()) == {
        "loss": 0.5,
        "matrix": [[1, 0], [0, 1]],
        "bad": None,
    }
    assert folder.history.read_text() == "epoch,loss\n1,0.5\n"


def test_folders_by_time_never_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flushed: list[Path] = []
    monkeypatch.setattr("glubina.train.run_folder.flush_folder", flushed.append)
    folders = [RunFolder.create(None, "fashion-mnist") for _ in range(3)]
    assert flushed == [Path("runs")] * 3
    assert len({folder.path for folder in folders}) == 3
    assert all(folder.path.parent == Path("runs") for folder in folders)
    assert folders[0].path.name.endswith("-fashion-mnist")


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="is a file"):
        RunFolder.create(tmp_path / "file", "digits")


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no run folder"):
        RunFolder.open(tmp_path / "nothing")
    with pytest.raises(FileError, match=r"not a finished run: model\.json is missing"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not a file of the format 'glubina model'"),
        (
            {"version": 99},
            r"version 99 .* reads up to version 1\. Install glubina 0\.1\.0",
        ),
        ({"architecture": []}, "its 'architecture' is missing"),
        ({"classes": None}, "its 'classes' is missing"),
    ],
)
def test_a_foreign_or_damaged_model_file(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = saved(tmp_path / "run")
    content = json.loads(folder.model.read_text(encoding="utf-8"))
    folder.model.write_text(json.dumps(content | change))
    with pytest.raises(FileError, match=message):
        folder.load_model()


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "run")
    folder.weights.write_bytes(folder.weights.read_bytes()[:-3])
    with pytest.raises(DamagedFileError, match=r"model\.safetensors"):
        folder.load_model()
