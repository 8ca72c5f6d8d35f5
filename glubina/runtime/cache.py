"""Keeps compiled code on disk, so that a second start compiles nothing."""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
import os
import struct
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from glubina.codegen.target import Target, host
from glubina.runtime.plan import Plan, PlanError

Kind = Literal["plan", "kernel"]

_log = logging.getLogger(__name__)
_MAGIC = b"glubina code 1\n"
_DIGEST = 32
_LIMIT = 512 << 20
_HOUR = 3600.0
_PARTIAL = ".partial"
_numbers = itertools.count()


class Cache:
    """A folder of entries, each checked by a digest of its key and its content.

    Many processes may use the folder at once: an entry is written under a name of its own and then
    renamed. A damaged, cut or foreign entry counts as missing. Where the folder cannot be written,
    the cache is silently empty after one warning. The entries unused for the longest time are
    removed when there are more than `limit` bytes of them.
    """

    def __init__(self, folder: Path | None, stamp: str = "", limit: int = _LIMIT) -> None:
        self._folder = folder
        self._stamp = stamp
        self._limit = limit
        self._until_prune = 0

    @property
    def folder(self) -> Path | None:
        """Where the entries are; None if there is no cache."""
        return self._folder

    def read(self, kind: Kind, key: str) -> bytes | None:
        """The content of an entry, or None if there is none that is whole."""
        if self._folder is None:
            return None
        path = self._path(self._folder, kind, key)
        try:
            with path.open("rb") as file:
                age = time.time() - os.fstat(file.fileno()).st_mtime
                data = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.debug("cannot read %s: %s", path, error)
            return None
        start = len(_MAGIC) + _DIGEST
        content = data[start:]
        if data[:start] != _MAGIC + self._digest(kind, key, content):
            _log.debug("%s is damaged and will be made again", path)
            return None
        if age > _HOUR:
            self._touch(path)
        return content

    def write(self, kind: Kind, key: str, content: bytes) -> None:
        """Keep an entry; failing to is no error."""
        if self._folder is None:
            return
        path = self._path(self._folder, kind, key)
        data = _MAGIC + self._digest(kind, key, content) + content
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, data)
            self._until_prune -= len(data)
            if self._until_prune < 0:
                self._until_prune = self._limit // 16
                self.prune()
        except OSError as error:
            self._give_up(error)
            return

    def prune(self) -> None:
        """Remove the entries unused for the longest time, if all take more than the limit."""
        if self._folder is None:
            return
        entries = sorted(_files(self._folder))
        total = sum(size for _, size, _ in entries)
        # some room is made, so that the next write need not prune again
        aim = total if total <= self._limit else self._limit * 3 // 4
        now = time.time()
        for used, size, path in entries:
            abandoned = path.suffix == _PARTIAL and now - used > _HOUR
            if total > aim or abandoned:
                path.unlink(missing_ok=True)
                total -= size

    def read_plan(self, key: str) -> tuple[Plan, bytes] | None:
        """A program's plan and its object code, or None if they are not there whole."""
        data = self.read("plan", key)
        if data is None or len(data) < 8:
            return None
        (length,) = struct.unpack_from("<Q", data)
        try:
            return Plan.from_json(data[8 : 8 + length]), data[8 + length :]
        except PlanError as error:
            _log.debug("the plan %s is made again: %s", key, error)
            return None

    def write_plan(self, key: str, plan: Plan, code: bytes) -> None:
        """Keep a program: its plan and its object code."""
        text = plan.to_json().encode()
        self.write("plan", key, struct.pack("<Q", len(text)) + text + code)

    def _path(self, folder: Path, kind: Kind, key: str) -> Path:
        name = hashlib.blake2b(f"{self._stamp}\n{kind}\n{key}".encode(), digest_size=20).hexdigest()
        return folder / kind / name[:2] / name

    def _digest(self, kind: Kind, key: str, content: bytes) -> bytes:
        state = hashlib.blake2b(f"{self._stamp}\n{kind}\n{key}\n".encode(), digest_size=_DIGEST)
        state.update(content)
        return state.digest()

    def _touch(self, path: Path) -> None:
        try:
            os.utime(path)
        except OSError as error:  # a folder that is only read
            _log.debug("cannot mark %s as used: %s", path, error)

    def _give_up(self, error: OSError) -> None:
        warnings.warn(
            f"compiled code is not kept, because {self._folder} cannot be written ({error}); "
            "set GLUBINA_CACHE to another folder, or to 'off'",
            RuntimeWarning,
            stacklevel=3,
        )
        self._folder = None


@functools.cache
def open_cache(target: Target) -> Cache:
    """The cache of this user for code made by this version of the package for a target.

    `GLUBINA_CACHE` names its folder, or is `off`; without it, it is in the system's place for
    caches.
    """
    folder = cache_folder()
    return Cache(folder, environment_stamp(target) if folder else "")


def load_program(key: str) -> tuple[Plan, bytes] | None:
    """A finished program for this CPU from the cache: its plan and its object code."""
    return open_cache(host()).read_plan(key)


def store_program(key: str, plan: Plan, code: bytes) -> None:
    """Keep a finished program for this CPU."""
    open_cache(host()).write_plan(key, plan, code)


def cache_folder() -> Path | None:
    """Where compiled code is kept, or None if `GLUBINA_CACHE` is `off`."""
    chosen = os.environ.get("GLUBINA_CACHE", "")
    if chosen.lower() in ("off", "0"):
        return None
    if chosen:
        return Path(chosen).expanduser() / "code"
    if sys.platform == "darwin":
        base = Path("~/Library/Caches")
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return base.expanduser() / "glubina" / "code"
    except RuntimeError:  # no home
        return None


def environment_stamp(target: Target) -> str:
    """What compiled code depends on beside its own key: versions, this package, the CPU."""
    import llvmlite

    parts = [sys.implementation.cache_tag or "", llvmlite.__version__, str(target), *_sources()]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=20).hexdigest()


def _sources() -> Iterator[str]:
    """Each source file of the package: its path, size and time of change.

    A person who changes the engine, or the formula of a layer, must not be served the code of
    yesterday's.
    """
    package = Path(__file__).parent.parent
    for where, _, names in os.walk(package):
        for name in sorted(names):
            if name.endswith((".py", ".ll")):
                path = os.path.join(where, name)
                info = os.stat(path)
                yield f"{os.path.relpath(path, package)} {info.st_size} {info.st_mtime_ns}"


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """The time of last use, the size and the path of each file."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            try:
                info = path.stat()
            except OSError:  # removed by another process
                continue
            yield info.st_mtime, info.st_size, path


def _write_atomically(path: Path, data: bytes) -> None:
    # this room is below `files`, and an entry may be lost: so it is not flushed to the disk either
    # (its digest tells whether all of it got there), which a cold start would wait for
    partial = path.with_name(f"{path.name}.{os.getpid()}.{next(_numbers)}{_PARTIAL}")
    try:
        with partial.open("xb") as file:
            file.write(data)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
