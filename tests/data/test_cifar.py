"""CIFAR-10's binary form: read from files, folders and archives, and refused when damaged."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glubina.data import DataError, DataNotFoundError, cifar, cifar10, download, read_cifar
from glubina.files import DamagedFileError, FileError

FILES = (*cifar.TRAIN, cifar.TEST)


def content(number: int, images: int = 3) -> bytes:
    random = np.random.default_rng(number)
    made = random.integers(0, 256, (images, cifar.RECORD)).astype(np.uint8)
    made[:, 0] = np.arange(images) + number
    return made.tobytes()


def write_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate(FILES):
        (folder / name).write_bytes(content(number))


def write_archive(file: Path, names: tuple[str, ...] = FILES) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as tar:
        for number, name in enumerate(names):
            made = content(number)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(made)
            tar.addfile(member, io.BytesIO(made))


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(cifar, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("GLUBINA_DATA", str(tmp_path / "own"))

    def offline(url: str, **_: Any) -> str:
        raise ConnectionError("no network here")

    monkeypatch.setattr("pooch.retrieve", offline)


def check(found: Any) -> None:
    (x, y), (x_test, y_test) = found
    assert x.shape == (15, 32, 32, 3)
    assert x_test.shape == (3, 32, 32, 3)
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(y[:6], [0, 1, 2, 1, 2, 3])
    np.testing.assert_array_equal(y_test, [5, 6, 7])
    record = np.frombuffer(content(0), np.uint8)[1 : cifar.RECORD]
    for place in range(0, 1024, 100):  # red, green and blue lie one after the other
        pixel = record[[place, place + 1024, place + 2048]]
        np.testing.assert_array_equal(x[0, place // 32, place % 32], pixel)


def test_a_folder_that_is_given(tmp_path: Path) -> None:
    write_folder(tmp_path / "a")
    check(cifar10(tmp_path / "a"))
    write_archive(tmp_path / "b" / cifar.ARCHIVE)
    check(cifar10(tmp_path / "b"))
    with pytest.raises(FileError, match="holds neither"):
        cifar10(tmp_path)


def test_the_usual_places(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"cifar-10-binary\.tar\.gz is in none"):
        cifar10()
    write_archive(tmp_path / "cache" / "cifar-10" / cifar.ARCHIVE)
    check(cifar10())
    write_folder(tmp_path / "own" / "cifar-10" / cifar.FOLDER)
    check(cifar10())
    assert len(read_cifar(tmp_path / "own" / "cifar-10" / cifar.FOLDER / cifar.TEST)[1]) == 3


def test_damaged_files(tmp_path: Path) -> None:
    file = tmp_path / "some.bin"
    for damaged in (b"", content(0)[:-1], content(0) + b"x"):
        file.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="3073 for each picture"):
            read_cifar(file)
    file.write_bytes(content(9))
    with pytest.raises(DataError, match="picture 2 has the label 11"):
        read_cifar(file)
    with pytest.raises(FileError, match="cannot be read"):
        read_cifar(tmp_path / "none.bin")
    archive = tmp_path / "c" / cifar.ARCHIVE
    write_archive(archive, FILES[:-1])
    with pytest.raises(DamagedFileError, match=r"does not hold test_batch\.bin"):
        cifar10(archive.parent)
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"nothing", b""):
        archive.write_bytes(damaged)
        with pytest.raises(DamagedFileError):
            cifar10(archive.parent)
