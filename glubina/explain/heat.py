"""A tensor as a small picture: blue where negative, red where positive, white at zero."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_MOST = 24  # pixels along each side


def matrix(value: Array) -> Array:
    """At most 24 by 24 means of a tensor's elements, its last axis across.

    Of an image batch (four axes) the first example's first channel is taken; of images of one
    pixel, as global pooling gives them, all channels.
    """
    numbers = np.asarray(value, np.float64)
    if numbers.ndim == 4 and numbers.shape[1:3] != (1, 1):
        numbers = numbers[0, :, :, 0]
    numbers = numbers.reshape(-1, numbers.shape[-1] if numbers.ndim else 1)
    for axis in (0, 1):
        count = numbers.shape[axis]
        if count > _MOST:
            starts = np.arange(_MOST) * count // _MOST
            sizes = np.diff(np.append(starts, count))
            sums = np.add.reduceat(numbers, starts, axis=axis)
            numbers = sums / (sizes[:, None] if axis == 0 else sizes[None, :])
    return numbers


def png(value: Array) -> bytes:
    """The picture, a pixel for an element (or for the mean of some)."""
    numbers = matrix(value)
    finite = np.where(np.isfinite(numbers), numbers, 0)
    largest = float(np.abs(finite).max(initial=0)) or 1.0
    share = np.clip(finite / largest, -1, 1)
    fade = 1 - np.abs(share)
    colours = np.empty((*numbers.shape, 3))
    colours[..., 0] = np.where(share < 0, 33 + 222 * fade, 178 + 77 * fade)
    colours[..., 1] = np.where(share < 0, 102 + 153 * fade, 24 + 231 * fade)
    colours[..., 2] = np.where(share < 0, 172 + 83 * fade, 43 + 212 * fade)
    colours[~np.isfinite(numbers)] = 0
    return _encoded(colours.astype(np.uint8))


def data_uri(value: Array) -> str:
    """The picture as a text that a page or drawing can contain."""
    return "data:image/png;base64," + base64.b64encode(png(value)).decode()


def _encoded(pixels: Array) -> bytes:
    """Pixels (height, width, 3) of bytes as a PNG file (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    ]
    found = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        check = zlib.crc32(kind + data)
        found += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
    return found
