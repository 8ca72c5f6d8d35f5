"""CIFAR-10: colour pictures of 32 x 32 pixels in ten classes, in its authors' binary form.

A record is a byte for the class and 3072 for the pixels: 32 rows of 32 red ones, then green, then
blue (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from glubina.data.download import VARIABLE, Published, cache_folder, locate
from glubina.data.errors import DataError
from glubina.data.images import Labelled
from glubina.files import DamagedFileError, FileError, open_regular, read_bytes
from glubina.files.reading import PIECE
from glubina.files.unpacking import Unpacked

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SIDE, RECORD = 32, 1 + 3 * 32 * 32
LARGEST = 50_000 * RECORD  # bytes that are read of one file in an archive at most
MOST = 400 * 2**20  # bytes that an archive may unpack to; the real one has 184 million
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
ARCHIVE = "cifar-10-binary.tar.gz"

CIFAR10 = Published(
    name="cifar-10",
    addresses=("https://www.cs.toronto.edu/~kriz/",),
    hashes={ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
)


def cifar10(folder: str | os.PathLike[str] | None = None) -> tuple[Labelled, Labelled]:
    """Colour pictures: `(x_train, y_train), (x_test, y_test)`.

    Images are uint8 (50000, 32, 32, 3) and (10000, 32, 32, 3), labels int64; the names of the
    classes are in `CIFAR10_CLASSES`. folder: where the six .bin files or the archive lie; otherwise
    they are looked for in `$GLUBINA_DATA/cifar-10/`, then in the user's cache, then downloaded
    (162 MiB). Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    files = [*TRAIN, TEST]
    if folder is not None:
        path = Path(folder)
        found = _unpacked(path, files)
        if found is None and not (path / ARCHIVE).is_file():
            raise FileError(path, f"holds neither {ARCHIVE} nor {TRAIN[0]} to {TEST}")
        contents = _read_all(found) if found else _from_archive(path / ARCHIVE, files)
    else:
        found = next((f for f in (_unpacked(p, files) for p in _places()) if f), None)
        contents = _read_all(found) if found else _from_archive(locate(CIFAR10, ARCHIVE), files)
    parts = [_records(path, content) for path, content in contents]
    images = np.concatenate([part[0] for part in parts[:-1]])
    labels = np.concatenate([part[1] for part in parts[:-1]])
    return (images, labels), parts[-1]


def read_cifar(path: str | os.PathLike[str]) -> Labelled:
    """The images (n, 32, 32, 3) and labels (n,) in one file of CIFAR-10's binary form.

    Raises FileError if it cannot be read and DamagedFileError if it is not whole.
    """
    ((_, content),) = _read_all([Path(path)])
    return _records(Path(path), content)


def _places() -> list[Path]:
    named = os.environ.get(VARIABLE)
    own = [Path(named).expanduser() / CIFAR10.name] if named else []
    return [*own, cache_folder() / CIFAR10.name]


def _unpacked(folder: Path, files: list[str]) -> list[Path] | None:
    """The files in the folder or in the archive's folder in it, if all are there."""
    for place in (folder, folder / FOLDER):
        if all((place / file).is_file() for file in files):
            return [place / file for file in files]
    return None


def _read_all(paths: list[Path]) -> list[tuple[Path, bytes]]:
    return [(path, read_bytes(path)) for path in paths]


def _from_archive(archive: Path, files: list[str]) -> list[tuple[Path, bytes]]:
    """The files' contents by their order; nothing is unpacked to the disk."""
    import tarfile  # here: it takes a noticeable part of a start

    found: dict[str, bytes] = {}
    with open_regular(archive) as raw:
        stream = Unpacked(raw, archive)
        try:
            # as a stream, which is never wound back: what was unpacked is counted once
            with tarfile.open(fileobj=cast(Any, _Counted(stream)), mode="r|") as tar:
                for member in tar:
                    name = Path(member.name).name
                    inner = tar.extractfile(member) if name in files and member.isfile() else None
                    if member.issparse():
                        raise ValueError(f"{name} is stored with holes")
                    if inner is not None:
                        found[name] = _pieces(inner)
        except FileError:
            raise
        except Exception as error:  # tarfile has a family of errors, and lets others through
            raise DamagedFileError(
                archive, f"is damaged or was cut short ({error}). Remove it and fetch it again"
            ) from error
    missing = [name for name in files if name not in found]
    if missing:
        raise DamagedFileError(archive, f"does not hold {', '.join(missing)}")
    return [(archive / name, found[name]) for name in files]


def _pieces(stream: IO[bytes]) -> bytes:
    """The file's content, of which no more is taken than there is, and than a set can have."""
    content = bytearray()
    while len(content) <= LARGEST and (piece := stream.read(PIECE)):
        content += piece
    return bytes(content)


class _Counted:
    """An archive as tarfile reads it, which ends in an error where it is far larger than CIFAR."""

    def __init__(self, stream: Unpacked) -> None:
        self._stream, self._left = stream, MOST

    def read(self, count: int) -> bytes:
        """The next bytes."""
        piece = bytes(self._stream.read(count))
        self._left -= len(piece)
        if self._left < 0:
            raise DamagedFileError(self._stream.path, f"unpacks to more than {MOST} bytes")
        return piece


def _records(path: Path, content: bytes) -> Labelled:
    """The images and labels of a file's content."""
    if not content or len(content) % RECORD:
        raise DamagedFileError(
            path,
            f"has {len(content)} bytes; CIFAR-10's binary form has {RECORD} for each picture. It "
            "is damaged or something else",
        )
    rows: NDArray[np.uint8] = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    labels = rows[:, 0].astype(np.int64)
    if labels.max() >= len(CIFAR10_CLASSES):
        row = int(labels.argmax())
        raise DataError(f"{path}: picture {row} has the label {labels[row]}; they go from 0 to 9")
    planes = rows[:, 1:].reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
