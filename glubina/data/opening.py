"""Any data by name or path: the sets that are known, folders, CSV files, archives."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data import cifar, images
from glubina.data.checks import as_array, require_examples, require_same_length
from glubina.data.columns import as_labels, read_columns
from glubina.data.errors import DataError
from glubina.data.folders import image_folder
from glubina.data.idx import read_idx
from glubina.data.numpy_files import load_npy, load_npz

Part = tuple[NDArray[Any], NDArray[Any] | None]
PARTS = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
         "validation": "validation", "test": "test"}  # fmt: skip
INPUTS, TARGETS = ("x", "data", "images", "inputs"), ("y", "target", "targets", "labels")


@dataclass(frozen=True)
class Opened:
    """A data set: its parts by name ("train", "test", or "all"), each inputs and targets or None.

    classes: their names where they are known. columns: the names of a table's columns.
    categories: the texts that the numbers in a table's column stand for.
    """

    name: str
    parts: dict[str, Part]
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _digits() -> Opened:
    return Opened("digits", {"all": images.digits()}, images.DIGIT_CLASSES)


def _two(
    name: str, load: Callable[[], tuple[images.Labelled, images.Labelled]], classes: tuple[str, ...]
) -> Callable[[], Opened]:
    def opened() -> Opened:
        train, test = load()
        return Opened(name, {"train": train, "test": test}, classes)

    return opened


KNOWN: dict[str, Callable[[], Opened]] = {
    "digits": _digits,
    "mnist": _two("mnist", images.mnist, images.DIGIT_CLASSES),
    "fashion-mnist": _two("fashion-mnist", images.fashion_mnist, images.FASHION_MNIST_CLASSES),
    "cifar-10": _two("cifar-10", cifar.cifar10, cifar.CIFAR10_CLASSES),
}


def open_data(
    source: str | os.PathLike[str],
    target: str | int | None = -1,
    size: int | tuple[int, int] | None = None,
) -> Opened:
    """The data set of a name or in a file or folder.

    A name: "digits", "mnist", "fashion-mnist", "cifar-10". A folder: images by class (with `train`
    and `test` above them or not; `size` resizes), or MNIST's or CIFAR-10's files. A .csv or
    .csv.gz file with a `target` column (by name or place, None for none); missing values become
    NaN, texts the numbers of categories. A .npz archive with x and y, or x_train, y_train, x_test,
    y_test; a .npy file. Raises DataError or FileError saying what is wrong with it.
    """
    path = Path(source)
    if os.path.isdir(path):  # where Path would raise for a name that cannot be
        return _folder(path, size)
    if os.path.isfile(path):
        return _file(path, target)
    name = str(source).lower().replace("_", "-").replace("cifar10", "cifar-10")
    if name in KNOWN:
        return KNOWN[name]()
    near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise DataError(
        f"there is no data set, file or folder {str(source)!r:.200}.{meant} "
        f"Data sets: {', '.join(KNOWN)}"
    )


def _file(path: Path, target: str | int | None) -> Opened:
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
        return _table(path, target, "\t" if ".tsv" in name else ",")
    if name.endswith(".npz"):
        return Opened(path.name, _arrays(path, load_npz(path)))
    if name.endswith(".npy"):
        return Opened(path.name, {"all": (_checked(path, load_npy(path)), None)})
    raise DataError(f"{path}: .csv, .csv.gz, .tsv, .npz and .npy files can be opened, and folders")


def _table(path: Path, target: str | int | None, delimiter: str) -> Opened:
    found = read_columns(path, target, delimiter)
    categories = dict(found.categories)
    classes = categories.pop(found.target_name, ())
    y = None if found.target is None else as_labels(found.target, bool(classes))
    return Opened(path.name, {"all": (found.x, y)}, classes, found.names, categories)


def _first(
    archive: dict[str, NDArray[Any]], names: tuple[str, ...], ending: str
) -> NDArray[Any] | None:
    return next((archive[name + ending] for name in names if name + ending in archive), None)


def _arrays(path: Path, archive: dict[str, NDArray[Any]]) -> dict[str, Part]:
    """The parts of an archive, by the names of its arrays."""
    parts: dict[str, Part] = {}
    for ending, part in (("", "all"), *((f"_{name}", part) for name, part in PARTS.items())):
        x = next(
            (archive[f"{name}{ending}"] for name in INPUTS if f"{name}{ending}" in archive), None
        )
        y = next(
            (archive[f"{name}{ending}"] for name in TARGETS if f"{name}{ending}" in archive), None
        )
        if x is not None:
            parts[part] = _checked(path, x), None if y is None else as_array(y, f"{path}: targets")
            if y is not None:
                require_same_length(x, y, (f"{path}: the inputs", "the targets"))
    if not parts:
        names = ", ".join(archive) or "none"
        raise DataError(
            f"{path}: holds the arrays {names}; x and y, or x_train, y_train, x_test and y_test, "
            "are expected"
        )
    return parts


def _checked(path: Path, x: NDArray[Any]) -> NDArray[Any]:
    x = as_array(x, str(path))
    require_examples(x, str(path))
    return x


def _folder(path: Path, size: int | tuple[int, int] | None) -> Opened:
    mnist = [path / name for name in (images.TRAIN_IMAGES, images.TRAIN_LABELS)]
    if any(_either(file).is_file() for file in mnist):
        return _idx(path)
    if (
        any((place / cifar.TEST).is_file() for place in (path, path / cifar.FOLDER))
        or (path / cifar.ARCHIVE).is_file()
    ):
        train, test = cifar.cifar10(path)
        return Opened(path.name, {"train": train, "test": test}, cifar.CIFAR10_CLASSES)
    inside = {p.name.lower(): p for p in path.iterdir() if p.is_dir() and p.name[0] != "."}
    if not inside or not set(inside) <= set(PARTS):
        found = image_folder(path, size)
        return Opened(path.name, {"all": (found.x, found.y)}, found.classes)
    order = sorted(inside, key=list(PARTS).index)
    read = {PARTS[name]: image_folder(inside[name], size) for name in order}
    first = next(iter(read.values()))
    for part, found in read.items():
        if found.classes != first.classes:
            raise DataError(
                f"{path}: the part {part!r} has the classes {', '.join(found.classes)} and the "
                f"first {', '.join(first.classes)}"
            )
    return Opened(path.name, {p: (f.x, f.y) for p, f in read.items()}, first.classes)


def _idx(path: Path) -> Opened:
    names = {"train": (images.TRAIN_IMAGES, images.TRAIN_LABELS),
             "test": (images.TEST_IMAGES, images.TEST_LABELS)}  # fmt: skip
    parts: dict[str, Part] = {}
    for part, files in names.items():
        x, y = (read_idx(_either(path / file)) for file in files)
        require_same_length(x, y, (f"{path / files[0]}", files[1]))
        parts[part] = x, y.astype(np.int64)
    return Opened(path.name, parts)


def _either(file: Path) -> Path:
    """The file, or itself without .gz."""
    return file if file.is_file() else file.with_suffix("")
