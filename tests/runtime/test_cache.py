"""The cache on disk: what is whole comes back, and what is not counts as missing."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_kernels import PLAN

from glubina.codegen.target import host
from glubina.runtime import cache as module
from glubina.runtime.cache import Cache, cache_folder, environment_stamp, open_cache

ROOT = Path(__file__).resolve().parent.parent.parent


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "stamp")
    assert cache.read("kernel", "a") is None
    cache.write("kernel", "a", b"one")
    cache.write("kernel", "b", b"")
    cache.write("plan", "a", b"two")
    cache.write("kernel", "a", b"three")
    again = Cache(tmp_path, "stamp")
    assert again.read("kernel", "a") == b"three"
    assert again.read("kernel", "b") == b""
    assert again.read("plan", "a") == b"two"
    assert Cache(tmp_path, "other CPU").read("kernel", "a") is None
    assert not [path for path in files(tmp_path) if path.suffix]


def test_programs(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.read_plan("p") is None
    cache.write_plan("p", PLAN, b"code")
    assert cache.read_plan("p") == (PLAN, b"code")
    cache.write("plan", "q", b"")
    assert cache.read_plan("q") is None
    cache.write("plan", "q", (3).to_bytes(8, "little") + b"{}}")
    assert cache.read_plan("q") is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = Cache(folder)
    cache.write("kernel", "a", b"some object code")
    (path,) = files(folder)
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytes([whole[position] ^ (1 << data.draw(st.integers(0, 7)))])
    changed = whole[:position] + flipped + whole[position + 1 :]
    for damaged in (whole[:position], changed, whole + b"\0"):
        path.write_bytes(damaged)
        assert cache.read("kernel", "a") is None
    cache.write("kernel", "a", b"made again")
    assert cache.read("kernel", "a") == b"made again"


def test_an_entry_under_another_name_is_not_taken(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.write("kernel", "a", b"a's code")
    (path,) = files(tmp_path)
    cache.write("kernel", "b", b"b's code")
    (other,) = [p for p in files(tmp_path) if p != path]
    path.replace(other)
    assert cache.read("kernel", "b") is None


def test_a_folder_in_place_of_an_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.write("kernel", "a", b"code")
    (path,) = files(tmp_path)
    path.unlink()
    path.mkdir()
    assert cache.read("kernel", "a") is None


def test_a_folder_that_cannot_be_written_gives_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache")
    with pytest.warns(RuntimeWarning, match="is not kept, because .* cannot be written"):
        cache.write("kernel", "a", b"code")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.write("kernel", "b", b"code")
    assert cache.read("kernel", "a") is None


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        Cache(tmp_path).write("kernel", "a", b"code")
    assert files(tmp_path) == []


def test_no_cache() -> None:
    cache = Cache(None)
    cache.write("kernel", "a", b"code")
    assert cache.read("kernel", "a") is None
    cache.prune()


def test_the_entries_unused_for_longest_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=10_000)
    for k in range(9):
        cache.write("kernel", str(k), bytes(1000))
        newest = max(files(tmp_path), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1e9 + 1e6 * k, 1e9 + 1e6 * k))
    assert cache.read("kernel", "0") is not None  # used again, so it stays
    cache.write("kernel", "large", bytes(4000))
    cache.prune()
    left = [k for k in range(9) if cache.read("kernel", str(k)) is not None]
    assert left == [0, 7, 8]
    assert cache.read("kernel", "large") is not None
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 10_000


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.write("kernel", "a", b"code")
    old, new = tmp_path / "kernel" / "old.partial", tmp_path / "kernel" / "new.partial"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    cache.prune()
    assert not old.exists()
    assert new.exists()
    assert cache.read("kernel", "a") == b"code"


WRITER = """
import sys
from pathlib import Path
from glubina.runtime.cache import Cache
cache = Cache(Path(sys.argv[1]), limit=200_000)
for k in range(300):
    key = str(k % 7)
    content = cache.read("kernel", key)
    assert content is None or content == key.encode() * 9000, key
    cache.write("kernel", key, key.encode() * 9000)
    if k % 50 == 0:
        cache.prune()
"""


def test_many_processes_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLUBINA_CACHE", "off")
    assert cache_folder() is None
    monkeypatch.setenv("GLUBINA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "code"
    monkeypatch.delenv("GLUBINA_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "glubina" / "code"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "glubina" / "code"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "glubina" / "code"


def test_the_stamp_depends_on_the_cpu_and_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    target = host()
    stamp = environment_stamp(target)
    assert environment_stamp(target) == stamp
    assert environment_stamp(dataclasses.replace(target, cpu="another")) != stamp
    assert (
        environment_stamp(dataclasses.replace(target, features=target.features + "+another"))
        != stamp
    )
    monkeypatch.setattr(module, "_sources", lambda: iter(["changed.py 10 0"]))
    assert environment_stamp(target) != stamp


def test_the_cache_of_this_process_is_opened_once() -> None:
    assert open_cache(host()) is open_cache(host())
    folder = open_cache(host()).folder
    assert folder is not None
    assert folder == cache_folder()
