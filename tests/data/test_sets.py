"""The data sets: what is in them, where they are looked for, what is said when they are nowhere."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glubina import data
from glubina.data import download, images
from glubina.files import DamagedFileError, sha256


def write_set(folder: Path, examples: int = 3, zipped: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, shape in (
        (images.TRAIN_IMAGES, (examples, 28, 28)),
        (images.TRAIN_LABELS, (examples,)),
        (images.TEST_IMAGES, (2, 28, 28)),
        (images.TEST_LABELS, (2,)),
    ):
        head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
        content = head + bytes(int(np.prod(shape)))
        name = file if zipped else file.removesuffix(".gz")
        (folder / name).write_bytes(gzip.compress(content) if zipped else content)


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the user's own folders or the network."""
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")

    def offline(url: str, **_: Any) -> str:
        raise ConnectionError("no network here")

    monkeypatch.setattr("pooch.retrieve", offline)


def test_digits() -> None:
    x, y = data.digits()
    assert x.shape == (1797, 8, 8)
    assert x.dtype == np.uint8
    assert (x.min(), x.max()) == (0, 16)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(
        np.bincount(y), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    )
    np.testing.assert_array_equal(x[0, 0], [0, 0, 5, 13, 9, 1, 0, 0])


def test_the_credit_lies_beside_the_digits() -> None:
    folder = Path(data.__file__).parent / "sets"
    credit = (folder / "CREDITS.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in credit
    assert sha256(folder / "digits.csv.gz") in credit


@pytest.mark.parametrize("load", [data.fashion_mnist, data.mnist])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_named_folder_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Any, zipped: bool
) -> None:
    monkeypatch.setenv("GLUBINA_DATA", str(tmp_path / "own"))
    name = load.__name__.replace("_", "-")
    write_set(tmp_path / "own" / name, examples=5, zipped=zipped)
    write_set(tmp_path / "cache" / name, examples=4)
    (x, y), (x_test, y_test) = load()
    assert x.shape == (5, 28, 28)
    assert y.shape == (5,)
    assert y.dtype == np.int64
    assert x_test.shape == (2, 28, 28)
    assert y_test.shape == (2,)


def test_then_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLUBINA_DATA", raising=False)
    write_set(tmp_path / "cache" / "mnist", examples=4)
    assert len(data.mnist()[0][0]) == 4


def test_then_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLUBINA_DATA", raising=False)
    write_set(tmp_path / "server")
    asked: list[str] = []

    def retrieve(url: str, known_hash: str, fname: str, path: Path, **_: Any) -> str:
        asked.append(url)
        if len(asked) == 1:
            raise ValueError("SHA256 hash of downloaded file does not match")
        assert known_hash == f"sha256:{images.MNIST.hashes[fname]}"
        assert path == tmp_path / "cache" / "mnist"
        return str(tmp_path / "server" / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    assert len(data.mnist()[0][0]) == 3
    first, second = images.MNIST.addresses
    assert asked[:2] == [first + images.TRAIN_IMAGES, second + images.TRAIN_IMAGES]


def test_a_set_that_is_nowhere_lists_every_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLUBINA_DATA", str(tmp_path / "own"))
    with pytest.raises(data.DataNotFoundError) as caught:
        data.fashion_mnist()
    message = str(caught.value)
    assert str(tmp_path / "own" / "fashion-mnist" / images.TRAIN_IMAGES) in message
    assert str(tmp_path / "cache" / "fashion-mnist") in message
    for address in images.FASHION_MNIST.addresses:
        assert f"{address}{images.TRAIN_IMAGES}: the server cannot be reached" in message
    assert "GLUBINA_DATA=/path/to/data" in message


def test_causes_are_told_in_a_few_words() -> None:
    requests = pytest.importorskip("requests")
    assert download._cause(requests.ConnectionError("HTTPSConnectionPool(...)")) == (
        "the server cannot be reached"
    )
    assert "no answer within 20 seconds" in download._cause(requests.ReadTimeout())
    assert download._cause(ValueError("a\nb")) == "a b"
    assert len(download._cause(ValueError("x" * 999))) == 160


def test_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLUBINA_DATA", raising=False)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(data.DataNotFoundError, match="the folder cannot be written"):
        data.mnist()


def test_a_damaged_file_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUBINA_DATA", str(tmp_path))
    write_set(tmp_path / "mnist")
    file = tmp_path / "mnist" / images.TEST_IMAGES
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DamagedFileError, match=images.TEST_IMAGES):
        data.mnist()


def test_images_and_labels_must_belong_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLUBINA_DATA", str(tmp_path))
    write_set(tmp_path / "mnist")
    labels = struct.pack(">BBBBI", 0, 0, 8, 1, 7) + bytes(7)
    (tmp_path / "mnist" / images.TRAIN_LABELS).write_bytes(labels)
    with pytest.raises(data.DataError, match=r"3 images.*7 labels"):
        data.mnist()


def test_the_published_files(data_dir: Path) -> None:
    for published in (images.FASHION_MNIST, images.MNIST):
        for file, expected in published.hashes.items():
            assert sha256(data_dir / published.name / file) == expected
    (x, y), (x_test, y_test) = data.fashion_mnist()
    assert x.shape == (60000, 28, 28)
    assert x_test.shape == (10000, 28, 28)
    np.testing.assert_array_equal(np.bincount(y), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(y_test), [1000] * 10)
