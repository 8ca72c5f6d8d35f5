"""NumPy's own files, .npy and .npz: read strictly, never unpickled, no header taken at its word.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import ast
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataTypeError
from glubina.files import DamagedFileError, open_regular
from glubina.files.reading import PIECE, require_plausible, require_room

MAGIC, ZIP = b"\x93NUMPY", b"PK"
LONGEST = 10_000  # bytes of a header; NumPy reads no longer ones either
NESTED = 64  # brackets and signs in a header, which its parser could run deep in
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes
ENCRYPTED = 1


def load_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array of a .npy file. Pickled objects are refused, not read.

    Raises FileError if it cannot be read, DamagedFileError if it is cut short, longer than its
    header says, or something else, DataTypeError for objects and tables of records.
    """
    file = Path(path)
    with open_regular(file) as stream:
        if stream.peek(2)[:2] == ZIP:
            raise DamagedFileError(file, "is an archive; a .npy array was expected (try load_npz)")
        try:
            return _array(stream, os.fstat(stream.fileno()).st_size, file, "it")
        except ValueError as error:
            raise _refusal(file, error) from error


def load_npz(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays of a .npz archive by name. Pickled objects in it are refused, not read.

    Raises what `load_npy` raises, also for an archive that unpacks out of all proportion, holds a
    name twice, or parts of which overlap.
    """
    file = Path(path)
    with open_regular(file) as stream:
        if stream.peek(6)[:6] == MAGIC:
            raise DamagedFileError(
                file, "holds one array; a .npz archive was expected (try load_npy)"
            )
        try:
            with zipfile.ZipFile(stream) as archive:
                members = _members(archive, os.fstat(stream.fileno()).st_size, file)
                return {name: _member(archive, info, file) for name, info in members.items()}
        except DamagedFileError:
            raise
        except Exception as error:  # zipfile and zlib have a dozen kinds for one damage
            raise _refusal(file, error) from error


def _refusal(file: Path, error: Exception) -> Exception:
    if isinstance(error, DataTypeError):
        return DataTypeError(f"{file}: {error}")
    return DamagedFileError(file, f"is damaged or is no NumPy file ({error})")


def _members(archive: zipfile.ZipFile, size: int, file: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays in the archive by name, if what it claims of them fits into the file."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name == info.filename:
            raise ValueError(f"it holds {info.filename[:80]!r}, which is no .npy array")
        if name in found:
            raise ValueError(f"it holds {name[:80]!r} twice")
        if info.compress_type not in METHODS or info.flag_bits & ENCRYPTED:
            raise ValueError(f"{name[:80]!r} is packed in a way that NumPy does not use")
        found[name] = info
    packed = sum(info.compress_size for info in found.values())
    if packed > size:
        raise ValueError(f"its parts claim {packed} bytes and the file has {size}")
    for info in found.values():
        require_plausible(file, info.file_size, info.compress_size)
    require_room(file, sum(info.file_size for info in found.values()))
    return found


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> NDArray[Any]:
    name = repr(info.filename.removesuffix(".npy")[:80])
    with archive.open(info) as stream:
        array = _array(stream, info.file_size, file, name)
        if stream.read(1):  # it has more than it claims; at the end its checksum is compared
            raise ValueError(f"{name} is longer than the archive says")
    return array


def _array(stream: Any, size: int, file: Path, name: str) -> NDArray[Any]:
    """The array in a stream of `size` bytes; ValueError says what is wrong with it."""
    dtype, shape, fortran, begin = _header(stream, name)
    needed = math.prod(shape) * dtype.itemsize
    if needed != size - begin or math.prod(n or 1 for n in shape) >= 2**59:
        told = f"{dtype} of shape {shape}, {needed} bytes"
        raise ValueError(f"{name} says that it holds {told:.120}, and has {size - begin}")
    require_room(file, needed)
    raw = np.empty(needed, np.uint8)
    view, place = raw.data, 0
    while place < needed:
        piece = stream.read(min(PIECE, needed - place))
        if not piece:
            raise ValueError(f"{name} ends after {place} of {needed} bytes")
        view[place : place + len(piece)] = piece
        place += len(piece)
    if dtype.kind == "b" and needed and raw.max() > 1:
        raise ValueError(f"{name} holds truths that are neither true nor false")
    return np.ndarray(shape, dtype, raw, order="F" if fortran else "C")


def _header(stream: Any, name: str) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """The dtype, the shape, whether in Fortran's order, and the place where the elements begin."""
    start = stream.read(8)
    if len(start) < 8 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise ValueError(f"{name} does not begin as an .npy array")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    text = stream.read(length) if length <= LONGEST else b""
    if not length or len(text) != length:
        raise ValueError(f"{name} has no header of {length} bytes")
    try:
        if sum(text.count(c) for c in b"([{-+~") > NESTED:
            raise _HeaderError("nested too deeply")
        told: Any = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin-1").strip())
        if not isinstance(told, dict) or not {"descr", "fortran_order", "shape"} <= told.keys():
            raise _HeaderError("not the three entries that it must have")
        descr, fortran, shape = told["descr"], told["fortran_order"], told["shape"]
        good = len(told) == 3 and type(fortran) is bool and type(shape) is tuple
        if not good or len(shape) > 32 or any(type(n) is not int or n < 0 for n in shape):
            raise _HeaderError("not the three entries that it must have")
    except _HeaderError as error:
        raise ValueError(f"{name} has a damaged header ({error})") from error
    except Exception as error:  # the parser has as many kinds as Python has syntax
        told = "no plain dictionary of plain values"
        raise ValueError(f"{name} has a damaged header ({told})") from error
    return _dtype(descr, name), shape, fortran, 8 + width + length


class _HeaderError(ValueError):
    """A header that is Python's syntax and still no header."""


def _dtype(descr: Any, name: str) -> np.dtype[Any]:
    """The dtype of a header's text; DataTypeError for objects and records."""
    if not isinstance(descr, str):
        raise DataTypeError(f"{name} holds records, {descr!r:.60}; save arrays of numbers")
    try:
        dtype = np.dtype(descr)
    except Exception as error:
        raise ValueError(f"{name} has the unknown dtype {descr!r:.40}") from error
    if dtype.hasobject:
        raise DataTypeError(
            f"{name} holds Python objects, which are never unpickled; save arrays of numbers"
        )
    if dtype.kind not in "biufcSUmM" or dtype.subdtype is not None:
        raise DataTypeError(f"{name} holds records, {descr!r:.60}; save arrays of numbers")
    return dtype
