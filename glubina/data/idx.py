"""The IDX format, in which MNIST and its relatives are published: a header and raw elements.

Two zero bytes, a byte for the element type, a byte for the rank, the extents as big-endian 32-bit
numbers, then the elements, big-endian (http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.files import DamagedFileError, open_regular
from glubina.files.reading import RATIO, require_room
from glubina.files.unpacking import Unpacked

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
HIGHEST_RANK = 8


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, plain or gzipped (told by its content), in native byte order.

    Raises FileError if the file cannot be opened and DamagedFileError if it is cut short, longer
    than its header says, or no IDX file. No memory is taken for elements that are not there.
    """
    file = Path(path)
    with open_regular(file) as stream:
        return _read(Unpacked(stream, file), file)


def _read(stream: Unpacked, file: Path) -> NDArray[Any]:
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
    expected = math.prod(shape) * dtype.itemsize
    if math.prod(extent or 1 for extent in shape) >= 2**59 and not expected:
        raise DamagedFileError(file, f"is damaged: its header gives the shape {shape}")
    require_room(file, min(expected, stream.stored * RATIO))
    content = stream.read(expected + 1)
    if len(content) != expected:
        held = "more" if len(content) > expected else str(len(content))
        raise DamagedFileError(
            file,
            f"is damaged or was cut short: its header says {' x '.join(map(str, shape))} elements, "
            f"{expected} bytes, and it holds {held}. Remove it and fetch it again",
        )
    array: NDArray[Any] = np.ndarray(shape, dtype, content)
    return array.astype(dtype.newbyteorder("="), copy=False)
