"""For tests of pictures: how large a PNG is."""

from __future__ import annotations

import struct
from pathlib import Path


def size_of(path: Path) -> tuple[int, int]:
    """The width and height of a PNG, from its header."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:])
    return int(width), int(height)
