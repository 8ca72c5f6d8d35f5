"""What a killed process leaves is removed by the next; what a living one writes is not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glubina import files
from glubina.files.leftovers import SUFFIX

ROOT = Path(__file__).resolve().parent.parent.parent

HANGS = """
import sys
from glubina.files import open_atomic
with open_atomic(sys.argv[1]) as stream:
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""

WRITES = """
import sys
from glubina.files import write_bytes
for k in range(150):
    write_bytes(sys.argv[1], sys.argv[2].encode() * 20_000)
"""


def started(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith(SUFFIX)]


def test_a_killed_writer_leaves_the_old_file_and_its_litter_goes(tmp_path: Path) -> None:
    target, other = tmp_path / "a.bin", tmp_path / "b.bin"
    files.write_bytes(target, b"old")
    writers = [started(HANGS, target), started(HANGS, other)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
    assert len(half_written(tmp_path)) == 2
    files.require_writable(tmp_path)  # both live: nothing is removed
    assert len(half_written(tmp_path)) == 2
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    assert target.read_bytes() == b"old"
    files.write_bytes(target, b"new")
    assert [path.name.split(".")[1] for path in half_written(tmp_path)] == ["b"]
    files.require_writable(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin"]


def test_processes_that_write_one_file_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    writers = [started(WRITES, target, letter) for letter in "xyz"]
    while any(writer.poll() is None for writer in writers):
        if target.exists():
            content = target.read_bytes()
            assert content == content[:1] * 20_000
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    for writer in writers:
        writer.communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_files_of_others_are_not_touched(tmp_path: Path) -> None:
    names = [".a.bin.12345678.part", "b" + SUFFIX, ".c.bin.tmp", "d.bin"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / f".folder{SUFFIX}").mkdir()
    (tmp_path / f".link{SUFFIX}").symlink_to(tmp_path / "d.bin")
    files.require_writable(tmp_path)
    assert all((tmp_path / name).exists() for name in names)


def test_a_name_of_full_length(tmp_path: Path) -> None:
    for name in ("a" * 255, "я" * 127):
        files.write_bytes(tmp_path / name, b"1")
        assert (tmp_path / name).read_bytes() == b"1"


@pytest.mark.parametrize("name", ["a\0b", "\udcff\ud800"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    actions = (files.read_bytes, files.read_json, files.read_tensors, files.sha256)
    for act in (*actions, files.require_writable, lambda path: files.write_bytes(path, b"")):
        with pytest.raises(files.FileError, match=r"is no name that a (file|folder) can have"):
            act(target)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), ("/dev/zero", "dev")):
        for read in (files.read_bytes, files.read_json, files.read_tensors, files.sha256):
            with pytest.raises(files.FileError, match=f"cannot be read: is .*{kind}"):
                read(path)


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.truncate(2**43)
    for read in (files.read_bytes, files.read_tensors):
        with pytest.raises(files.FileError, match=r"of memory are free|is damaged"):
            read(path)
    with pytest.raises(files.FileError, match="may have up to"):
        files.read_json(path)


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    target = tmp_path / "a.safetensors"
    files.write_tensors(target, {"w": np.ones(3)})
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "write":
        monkeypatch.setattr("glubina.files.tensors._view", full)
    else:
        monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match=r"[Nn]o space left"):
        files.write_tensors(target, {"w": np.zeros(3)})
    monkeypatch.undo()
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


TOO_LARGE = """
import resource, signal, sys
import numpy as np
from glubina.files import FileError, read_tensors, write_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
write_tensors(sys.argv[1], {"w": np.ones(10)})
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_tensors(sys.argv[1], {"w": np.ones(100_000)})
except FileError as error:
    assert "cannot be written: file too large" in str(error), error
else:
    raise AssertionError("it was written")
assert (read_tensors(sys.argv[1])["w"] == np.ones(10)).all()
"""


def test_a_disk_that_ends_within_the_file(tmp_path: Path) -> None:
    writer = started(TOO_LARGE, tmp_path / "a.safetensors")
    writer.communicate()
    assert writer.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
