"""Tables of the user's own: CSV files, read strictly."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError
from glubina.files import DamagedFileError, open_regular
from glubina.files.unpacking import Unpacked

LISTED = 20  # columns that an error names at most


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
    for line, row in enumerate(rows[first:], first + 1):
        if len(row) != width:
            raise DataError(f"{path}: row {line} has {len(row)} columns and row 1 has {width}")
    place = None if target is None else column_place(target, names, path)
    chosen = [column for column in range(width) if column != place]
    if not chosen:
        raise DataError(f"{path}: has no column besides the target{separated(names)}")
    x = _numbers(rows, chosen, names, first, path)
    features = tuple(names[column] for column in chosen)
    if place is None:
        return Table(x, None, features)
    y, classes = _target([row[place] for row in rows[first:]], names[place], first, path)
    return Table(x, y, features, classes)


def read_rows(path: Path, delimiter: str) -> list[list[str]]:
    """The cells of the file, blank lines left out."""
    with open_regular(path) as stream:
        content = Unpacked(stream, path).read()
    try:
        text = content.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DamagedFileError(path, f"is not a CSV file in UTF-8 ({error})") from error
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError(f"{path}: is empty")
    return rows


def is_number(cell: str) -> bool:
    """Whether the text of a cell is a number."""
    try:
        number(cell)
    except ValueError:
        return False
    return True


def number(cell: str) -> float:
    """The number in a cell; ValueError if it is none. 1_000 is Python's, and no number here."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def listed(names: Sequence[str]) -> str:
    """The names one after another; of very many the first ones and how many more there are."""
    text = ", ".join(name[:80] for name in names[:LISTED])
    return text if len(names) <= LISTED else f"{text} ... ({len(names) - LISTED} more)"


def numbered(cells: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The number of each text among the different ones in alphabetical order, and these."""
    classes = sorted(set(cells))
    places = {text: place for place, text in enumerate(classes)}
    return np.array([places[cell] for cell in cells], np.int64), tuple(classes)


def separated(names: tuple[str, ...]) -> str:
    """What to try where there is one column, whose name holds what may separate columns."""
    for mark in ";\t|":
        if len(names) == 1 and mark in names[0]:
            return f"; are they separated by {mark!r}? In Python, delimiter={mark!r} reads them"
    return ""


def column_place(target: str | int, names: tuple[str, ...], path: str | os.PathLike[str]) -> int:
    """The target's place, from 0."""
    if isinstance(target, str):
        if target not in names:
            known = listed(names)
            hint = separated(names)
            raise DataError(f"{path}: has no column {target!r}; its columns: {known}{hint}")
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
    x = np.empty((len(rows) - first, len(chosen)), np.float32)
    try:
        with np.errstate(over="ignore"):
            for place, row in enumerate(rows[first:]):
                x[place] = [number(row[column]) for column in chosen]
    except ValueError:
        for line, row in enumerate(rows[first:], first + 1):
            for column in chosen:
                if not is_number(row[column]):
                    what = f"the text {row[column][:80]!r}" if row[column] else "no value"
                    raise DataError(
                        f"{path}: row {line} has {what} in the column {names[column][:80]!r}; "
                        "features must be numbers. Fill it in, or leave the row or column out"
                    ) from None
        raise
    for place, column in np.argwhere(np.isinf(x)).tolist():
        cell = rows[first + place][chosen[column]]
        if math.isfinite(number(cell)):
            raise DataError(
                f"{path}: row {first + place + 1} has {cell[:40]} in the column "
                f"{names[chosen[column]][:80]!r}, which is beyond float32"
            )
    return x


def _target(
    cells: list[str], name: str, first: int, path: str | os.PathLike[str]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The target column: whole numbers, numbers, or texts numbered in alphabetical order."""
    for line, cell in enumerate(cells, first + 1):
        if not cell:
            raise DataError(f"{path}: row {line} has no value in the target column {name!r}")
    if all(is_number(cell) for cell in cells):
        values = np.array([number(cell) for cell in cells])
        if (values == np.round(values)).all() and (np.abs(values) < 2**63).all():
            return values.astype(np.int64), ()
        beyond = np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max)
        if beyond.any():
            line = first + 1 + int(beyond.argmax())
            raise DataError(
                f"{path}: row {line} has {cells[int(beyond.argmax())][:40]} in the target column "
                f"{name!r}, which is beyond float32"
            )
        return values.astype(np.float32), ()
    return numbered(cells)
