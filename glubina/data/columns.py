"""CSV files as they come: text columns numbered, missing values left open. For looking at data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError
from glubina.data.tables import column_place, is_number, number, numbered, read_rows

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))  # in lower case


@dataclass(frozen=True)
class Columns:
    """What a CSV file holds, whatever it is.

    x: float64 (rows, columns), NaN where a value is missing, the number of its category where a
    column is text. names: of the columns. categories: by column name its texts in order, for the
    text columns. target: the target's column as x has it, or None; target_name: its name.
    """

    x: NDArray[np.float64]
    names: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    target: NDArray[np.float64] | None
    target_name: str


def read_columns(
    path: str | os.PathLike[str], target: str | int | None = -1, delimiter: str = ","
) -> Columns:
    """Read a CSV file (plain or .gz) with whatever is in it; see `Columns`.

    A first row without a number holds the names. Values such as "", "NA", "nan" and "?" are
    missing. Raises DataError for an empty file and for rows of unequal length.
    """
    rows = read_rows(Path(path), delimiter)
    header = not any(is_number(cell) for cell in rows[0])
    width = len(rows[0])
    names = tuple(rows[0]) if header else tuple(str(column) for column in range(width))
    body = rows[1:] if header else rows
    if not body:
        raise DataError(f"{path}: has a header and no rows")
    for line, row in enumerate(body, 2 if header else 1):
        if len(row) != width:
            raise DataError(f"{path}: row {line} has {len(row)} columns and row 1 has {width}")
    place = None if target is None else column_place(target, names, path)
    categories: dict[str, tuple[str, ...]] = {}
    columns = []
    for column, name in enumerate(names):
        values, texts = _column([row[column] for row in body])
        columns.append(values)
        if texts:
            categories[name] = texts
    chosen = [values for column, values in enumerate(columns) if column != place]
    if not chosen:
        raise DataError(f"{path}: has no column besides the target")
    kept = tuple(name for column, name in enumerate(names) if column != place)
    found = None if place is None else columns[place]
    x = np.stack(chosen, axis=1)
    return Columns(x, kept, categories, found, "" if place is None else names[place])


def _column(cells: list[str]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """A column's numbers, or the numbers of its texts and the texts; NaN where nothing is."""
    there = np.array([cell.lower() not in MISSING for cell in cells])
    values = np.full(len(cells), np.nan)
    known = [cell for cell, kept in zip(cells, there) if kept]
    if all(is_number(cell) for cell in known):
        values[there] = [number(cell) for cell in known]
        return values, ()
    values[there], texts = numbered(known)
    return values, texts


def as_labels(column: NDArray[np.float64], texts: bool) -> NDArray[Any]:
    """A target column as int64 where it is of texts (−1: missing) or of whole numbers only."""
    if texts:
        return np.where(np.isnan(column), -1, column).astype(np.int64)
    if (column == np.round(column)).all() and (np.abs(column) < 2**63).all():
        return column.astype(np.int64)
    return column
