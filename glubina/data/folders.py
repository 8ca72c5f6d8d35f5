"""Pictures in folders by class: `root/cat/1.png`, `root/dog/2.jpg`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError
from glubina.data.picture_files import read_picture
from glubina.files import FileError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
                      ".pgm", ".pbm"))  # fmt: skip


@dataclass(frozen=True)
class ImageFolder:
    """What a folder of images by class holds.

    x: uint8 (n, height, width, channels). y: int64 (n,), the classes' numbers. classes: the names
    of the folders, in order. files: of each image its file.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    classes: tuple[str, ...]
    files: tuple[Path, ...]


def image_folder(
    path: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
) -> ImageFolder:
    """Read all images in the folders of a folder, each folder a class (subfolders included).

    size: (rows, columns) that all images are resized to, or one number for both; without it they
    must agree. channels: 1 for grey images, 3 for colour; without it 1 if all are grey, else 3.
    Classes and files are in alphabetical order; hidden files and files of other kinds are left out.

    Raises FileError for a folder that cannot be read, DataError where no class or image is there or
    the sizes differ, DamagedFileError for a damaged image, and MissingExtraError without pillow.
    """
    root = Path(path)
    if channels not in (None, 1, 3):
        raise DataError(f"channels must be 1 or 3, got {channels!r}")
    wanted = (size, size) if isinstance(size, int) else size
    if wanted is not None and min(wanted) < 1:
        raise DataError(f"size must be at least one pixel, (rows, columns), got {size!r}")
    by_class = image_files(root)
    files = [file for group in by_class.values() for file in group]
    read = [read_picture(file, wanted, channels) for file in files]
    if channels is None and len({image.shape[2] for image in read}) > 1:
        read = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in read]
    for file, image in zip(files, read):
        if image.shape != read[0].shape:
            raise DataError(
                f"{file} has {image.shape[0]} x {image.shape[1]} pixels and {files[0]} "
                f"{read[0].shape[0]} x {read[0].shape[1]}; give size=(rows, columns) to resize all"
            )
    labels = np.repeat(np.arange(len(by_class)), [len(group) for group in by_class.values()])
    return ImageFolder(np.stack(read), labels.astype(np.int64), tuple(by_class), tuple(files))


def image_files(root: Path) -> dict[str, list[Path]]:
    """The image files of each class. Raises DataError where there are none."""
    try:
        folders = sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != ".")
        found = {folder.name: _images_in(folder) for folder in folders}
    except OSError as error:
        raise FileError(
            root, f"cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    if not found:
        raise DataError(f"{root}: holds no folders; images lie in a folder for each class")
    empty = [name for name, group in found.items() if not group]
    if empty:
        raise DataError(f"{root}: the class {empty[0]!r} has no images (.png, .jpg, ...)")
    return found


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.name[0] != "." and file.is_file()
    )
