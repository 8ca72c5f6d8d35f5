"""Files are written whole or not at all, and a damaged one is named."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from glubina import files
from glubina.files import json_file


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "weights.bin"
    files.write_bytes(target, b"old")

    def interrupted() -> None:
        with files.open_atomic(target) as stream:
            stream.write(b"half of the n")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power"):
        interrupted()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]


def test_a_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "note.txt"
    files.write_text(target, "глубина\n")
    files.write_text(target, "depth\n")
    assert target.read_bytes() == b"depth\n"


def test_a_new_file_has_the_usual_mode_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        files.write_bytes(tmp_path / "new", b"1")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o644
        (tmp_path / "new").chmod(0o600)
        files.write_bytes(tmp_path / "new", b"2")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    finally:
        os.umask(old)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(files.FileError, match=r"runs.*cannot be written"):
        files.write_bytes(tmp_path / "runs" / "model.json", b"{}")
    with pytest.raises(files.FileError, match="is a file"):
        files.require_writable(tmp_path / "runs")
    with pytest.raises(files.FileError, match="the folder cannot be written"):
        files.require_writable(tmp_path / "runs" / "one")


def test_json_goes_there_and_back(tmp_path: Path) -> None:
    value = {"имя": "цифры", "layers": [{"type": "Linear", "arguments": {"bias": True}}], "p": 0.1}
    files.write_json(tmp_path / "model.json", value)
    assert files.read_json(tmp_path / "model.json") == value
    assert "имя" in (tmp_path / "model.json").read_text(encoding="utf-8")


def test_json_keeps_rows_on_a_line(tmp_path: Path) -> None:
    value = {"matrix": [[1, 2], [3, 4]], "none": {}, "empty": [], "in": [{"x": None}], "t": (1, 2)}
    files.write_json(tmp_path / "m.json", value)
    text = (tmp_path / "m.json").read_text()
    assert '"matrix": [\n    [1, 2],\n    [3, 4]\n  ],\n' in text
    assert files.read_json(tmp_path / "m.json") == value | {"t": [1, 2]}


def test_json_refuses_what_json_has_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "m.json", {"loss": float("nan")})
    assert not (tmp_path / "m.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1', "damaged"),
        (b"", "damaged"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b'{"a": 1, "a": 2}', "the key 'a' is given twice"),
        (b'{"a": 1} x', "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 100_000, "nests deeper than 64"),
    ],
)
def test_damaged_json_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(files.DamagedFileError, match=message) as caught:
        files.read_json(tmp_path / "model.json")
    assert "model.json" in str(caught.value)


def test_brackets_in_strings_are_not_nesting(tmp_path: Path) -> None:
    text = '"\\' + '"' + "[" * 1000
    (tmp_path / "m.json").write_text(json.dumps({"t": text}))
    assert files.read_json(tmp_path / "m.json") == {"t": text}


def test_a_json_file_of_no_measure_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_file, "LARGEST", 10)
    (tmp_path / "m.json").write_text("[1, 2, 3, 4, 5]")
    with pytest.raises(files.FileError, match="up to 10"):
        files.read_json(tmp_path / "m.json")


def test_tensors_go_there_and_back(tmp_path: Path) -> None:
    arrays = {
        "weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
        "steps": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 4), np.float64),
        "mask": np.array([True, False]),
    }
    files.write_tensors(tmp_path / "m.safetensors", arrays, {"format": "glubina"})
    loaded = files.read_tensors(tmp_path / "m.safetensors")
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name], array)
    loaded["weight"][0, 0] = 5  # the caller's own


def test_a_weights_file_cut_anywhere_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    files.write_tensors(path, {"weight": np.ones((3, 3), np.float32)})
    whole = path.read_bytes()
    for length in (0, 4, 8, 20, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(files.DamagedFileError, match=r"model\.safetensors.*damaged"):
            files.read_tensors(path)
    path.write_bytes(b"\xff" * 8 + whole[8:])  # a header of 2**64 bytes
    with pytest.raises(files.DamagedFileError, match="damaged"):
        files.read_tensors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (files.read_json, files.read_tensors, files.sha256):
        with pytest.raises(files.FileError, match=r"nothing.*cannot be read: no such file"):
            read(tmp_path / "nothing")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(tmp_path / "abc") == expected
