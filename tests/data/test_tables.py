"""CSV and NumPy files: read strictly, never unpickled, each error with the file and the place."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from glubina.data import DataError, DataTypeError, load_csv, load_npy, load_npz
from glubina.files import DamagedFileError, FileError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_with_names_and_classes(tmp_path: Path) -> None:
    table = load_csv(
        write(tmp_path / "t.csv", "width,kind,height\n1, b ,2\n3,a,4.5\n\n5,b,6\n"), target="kind"
    )
    np.testing.assert_array_equal(table.x, np.array([[1, 2], [3, 4.5], [5, 6]], np.float32))
    assert table.x.dtype == np.float32
    assert table.y is not None
    assert table.y.tolist() == [1, 0, 1]
    assert table.classes == ("a", "b")
    assert table.features == ("width", "height")


def test_a_table_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"1;2;0\n3;4;1\n"))
    table = load_csv(tmp_path / "t.csv.gz", delimiter=";")
    assert table.y is not None
    assert table.y.dtype == np.int64
    assert table.y.tolist() == [0, 1]
    assert table.features == ("0", "1")
    whole = load_csv(tmp_path / "t.csv.gz", target=None, delimiter=";")
    assert whole.y is None
    assert whole.x.shape == (2, 3)


def test_a_target_with_a_fraction_is_a_number(tmp_path: Path) -> None:
    table = load_csv(write(tmp_path / "t.csv", "1,2.5\n3,4\n"))
    assert table.y is not None
    assert table.y.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "has a header and no rows"),
        ("a,b\n1,2\n1,2,3\n", "row 3 has 3 columns and row 1 has 2"),
        ("a,b\n1,2\n,3\n", "row 3 has no value in the column 'a'"),
        ("a,b\n1,2\nx,3\n", "row 3 has the text 'x' in the column 'a'"),
        ("a,b\n1,\n2,3\n", "row 2 has no value in the target column 'b'"),
        ("1\n2\n", "no column besides the target"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_csv(write(tmp_path / "t.csv", text))
    assert "t.csv" in str(caught.value)


def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'c'; its columns: a, b"):
        load_csv(path, target="c")
    with pytest.raises(DataError, match="no column 7; it has 2 columns"):
        load_csv(path, target=7)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nothing"):
        load_csv(tmp_path / "nothing.csv")
    (tmp_path / "t.csv").write_bytes(gzip.compress(b"1,2\n" * 100)[:-12])
    with pytest.raises(DamagedFileError, match="cut short"):
        load_csv(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b"\x80\x81,1\n")
    with pytest.raises(DamagedFileError, match="UTF-8"):
        load_csv(tmp_path / "t.csv")


def test_numpy_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(3), y=np.ones(2))
    np.save(tmp_path / "d.npy", np.arange(3))
    archive = load_npz(tmp_path / "d.npz")
    assert set(archive) == {"x", "y"}
    np.testing.assert_array_equal(archive["x"], np.arange(3))
    np.testing.assert_array_equal(load_npy(tmp_path / "d.npy"), np.arange(3))
    with pytest.raises(DamagedFileError, match="try load_npy"):
        load_npz(tmp_path / "d.npy")
    with pytest.raises(DamagedFileError, match="try load_npz"):
        load_npy(tmp_path / "d.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "d.npz", x=np.array([{}], object))
    with pytest.raises(DataTypeError, match="never unpickled"):
        load_npy(tmp_path / "d.npy")
    with pytest.raises(DataTypeError, match="never unpickled"):
        load_npz(tmp_path / "d.npz")


@pytest.mark.parametrize("name", ["d.npz", "d.npy"])
def test_numpy_files_cut_short(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "d.npz":
        np.savez(path, x=np.arange(1000))
    else:
        np.save(path, np.arange(1000))
    whole = path.read_bytes()
    for length in (0, 5, 60, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=name):
            load_npz(path) if name == "d.npz" else load_npy(path)


def test_an_npy_header_that_promises_too_much(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros(100))
    content = (tmp_path / "d.npy").read_bytes()
    huge = content.replace(b"(100,), }" + b" " * 12, b"(100000000000000,), }")
    assert huge != content
    (tmp_path / "d.npy").write_bytes(huge)
    with pytest.raises(DamagedFileError, match=r"d\.npy"):
        load_npy(tmp_path / "d.npy")
