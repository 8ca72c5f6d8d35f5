"""The IDX format, in which MNIST and its relatives are published: a header and raw elements.

Two zero bytes, a byte for the element type, a byte for the rank, the extents as big-endian 32-bit
numbers, then the elements, big-endian (http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from glubina.files import DamagedFileError, FileError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
HIGHEST_RANK = 8
PIECE = 2**20  # bytes read at a time: what a header promises is never allocated on its word


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, plain or gzipped (told by its content), in native byte order.

    Raises FileError if the file cannot be opened and DamagedFileError if it is cut short, longer
    than its header says, or no IDX file. No memory is taken for elements that are not there.
    """
    file = Path(path)
    try:
        with open(file, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not zipped:
                return _read(raw, file)
            with gzip.open(raw, "rb") as stream:
                return _read(cast(BinaryIO, stream), file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFileError(
            file, f"is damaged or was cut short ({error}). Remove it and fetch it again"
        ) from error
    except DamagedFileError:
        raise
    except OSError as error:
        raise FileError(
            file, f"cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error


def _read(stream: BinaryIO, file: Path) -> NDArray[Any]:
    """Read the header, check it, then exactly the elements that it promises."""
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES:
        raise DamagedFileError(
            file, f"is not an IDX file: it begins with {head.hex() or 'nothing'}"
        )
    if head[3] > HIGHEST_RANK:
        raise DamagedFileError(file, f"is damaged: its header gives {head[3]} axes")
    extents = stream.read(4 * head[3])
    if len(extents) < 4 * head[3]:
        raise DamagedFileError(file, "is damaged: it ends inside its header")
    shape = tuple(int(extent) for extent in np.frombuffer(extents, ">u4"))
    dtype = np.dtype(TYPES[head[2]])
    expected = dtype.itemsize
    for extent in shape:
        expected *= extent
    content = bytearray()
    while len(content) <= expected:
        piece = stream.read(min(PIECE, expected + 1 - len(content)))
        if not piece:
            break
        content += piece
    if len(content) != expected:
        held = "more" if len(content) > expected else str(len(content))
        raise DamagedFileError(
            file,
            f"is damaged or was cut short: its header says {' x '.join(map(str, shape))} elements, "
            f"{expected} bytes, and it holds {held}. Remove it and fetch it again",
        )
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
