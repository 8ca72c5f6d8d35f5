"""Folders of images by class: what is read, what is resized, what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from glubina.data import DataError, image_folder
from glubina.files import DamagedFileError, FileError, MissingExtraError

Image = pytest.importorskip("PIL.Image")
RANDOM = np.random.default_rng(0)


def write(file: Path, *shape: int) -> np.ndarray:
    pixels = RANDOM.integers(0, 256, shape).astype(np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)
    return pixels


def test_images_by_class(tmp_path: Path) -> None:
    dog = write(tmp_path / "dog" / "b.png", 5, 4)
    inner = write(tmp_path / "dog" / "in" / "c.PNG", 5, 4)
    cat = write(tmp_path / "cat" / "a.png", 5, 4)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    found = image_folder(tmp_path)
    assert found.classes == ("cat", "dog")
    np.testing.assert_array_equal(found.x[..., 0], [cat, dog, inner])
    np.testing.assert_array_equal(found.y, [0, 1, 1])
    assert (found.x.dtype, found.y.dtype) == (np.uint8, np.int64)
    assert found.files[0] == tmp_path / "cat" / "a.png"


def test_channels_and_sizes(tmp_path: Path) -> None:
    grey, colour = write(tmp_path / "a" / "1.png", 6, 6), write(tmp_path / "b" / "2.png", 6, 6, 3)
    found = image_folder(tmp_path)
    assert found.x.shape == (2, 6, 6, 3)
    np.testing.assert_array_equal(found.x[0], np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(found.x[1], colour)
    assert image_folder(tmp_path, channels=1).x.shape == (2, 6, 6, 1)
    write(tmp_path / "b" / "3.png", 8, 7, 3)
    with pytest.raises(DataError, match=r"3\.png has 8 x 7 pixels.*give size="):
        image_folder(tmp_path)
    assert image_folder(tmp_path, size=(4, 5)).x.shape == (3, 4, 5, 3)


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        image_folder(tmp_path / "none")
    with pytest.raises(DataError, match="holds no folders"):
        image_folder(tmp_path)
    write(tmp_path / "a" / "1.png", 6, 6)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="the class 'b' has no images"):
        image_folder(tmp_path)
    with pytest.raises(DataError, match="channels must be 1 or 3"):
        image_folder(tmp_path, channels=2)
    with pytest.raises(DataError, match="size must be at least one pixel"):
        image_folder(tmp_path, size=0)
    whole = (tmp_path / "a" / "1.png").read_bytes()
    for damaged in (whole[:60], b"nothing", b""):
        (tmp_path / "b" / "2.png").write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="damaged image"):
            image_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'glubina\[images\]'"):
        image_folder(tmp_path)
