"""The IDX reader reads what is there, believes no header, and names a damaged file."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from glubina.data import read_idx
from glubina.files import DamagedFileError, FileError


def idx(array: np.ndarray, code: int) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize(
    ("dtype", "code"),
    [("u1", 0x08), ("i1", 0x09), (">i2", 0x0B), (">i4", 0x0C), (">f4", 0x0D), (">f8", 0x0E)],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_element_type(tmp_path: Path, dtype: str, code: int, zipped: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    content = idx(array, code)
    (tmp_path / "set").write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(tmp_path / "set")
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_cut_anywhere_is_named(tmp_path: Path, zipped: bool) -> None:
    content = idx(np.arange(100, dtype="u1").reshape(4, 25), 0x08)
    whole = gzip.compress(content) if zipped else content
    for length in (0, 3, 8, 11, 40, len(whole) - 1):
        (tmp_path / "images.gz").write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=r"images\.gz"):
            read_idx(tmp_path / "images.gz")


def test_the_message_tells_what_was_promised_and_what_came(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(idx(np.zeros((4, 25), "u1"), 0x08)[:-30])
    with pytest.raises(DamagedFileError, match=r"4 x 25 elements, 100 bytes, and it holds 70"):
        read_idx(tmp_path / "images")
    (tmp_path / "images").write_bytes(idx(np.zeros((4, 25), "u1"), 0x08) + b"x")
    with pytest.raises(DamagedFileError, match="100 bytes, and it holds more"):
        read_idx(tmp_path / "images")


def test_an_altered_byte_of_a_gzip_is_found(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(idx(np.arange(200, dtype="u1"), 0x08)))
    whole[-6] ^= 1  # in the checksum at the end
    (tmp_path / "labels.gz").write_bytes(whole)
    with pytest.raises(DamagedFileError, match="damaged"):
        read_idx(tmp_path / "labels.gz")


def test_a_header_that_promises_too_much_takes_no_memory(tmp_path: Path) -> None:
    header = struct.pack(">BBBB4I", 0, 0, 0x0E, 4, *[2**32 - 1] * 4)
    for content in (header + b"\1" * 100, gzip.compress(header + b"\1" * 100)):
        (tmp_path / "huge").write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(DamagedFileError, match="holds 100"):
                read_idx(tmp_path / "huge")
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("content", [b"PK\3\4", b"\0\0\7\1", b"\0\1\x08\1", b"\0\0\x08\xff"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content + b"\0" * 50)
    with pytest.raises(DamagedFileError, match=r"not an IDX file|255 axes"):
        read_idx(tmp_path / "other")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nothing"):
        read_idx(tmp_path / "nothing")
