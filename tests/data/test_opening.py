"""Any data by name or path, and the refusals."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glubina.data import DataError, open_data
from glubina.data.columns import read_columns
from glubina.files import DamagedFileError

PENGUINS = """species,bill,island,mass
Adelie,39.1,Torgersen,3750
Gentoo,NA,Biscoe,5000
Adelie,40.3,Torgersen,
,36.7,Dream,3450
"""


def test_a_name() -> None:
    found = open_data("Digits")
    assert found.parts["all"][0].shape == (1797, 8, 8)
    assert found.classes == tuple("0123456789")
    with pytest.raises(DataError, match=r"Did you mean 'digits'\?.*fashion-mnist"):
        open_data("digit")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_table_with_gaps_and_texts(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / ("p.csv.gz" if zipped else "p.csv")
    content = PENGUINS.encode()
    file.write_bytes(gzip.compress(content) if zipped else content)
    found = open_data(file, target="species")
    x, y = found.parts["all"]
    np.testing.assert_array_equal(
        x, [[39.1, 2, 3750], [np.nan, 0, 5000], [40.3, 2, np.nan], [36.7, 1, 3450]]
    )
    np.testing.assert_array_equal(y, [0, 1, 0, -1])
    assert found.classes == ("Adelie", "Gentoo")
    assert found.columns == ("bill", "island", "mass")
    assert found.categories == {"island": ("Biscoe", "Dream", "Torgersen")}
    mass = open_data(file).parts["all"][1]
    np.testing.assert_array_equal(mass, [3750, 5000, np.nan, 3450])
    assert open_data(file, target=None).parts["all"][1] is None
    with pytest.raises(DataError, match="has no column 'weight'"):
        open_data(file, target="weight")


def test_columns_are_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    for content, text in (
        ("a,b\n1,2\n3\n", "row 3 has 1 columns"),
        ("a,b\n", "has a header and no rows"),
        ("", "is empty"),
        ("1\n2\n", "no column besides the target"),
    ):
        file.write_text(content)
        with pytest.raises(DataError, match=text):
            read_columns(file)
    file.write_bytes(b"a,b\n\xff\xfe,2\n")
    with pytest.raises(DamagedFileError):
        read_columns(file)


def test_archives(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((6, 5, 5)), np.arange(6) % 2
    np.savez(tmp_path / "one.npz", data=x, target=y)
    assert open_data(tmp_path / "one.npz").parts["all"][0].shape == (6, 5, 5)
    np.savez(tmp_path / "two.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    assert list(open_data(tmp_path / "two.npz").parts) == ["train", "test"]
    np.save(tmp_path / "a.npy", x)
    assert open_data(tmp_path / "a.npy").parts["all"][1] is None
    np.savez(tmp_path / "bad.npz", x=x, y=y[:3])
    with pytest.raises(DataError, match="has 6 examples and the targets has 3"):
        open_data(tmp_path / "bad.npz")
    np.savez(tmp_path / "bad.npz", weights=x)
    with pytest.raises(DataError, match="holds the arrays weights; x and y"):
        open_data(tmp_path / "bad.npz")
    whole = (tmp_path / "one.npz").read_bytes()
    (tmp_path / "bad.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFileError):
        open_data(tmp_path / "bad.npz")
    (tmp_path / "notes.txt").write_text("?")
    with pytest.raises(DataError, match=r"\.npz and \.npy files can be opened"):
        open_data(tmp_path / "notes.txt")


def write_image(file: Path, seed: int) -> None:
    image: Any = pytest.importorskip("PIL.Image")
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6)).astype(np.uint8)
    image.fromarray(pixels).save(file)


def test_folders_of_images(tmp_path: Path) -> None:
    for number, place in enumerate(("train/a/1", "train/b/2", "test/a/3", "test/b/4")):
        write_image(tmp_path / f"{place}.png", number)
    found = open_data(tmp_path)
    assert list(found.parts) == ["train", "test"]
    assert found.classes == ("a", "b")
    assert list(open_data(tmp_path / "train").parts) == ["all"]
    assert open_data(tmp_path, size=4).parts["test"][0].shape == (2, 4, 4, 1)
    write_image(tmp_path / "test" / "c" / "5.png", 5)
    with pytest.raises(DataError, match="the part 'test' has the classes a, b, c"):
        open_data(tmp_path)


def test_a_folder_with_mnist_s_files(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("t10k", 2)):
        for kind, shape in (("images-idx3", (count, 5, 5)), ("labels-idx1", (count,))):
            head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            (tmp_path / f"{part}-{kind}-ubyte").write_bytes(head + bytes(int(np.prod(shape))))
    found = open_data(tmp_path)
    assert {name: x.shape for name, (x, _) in found.parts.items()} == {
        "train": (3, 5, 5),
        "test": (2, 5, 5),
    }
