"""Processes that share the cache do each other no harm, and no stranger's code is taken."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from glubina.runtime import entries
from glubina.runtime.cache import Cache

ROOT = Path(__file__).resolve().parent.parent.parent
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def started(program: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    """The file of an entry: kernel "a" of the cache in this folder."""
    Cache(tmp_path / "c").write("kernel", "a", b"code")
    (path,) = files(tmp_path / "c")
    assert Cache(tmp_path / "c").read("kernel", "a") == b"code"
    return path


def test_the_folder_and_its_files_are_the_user_s(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Cache(tmp_path / "c").write("kernel", "a", b"code")
    finally:
        os.umask(old)
    (path,) = files(tmp_path / "c")
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_an_entry_that_others_may_write_is_not_taken(
    tmp_path: Path, entry: Path, mode: int
) -> None:
    entry.chmod(mode)
    assert Cache(tmp_path / "c").read("kernel", "a") is None
    Cache(tmp_path / "c").write("kernel", "a", b"mine")
    assert Cache(tmp_path / "c").read("kernel", "a") == b"mine"


@ROOT_ONLY
def test_what_belongs_to_another_is_not_taken(tmp_path: Path, entry: Path) -> None:
    os.chown(entry, 12345, 12345)
    assert Cache(tmp_path / "c").read("kernel", "a") is None
    os.chown(entry, 0, 0)
    os.chown(tmp_path / "c", 12345, 12345)
    with pytest.warns(RuntimeWarning, match=r"not kept, because .* belongs to another user"):
        cache = Cache(tmp_path / "c")
    assert cache.read("kernel", "a") is None


def test_a_folder_that_everybody_may_write_is_not_taken(tmp_path: Path, entry: Path) -> None:
    (tmp_path / "c").chmod(0o777)
    with pytest.warns(RuntimeWarning, match=r"can be written by everybody; set GLUBINA_CACHE"):
        cache = Cache(tmp_path / "c")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.write("kernel", "b", b"code")
        assert cache.read("kernel", "a") is None


def test_links_pipes_and_giants_are_not_taken(tmp_path: Path, entry: Path) -> None:
    cache = Cache(tmp_path / "c")
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert cache.read("kernel", "a") is None
    entry.unlink()
    os.mkfifo(entry)  # opening it would wait for ever
    assert cache.read("kernel", "a") is None
    entry.unlink()
    with entry.open("wb") as file:
        file.truncate(entries.LARGEST + 1)
    assert cache.read("kernel", "a") is None
    cache.write("kernel", "a", b"again")
    assert cache.read("kernel", "a") == b"again"


def test_leftovers_are_found_whatever_the_clock_says(tmp_path: Path, entry: Path) -> None:
    for hours in (-3, 3):
        partial = entry.with_name(f"x{hours}.partial")
        partial.write_bytes(b"x")
        os.utime(partial, (time.time() + hours * 3600,) * 2)
    Cache(tmp_path / "c").prune()
    assert files(tmp_path / "c") == [entry]


FULL = """
import resource, signal, sys, warnings
from pathlib import Path
from glubina.runtime.cache import Cache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
cache = Cache(Path(sys.argv[1]))
cache.write("kernel", "small", bytes(1000))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    cache.write("kernel", "large", bytes(100_000))
    cache.write("kernel", "large", bytes(100_000))
assert len(caught) == 1 and "cannot be written" in str(caught[0].message), caught
assert cache.read("kernel", "large") is None
"""


def test_a_disk_that_is_full_in_the_middle_of_an_entry(tmp_path: Path) -> None:
    assert started(FULL, tmp_path).wait(60) == 0
    assert len(files(tmp_path)) == 1
    assert Cache(tmp_path).read("kernel", "small") == bytes(1000)


WRITER = """
import sys
from pathlib import Path
from glubina.runtime.cache import Cache
cache = Cache(Path(sys.argv[1]), limit=30_000_000)
print("ready", flush=True)
for k in range(10_000):
    key = str(k % 5)
    content = cache.read("kernel", key)
    assert content is None or content == key.encode() * 2_000_000, key
    cache.write("kernel", key, key.encode() * 2_000_000)
"""


def test_writers_that_are_killed(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(2):
        writers = [started(WRITER, tmp_path) for _ in range(2)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            time.sleep(chance.uniform(0.02, 0.2))
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
    cache = Cache(tmp_path)
    for key in "01234":
        assert cache.read("kernel", key) in (None, key.encode() * 2_000_000)
        cache.write("kernel", key, b"new")
        assert cache.read("kernel", key) == b"new"


TRAINS = """
import hashlib
import numpy as np
import glubina as gl
from glubina import nn, optim
gl.manual_seed(0)
net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
net.compile(optim.Adam(net.parameters()), nn.CrossEntropyLoss())
x = np.linspace(-1, 1, 60, dtype=np.float32).reshape(12, 5)
print("ready", flush=True)
net.fit(x, np.arange(12) % 3, batch_size=4, epochs=2, verbose=0)
digest = hashlib.sha256(b"".join(p.numpy().tobytes() for p in net.parameters()))
print(digest.hexdigest(), flush=True)
"""


def test_programs_of_processes_that_share_a_cache(tmp_path: Path) -> None:
    shared = {"GLUBINA_CACHE": str(tmp_path / "shared"), "GLUBINA_VERIFY": ""}
    trainers = [started(TRAINS, **shared) for _ in range(3)]
    for trainer in trainers:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "ready\n"
    time.sleep(0.3)
    trainers[0].send_signal(signal.SIGKILL)  # in the middle of compiling and writing
    results = {trainer.communicate(timeout=120)[0] for trainer in trainers[1:]}
    for path in files(tmp_path / "shared"):  # a byte of each entry is altered
        content = bytearray(path.read_bytes())
        content[len(content) * 2 // 3] ^= 0x40
        path.write_bytes(content)
    damaged = started(TRAINS, **shared).communicate(timeout=120)[0].removeprefix("ready\n")
    assert results == {damaged}
    assert len(damaged.strip()) == 64
