"""Files of each format, as they were once written: they are read, with the values of then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import golden_files
import numpy as np
import pytest

import glubina as gl
from glubina import keras, torch
from glubina.data import load_csv, load_npy, load_npz, read_idx
from glubina.data.cifar import read_cifar
from glubina.data.picture_files import read_picture
from glubina.files import read_json, read_tensors
from glubina.files.tensors import encode_tensors
from glubina.nn.saving import load_model
from glubina.runtime.cache import Cache
from glubina.train import RunFolder
from glubina.train.checkpoint_file import read_checkpoint

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FOREIGN = GOLDEN / "foreign"
X = golden_files.X


@pytest.fixture(params=["first", "now"])
def folder(request: pytest.FixtureRequest) -> Path:
    """The files of the first versions of the library, and those of today's formats."""
    return GOLDEN / str(request.param)


def state(model: Any) -> dict[str, Any]:
    return {name: value.numpy().tolist() for name, value in model.state_dict().items()}


def test_today_s_writers_make_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("documents", "tensors"):  # a new version of the library changes no format
        monkeypatch.setattr(f"glubina.files.{module}.library_version", lambda: "0.1.0")
    golden_files.write(tmp_path)
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    kept = sorted(p.relative_to(GOLDEN / "now") for p in (GOLDEN / "now").rglob("*") if p.is_file())
    assert made == kept
    for path in made:
        assert (tmp_path / path).read_bytes() == (GOLDEN / "now" / path).read_bytes(), path


def test_a_network(folder: Path) -> None:
    saved = load_model(folder / "run")
    assert saved.classes == ("a", "б")
    assert saved.recipe == "r"
    assert state(saved.model) == state(golden_files.network())
    expected = golden_files.preprocessing().transform(X)
    np.testing.assert_array_equal(saved.preprocessing.transform(X), expected)


def test_a_run_s_files(folder: Path) -> None:
    run = RunFolder(folder / "run")
    assert run.read_seed() == 3
    assert run.read_settings()["rate"] == 0.1
    assert read_json(run.metrics) == {"accuracy": 0.5, "confusion": [[1, 0], [0, 1]]}
    lines = run.history.read_text().splitlines()
    assert lines == ["epoch,loss,accuracy,val_loss", "1,0.5,0.25,nan", "2,0.125,nan,nan"]


def test_a_checkpoint() -> None:
    found = read_checkpoint(GOLDEN / "now" / "checkpoint.safetensors")
    expected = golden_files.STATE
    assert found["position"] == expected["position"]
    assert found["tuple"] == expected["tuple"]
    assert np.isnan(found["settings"]["nan"])
    for name, array in expected["model"].items():
        assert found["model"][name].dtype == array.dtype
        np.testing.assert_array_equal(found["model"][name], array)


def test_a_keras_model(folder: Path) -> None:
    model, expected = keras.models.load_model(folder / "keras"), golden_files.keras_model()
    assert state(model) == state(expected)
    assert model.optimizer.learning_rate == expected.optimizer.learning_rate
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected.predict(X, verbose=0))
    model.load_weights(folder / "keras.weights.safetensors")
    assert state(model) == state(expected)


def test_what_torch_saves(folder: Path) -> None:
    found = torch.load(folder / "torch.pt")
    np.testing.assert_array_equal(found["w"].numpy(), X)
    assert found["n"] == [1, (2.5, None)]
    np.testing.assert_array_equal(torch.load(folder / "tensor.pt").numpy(), X)


def test_compiled_code(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "now" / "cache", tmp_path / "cache")
    for path in (tmp_path / "cache").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)  # whatever the checkout's umask was
    (tmp_path / "cache").chmod(0o700)
    cache = Cache(tmp_path / "cache", "golden")
    assert cache.read("kernel", "a kernel") == b"object code"
    assert cache.read_plan("a program") == (golden_files.PLAN, b"object code")


def test_idx_files() -> None:
    expected = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    for name in ("bytes.idx", "bytes.idx.gz"):
        np.testing.assert_array_equal(read_idx(FOREIGN / name), expected)
    assert read_idx(FOREIGN / "floats.idx").tolist() == [0.5, -2]


def test_numpy_s_files() -> None:
    expected = np.arange(12).reshape(2, 2, 3)
    array = load_npy(FOREIGN / "array.npy")
    assert array.dtype == np.dtype(">i2")
    np.testing.assert_array_equal(array, expected)
    archive = load_npz(FOREIGN / "arrays.npz")
    np.testing.assert_array_equal(archive["x"], expected)
    assert archive["y"].tolist() == [1, 0]


def test_tables_and_images() -> None:
    table = load_csv(FOREIGN / "table.csv", target="kind")
    assert table.x.tolist() == [[1, 2], [3, 4.5], [5, 6]]
    assert (table.y.tolist(), table.classes) == ([1, 0, 1], ("a, b", "б"))  # type: ignore[union-attr]
    images, labels = read_cifar(FOREIGN / "cifar.bin")
    assert labels.tolist() == [3, 7]
    assert images[1, 0, :3].tolist() == [[0, 20, 40], [1, 21, 41], [2, 22, 42]]
    pytest.importorskip("PIL")
    pixels = read_picture(FOREIGN / "image.png")
    assert pixels.shape == (2, 3, 3)
    assert pixels[0, 1].tolist() == [255, 0, 7]
    assert pixels[1, 2].tolist() == [1, 2, 3]


def test_safetensors_of_others() -> None:
    found = read_tensors(FOREIGN / "numpy.safetensors")
    np.testing.assert_array_equal(found["w"], np.arange(12, dtype=np.float32).reshape(2, 2, 3))
    assert found["b"].dtype == np.int64
    half = read_tensors(FOREIGN / "bfloat16.safetensors")["w"]
    assert half.dtype == np.float32
    assert half.tolist() == [1, -2, 0.5]


def test_safetensors_for_others(tmp_path: Path) -> None:
    """Their own library reads what is written, and would write the same but for the header."""
    own = pytest.importorskip("safetensors.numpy")
    arrays = {
        "f4": X, "f8": X.astype("f8").T, "f2": X.astype("f2"), "i8": np.array(3), "u1": X > 0,
        "b": X.astype(np.uint8), "big": X.astype(">f4"), "empty": np.zeros((0, 3), np.int32),
        "c": X.astype(np.complex64), "u8": np.array([2**64 - 1], np.uint64), "и": X[:1],
    }  # fmt: skip
    content = encode_tensors(arrays, {"format": "np"})
    read = own.load(content)
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype.newbyteorder("=")
    little = {n: a.astype(a.dtype.newbyteorder("<"), order="C") for n, a in arrays.items()}
    theirs = own.save(little)
    data = [raw[8 + int.from_bytes(raw[:8], "little") :] for raw in (content, theirs)]
    assert data[0] == data[1]
    with pytest.raises(TypeError, match="'x' has dtype complex128, which safetensors has not"):
        gl.files.write_tensors(tmp_path / "x", {"x": np.zeros(2, np.complex128)})


def test_a_later_version_of_each_format_says_what_reads_it(tmp_path: Path) -> None:
    """As if today's files were written by a library to come."""
    shutil.copytree(GOLDEN / "now" / "run", tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    needs = r"version 9 .*up to version 1\. Install glubina 7\.0"
    for path, read in ((run.model, lambda: load_model(run.path)), (run.settings, run.read_seed)):
        text = json.loads(path.read_text()) | {"version": 9, "library": "7.0"}
        path.write_text(json.dumps(text))
        with pytest.raises(gl.files.FileError, match=needs):
            read()
    content = run.weights.read_bytes()
    later = content.replace(b'"glubina.format":"1"', b'"glubina.format":"9"')
    run.weights.write_bytes(
        later.replace(b'"glubina.version":"0.1.0"', b'"glubina.version":"7.0"  ')
    )
    with pytest.raises(gl.files.FileError, match=needs):
        read_tensors(run.weights)
