"""Tables and archives of the user's own: CSV, .npy and .npz, read strictly and never unpickled."""

from __future__ import annotations

import csv
import gzip
import io
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError, DataTypeError
from glubina.files import DamagedFileError, FileError


@dataclass(frozen=True)
class Table:
    """What a CSV file holds.

    x: the features, float32 (rows, columns). y: the target column (int64 class numbers where it
    is text or whole numbers, float32 otherwise), or None. features: the names of the columns.
    classes: the texts that the class numbers stand for; empty where the target is a number.
    """

    x: NDArray[np.float32]
    y: NDArray[Any] | None
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()


def load_csv(
    path: str | os.PathLike[str],
    target: str | int | None = -1,
    *,
    header: bool | None = None,
    delimiter: str = ",",
) -> Table:
    """Read a CSV file (plain or .gz) of numbers and one target column.

    `target` is the target's column by name or by place (the last one unless told otherwise; None:
    all columns are features). `header` tells whether the first row holds names; None: it does if
    none of its cells is a number. A target of text becomes class numbers in alphabetical order.

    Raises DataError for an empty file, rows of unequal length, a missing value or a text among
    the features, naming the row (counted from 1 in the file) and the column.
    """
    rows = read_rows(Path(path), delimiter)
    if header is None:
        header = not any(is_number(cell) for cell in rows[0])
    width = len(rows[0])
    names = tuple(rows[0]) if header else tuple(str(column) for column in range(width))
    first = 1 if header else 0
    if len(rows) == first:
        raise DataError(f"{path}: has a header and no rows")
    for number, row in enumerate(rows[first:], first + 1):
        if len(row) != width:
            raise DataError(f"{path}: row {number} has {len(row)} columns and row 1 has {width}")
    place = None if target is None else column_place(target, names, path)
    chosen = [column for column in range(width) if column != place]
    if not chosen:
        raise DataError(f"{path}: has no column besides the target")
    x = _numbers(rows, chosen, names, first, path)
    features = tuple(names[column] for column in chosen)
    if place is None:
        return Table(x, None, features)
    y, classes = _target([row[place] for row in rows[first:]], names[place], first, path)
    return Table(x, y, features, classes)


def read_rows(path: Path, delimiter: str) -> list[list[str]]:
    """The cells of the file, blank lines left out."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFileError(path, f"is damaged or was cut short ({error})") from error
    except OSError as error:
        raise FileError(
            path, f"cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DamagedFileError(path, f"is not a CSV file in UTF-8 ({error})") from error
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError(f"{path}: is empty")
    return rows


def is_number(cell: str) -> bool:
    """Whether the text of a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def column_place(target: str | int, names: tuple[str, ...], path: str | os.PathLike[str]) -> int:
    """The target's place, from 0."""
    if isinstance(target, str):
        if target not in names:
            raise DataError(f"{path}: has no column {target!r}; its columns: {', '.join(names)}")
        return names.index(target)
    if not -len(names) <= target < len(names):
        raise DataError(f"{path}: has no column {target}; it has {len(names)} columns")
    return target % len(names)


def _numbers(
    rows: list[list[str]],
    chosen: list[int],
    names: tuple[str, ...],
    first: int,
    path: str | os.PathLike[str],
) -> NDArray[np.float32]:
    """The chosen columns as numbers; a cell that is none is named."""
    try:
        return np.array(
            [[float(row[column]) for column in chosen] for row in rows[first:]], np.float32
        )
    except ValueError:
        for number, row in enumerate(rows[first:], first + 1):
            for column in chosen:
                if not is_number(row[column]):
                    what = f"the text {row[column]!r}" if row[column] else "no value"
                    raise DataError(
                        f"{path}: row {number} has {what} in the column {names[column]!r}; "
                        "features must be numbers. Fill it in, or leave the row or column out"
                    ) from None
        raise


def _target(
    cells: list[str], name: str, first: int, path: str | os.PathLike[str]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The target column: whole numbers, numbers, or texts numbered in alphabetical order."""
    for number, cell in enumerate(cells, first + 1):
        if not cell:
            raise DataError(f"{path}: row {number} has no value in the target column {name!r}")
    if all(is_number(cell) for cell in cells):
        values = np.array([float(cell) for cell in cells])
        if np.isfinite(values).all() and (values == np.round(values)).all():
            return values.astype(np.int64), ()
        return values.astype(np.float32), ()
    classes, numbers = np.unique(np.array(cells), return_inverse=True)
    return numbers.astype(np.int64), tuple(str(text) for text in classes)


def load_npz(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays of a .npz archive by name. Pickled objects in it are refused, not read."""
    file = Path(path)
    archive = _load(file)
    if isinstance(archive, np.ndarray):
        raise DamagedFileError(file, "holds one array; a .npz archive was expected (try load_npy)")
    with archive:
        try:
            return {name: archive[name] for name in archive.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _refusal(file, error) from error


def load_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array of a .npy file. Pickled objects are refused, not read."""
    file = Path(path)
    array = _load(file)
    if not isinstance(array, np.ndarray):
        array.close()
        raise DamagedFileError(file, "is an archive; a .npy array was expected (try load_npz)")
    return array


def _load(file: Path) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except (ValueError, EOFError, MemoryError, OverflowError, zipfile.BadZipFile) as error:
        raise _refusal(file, error) from error
    except OSError as error:
        raise FileError(
            file, f"cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error


def _refusal(file: Path, error: Exception) -> Exception:
    """The error for a file that NumPy could not read."""
    if "Object arrays" in str(error):
        return DataTypeError(
            f"{file}: holds Python objects, which are never unpickled; save arrays of numbers"
        )
    return DamagedFileError(file, f"is damaged or is no NumPy file ({error})")
