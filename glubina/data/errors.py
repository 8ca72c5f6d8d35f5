"""The errors of data: they name the set, the row or the file, and what to do."""

from __future__ import annotations


class DataError(ValueError):
    """Data that cannot be used as it is: empty, unequal lengths, NaN, labels out of range."""


class DataTypeError(DataError, TypeError):
    """Data whose element type cannot be used."""


class DataNotFoundError(DataError, FileNotFoundError):
    """A data set that is in none of its places and could not be downloaded."""
