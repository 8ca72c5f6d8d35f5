"""Gzipped files, unpacked a piece at a time and within measure."""

from __future__ import annotations

import gzip
import os
import zlib
from io import BufferedReader
from pathlib import Path

from glubina.files.errors import DamagedFileError, FileError, reason
from glubina.files.reading import PIECE, require_plausible

GZIP = b"\x1f\x8b"
ASKED = 8 * 2**20  # bytes after which it is asked again whether they are too many


class Unpacked:
    """The content of a file, gzipped (told by its first bytes) or not, as a stream to read.

    Reading raises DamagedFileError for damage and for data that unpack out of all proportion.
    """

    def __init__(self, stream: BufferedReader, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.stored = os.fstat(stream.fileno()).st_size
        self.zipped = stream.peek(2)[:2] == GZIP
        self._stream = gzip.GzipFile(fileobj=stream) if self.zipped else stream
        self._count, self._asked = 0, 0

    def read(self, count: int | None = None) -> bytearray:
        """The next `count` bytes, fewer at the end; without a count all that are left.

        No memory is taken for more than there are.
        """
        content = bytearray()
        while count is None or len(content) < count:
            piece = self._piece(PIECE if count is None else min(PIECE, count - len(content)))
            if not piece:
                break
            content += piece
        return content

    def _piece(self, count: int) -> bytes:
        try:
            piece = self._stream.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DamagedFileError(
                self.path, f"is damaged or was cut short ({error}). Remove it and fetch it again"
            ) from error
        except OSError as error:
            raise FileError(self.path, f"cannot be read: {reason(error)}") from error
        self._count += len(piece)
        if self.zipped and self._count - self._asked > ASKED:
            require_plausible(self.path, self._count, self.stored)
            self._asked = self._count
        return piece
