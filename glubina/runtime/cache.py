"""Keeps compiled code on disk, so that a second start compiles nothing."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import struct
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from glubina.codegen.target import Target, host
from glubina.runtime import entries
from glubina.runtime.plan import Plan, PlanError

Kind = Literal["plan", "kernel"]

_log = logging.getLogger(__name__)
_MAGIC = b"glubina code 1\n"
_DIGEST = 32
_LIMIT = 512 << 20


class Cache:
    """A folder of entries, each checked by a digest of its key and its content.

    Many processes may use the folder at once: an entry is written under a name of its own and then
    renamed. A damaged, cut or foreign entry counts as missing: one that was made with another key,
    or that another user owns or may write. Where the folder cannot be written, the cache is
    silently empty after one warning; so it is where the folder belongs to another user or everybody
    may write into it. The entries unused for the longest time are removed when there are more than
    `limit` bytes of them.
    """

    def __init__(self, folder: Path | None, stamp: str = "", limit: int = _LIMIT) -> None:
        self._folder = folder
        trouble = None if folder is None else entries.distrust(folder)
        if trouble is not None:
            self._give_up(f"{folder} {trouble}")
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
        found = entries.read_entry(path)
        if found is None:
            return None
        data, age = found
        start = len(_MAGIC) + _DIGEST
        content = data[start:]
        if data[:start] != _MAGIC + self._digest(kind, key, content):
            _log.debug("%s is damaged and will be made again", path)
            return None
        if age > entries.HOUR:
            entries.touch(path)
        return content

    def write(self, kind: Kind, key: str, content: bytes) -> None:
        """Keep an entry; failing to is no error."""
        if self._folder is None:
            return
        path = self._path(self._folder, kind, key)
        data = _MAGIC + self._digest(kind, key, content) + content
        try:
            entries.make_folder(self._folder)
            entries.write_entry(path, data)
            self._until_prune -= len(data)
            if self._until_prune < 0:
                self._until_prune = self._limit // 16
                self.prune()
        except OSError as error:
            self._give_up(f"{self._folder} cannot be written ({error})")

    def prune(self) -> None:
        """Remove the entries unused for the longest time, if all take more than the limit."""
        if self._folder is not None:
            entries.prune(self._folder, self._limit)

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

    def _give_up(self, reason: str) -> None:
        warnings.warn(
            f"compiled code is not kept, because {reason}; set GLUBINA_CACHE to another folder, or "
            "to 'off'",
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

    own = getattr(sys.modules["glubina"], "__version__", "")
    python = sys.implementation.cache_tag or ""
    parts = [own, python, llvmlite.__version__, str(target), *_sources()]
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
