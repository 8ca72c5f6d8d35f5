"""Hostile data sets, tables, images and archives; and names that are no files."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from hostile_case import CASES, Runs, case
from hostile_models import torch_load

from glubina.data import cifar, image_folder, load_csv, load_npy, load_npz, open_data, read_idx
from glubina.data.columns import read_columns
from glubina.data.picture_files import read_picture
from glubina.files import read_json, read_tensors
from glubina.nn.saving import load_model
from glubina.train.checkpoint_file import read_checkpoint

# -- IDX ------------------------------------------------------------------------------------------


def idx(*shape: int, code: int = 8, data: bytes = b"") -> bytes:
    """An IDX file."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + data


def bomb(begin: bytes, size: int, byte: bytes = b"\0") -> bytes:
    """A gzip file of a beginning and `size` times the same byte."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [pack.compress(begin)]
    parts += [pack.compress(byte * 2**20) for _ in range(size >> 20)]
    return b"".join([*parts, pack.flush()])


for _name, _says, _content in (
    ("terabytes", "and it holds 10", idx(*[2**32 - 1] * 8, data=bytes(10))),
    ("terabytes, gzipped", "and it holds 10", gzip.compress(idx(*[2**32 - 1] * 2, data=bytes(10)))),
    ("nothing of too much", "shape", idx(0, *[2**32 - 1] * 3)),
    ("a gzip bomb", "unpacks", bomb(idx(2**27), 2**27)),
    ("a gzip bomb behind a small array", "holds more", bomb(idx(10), 2**27)),
    ("255 axes", "255 axes", b"\0\0\x08\xff" + bytes(2000)),
    ("a gzip in a gzip", "not an IDX file", gzip.compress(gzip.compress(idx(2, data=b"ab")))),
    ("a gzip of another method", "damaged", b"\x1f\x8b\x63" + bytes(50)),
):
    CASES.append((f"IDX: {_name}", _says, lambda path, c=_content: c, read_idx))  # type: ignore[misc]


# -- NumPy ----------------------------------------------------------------------------------------


def npy(header: str, data: bytes = b"", length: int | None = None, major: int = 2) -> bytes:
    """A .npy file with a header of one's own."""
    text = header.encode()
    size = (len(text) if length is None else length).to_bytes(2 if major == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([major, 0]) + size + text + data


def head(descr: str, shape: str) -> str:
    """The text of a header."""
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def _object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Runs()], object), allow_pickle=True)
    return stream.getvalue()


ARRAYS = {
    "objects": ("never unpickled", _object_array()),
    "objects in records": ("records|damaged", npy(head("[('a', '|O')]", "(1,)"), bytes(8))),
    "terabytes": ("says that it holds", npy(head("'<f8'", "(1000000, 1000000)"), bytes(80))),
    "elements of gigabytes": ("unknown dtype", npy(head("'<U999999999'", "(3,)"), bytes(80))),
    "a header of gigabytes": ("no header of", npy("{", b"", 2**32 - 1)),
    "a header that nests": ("damaged header", npy("(" * 5000)),
    "a header of minus signs": ("damaged header", npy("-" * 9000 + "1")),
    "a header that calls": ("damaged header", npy("__import__('os').system('true')")),
    "a negative shape": ("damaged header", npy(head("'<f8'", "(-1,)"), bytes(8))),
    "a shape of floats": ("damaged header", npy(head("'<f8'", "(1.0,)"), bytes(8))),
    "a shape that overflows": ("says that it holds", npy(head("'<f8'", f"(0, {2**62})"))),
    "more than it says": ("says that it holds", npy(head("'<f8'", "(1,)"), bytes(16))),
    "a header of a set": ("not the three entries", npy("{1, 2}")),
    "a header of an address": (r"header \(no plain dictionary", npy("('a' * 10**9)")),
    "a sub-array": ("records", npy(head("'(2,3)f8'", "(1,)"), bytes(48))),
}  # fmt: skip
for _name, (_says, _content) in ARRAYS.items():
    CASES.append((f"npy: {_name}", _says, lambda path, c=_content: c, load_npy))  # type: ignore[misc]


def npz(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    """An archive of these members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)


SMALL = npy(head("'<f8'", "(1,)"), bytes(8))
for _name, _says, _members in (
    ("objects", "never unpickled", [("x.npy", _object_array())]),
    ("a pickle", "which is no .npy", [("x.pkl", pickle.dumps(Runs()))]),
    ("a path that climbs out", "which is no .npy", [("../../owned", b"x")]),
    ("two of one name", "twice", [("x.npy", SMALL), ("x.npy", SMALL)]),
):
    CASES.append((f"npz: {_name}", _says, lambda path, m=_members: npz(path, *m), load_npz))  # type: ignore[misc]


@case("npz: a bomb", "unpacks", load_npz)
def _(path: Path) -> None:
    size = 2**27
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as stream,
    ):
        stream.write(npy(head("'|u1'", f"({size},)")))
        for _ in range(size >> 20):
            stream.write(bytes(2**20))


@case("npz: a bomb that lies about its size", "damaged", load_npz)
def _(path: Path) -> None:
    npz(path, ("x.npy", npy(head("'|u1'", f"({2**24},)"), bytes(2**24))))
    content = path.read_bytes()
    real = (len(npy(head("'|u1'", f"({2**24},)"))) + 2**24).to_bytes(4, "little")
    path.write_bytes(content.replace(real, (2**20).to_bytes(4, "little")))


@case("npz: packed by bzip2", "packed in a way", load_npz)
def _(path: Path) -> None:
    npz(path, ("x.npy", SMALL), method=zipfile.ZIP_BZIP2)


@case("npz: parts that overlap", "parts claim|verlap|damaged", load_npz)
def _(path: Path) -> None:
    npz(path, *((f"{k}.npy", SMALL + bytes(5000)) for k in range(9)), method=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\1\2")
    while place >= 0:  # all of them begin where the first one does
        content[place + 42 : place + 46] = bytes(4)
        place = content.find(b"PK\1\2", place + 4)
    path.write_bytes(content)


# -- tables ---------------------------------------------------------------------------------------

for _name, _says, _content in (
    ("a million columns of names", "has no column 'kind'",
     b",".join(b"c%d" % k for k in range(10**6)) + b"\n" + b",".join([b"1"] * 10**6)),
    ("rows of different lengths", "has 1 columns", b",".join([b"1"] * 10**6) + b"\n1\n"),
    ("a cell of a megabyte", "field larger", b"a,kind\n" + b"x" * 2**20 + b",1\n"),
    ("a quote without end", "is not a CSV", b'a,kind\n"' + b"x" * 1000),
    ("a gzip bomb", "unpacks", bomb(b"a,kind\n", 2**27, b"1")),
    ("bytes that are no text", "UTF-8", b"\xff\xfe\0a"),
    ("semicolons", "are they separated by ';'", b"a;kind\n1;2\n"),
    ("a number beyond float32", "beyond float32", b"a,kind\n1e300,1\n"),
    ("a class beyond int64", "beyond float32", b"a,kind\n1,1e300\n2,1\n"),
):  # fmt: skip
    CASES.append(
        (f"CSV: {_name}", _says, lambda path, c=_content: c, lambda p: load_csv(p, "kind"))  # type: ignore[misc]
    )
CASES.append(
    (
        "CSV: one long text among many",
        "no column besides",  # its array would take 50 GB
        lambda path: b"kind\n" + b"x" * 130_000 + b"\n" + b"y\n" * 100_000,
        read_columns,
    )
)


# -- images ---------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (len(data).to_bytes(4, "big") + kind + data
                + zlib.crc32(kind + data).to_bytes(4, "big"))  # fmt: skip

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + data + chunk(b"IEND", b"")


for _name, _says, _content in (
    ("10^5 x 10^5 pixels", "too large", png(10**5, 10**5)),
    ("13,000 x 13,000 pixels", "too large for", png(13_000, 13_000)),
    ("2^31 pixels wide", "too large|damaged", png(2**31 - 1, 1)),
    ("no pixels", "damaged image", png(0, 0)),
    ("a program in PostScript", "none that is known",
     b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(owned) (w) file\n%%EOF\n"),
    ("a pickle", "none that is known", pickle.dumps(Runs())),
):  # fmt: skip
    CASES.append((f"image: {_name}", _says, lambda path, c=_content: c, read_picture))  # type: ignore[misc]


@case("images: a folder with a pipe and a link to a device", "has no images", image_folder)
def _(path: Path) -> None:
    (path / "cat").mkdir(parents=True)
    os.mkfifo(path / "cat" / "1.png")
    (path / "cat" / "2.png").symlink_to("/dev/zero")


@case(
    "images: a folder whose name a terminal would obey",
    r"\\x1b\[2J/1.png: is a damaged",
    image_folder,
)
def _(path: Path) -> None:
    for name, content in (("\x1b[2J", b"x"), ("b", png(1, 1))):
        (path / name).mkdir(parents=True)
        (path / name / "1.png").write_bytes(content)


# -- CIFAR ----------------------------------------------------------------------------------------


def tar(path: Path, content: bytes) -> None:
    """CIFAR's archive with these bytes in it."""
    path.mkdir()
    (path / cifar.ARCHIVE).write_bytes(content)


def _tar(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar of a file of zeros, of which only the first ones are there."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, "/etc/passwd"
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1536)


for _name, _says, _content in (
    ("a path that climbs out", "does not hold", gzip.compress(_tar("../../owned", 3))),
    ("links", "does not hold", gzip.compress(_tar(cifar.TEST, 0, tarfile.SYMTYPE))),
    ("a device", "does not hold", gzip.compress(_tar(cifar.TEST, 0, tarfile.CHRTYPE))),
    ("a file of gigabytes", "cut short", gzip.compress(_tar(cifar.TEST, 2**32))),
    ("a bomb", "unpacks", bomb(_tar("other", 2**27), 2**27)),
    ("a header that is a bomb", "unpacks|short", bomb(_tar("x", 2**27, tarfile.XHDTYPE), 2**27)),
    ("packed by bzip2", "cut short|damaged", bz2.compress(_tar(cifar.TEST, 0))),
):  # fmt: skip
    CASES.append(
        (
            f"CIFAR: {_name}",
            _says,
            lambda path, c=_content: tar(path, c),
            lambda p: cifar.cifar10(p),
        )  # type: ignore[misc]
    )


# -- names ----------------------------------------------------------------------------------------

for _name, _read in (
    ("tensors", read_tensors), ("JSON", read_json), ("IDX", read_idx), ("npy", load_npy),
    ("npz", load_npz), ("CSV", load_csv), ("image", read_picture), ("model", load_model),
    ("checkpoint", read_checkpoint), ("torch", torch_load), ("data", open_data),
):  # fmt: skip
    for _what, _path, _says in (
        ("a NUL", "a\0b", "is no name|there is no"),
        ("half a character", "a\ud800", "is no name|there is no"),
        ("a device", "/dev/zero", "cannot be read|there is no|can be opened"),
        ("ten thousand letters", "a" * 10_000, "cannot be read|there is no"),
    ):
        CASES.append(
            (
                f"name: {_what}, read as {_name}",
                _says,
                lambda path: None,
                lambda p, r=_read, n=_path: r(Path(n)),
            )  # type: ignore[misc]
        )
