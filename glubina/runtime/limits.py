"""What this process may use of the machine: how many cores, how much memory."""

from __future__ import annotations

import functools
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

_CGROUP = Path("/sys/fs/cgroup")


def default_threads() -> int:
    """How many threads to compute with unless told otherwise: one per physical core we may use.

    The environment variable `GLUBINA_THREADS` decides if it is set; else the scheduler's affinity
    and the container's quota are obeyed. Two threads of one core share its arithmetic units, so
    the second gains nothing here.
    """
    text = os.environ.get("GLUBINA_THREADS", "")
    if text:
        if not text.isdigit() or int(text) < 1:
            raise ValueError(f"GLUBINA_THREADS should be a positive integer, it is {text!r}")
        return int(text)
    quota = cpu_quota(_cgroup_folders("cpu"))
    cores = _cores()
    return cores if quota >= cores else max(1, math.ceil(quota))


def _cores() -> int:
    """Physical cores on which the scheduler may put this process."""
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return os.cpu_count() or 1
    return len({_core(cpu) for cpu in os.sched_getaffinity(0)})


@functools.cache
def _core(cpu: int) -> str:
    """The core that a CPU of the system is a thread of."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return _read(path) or str(cpu)


def cpu_quota(folders: list[Path]) -> float:
    """Cores' worth of time that control groups allow (infinity if they do not say)."""
    quota = math.inf
    for folder in folders:
        words = _read(folder / "cpu.max").split()  # version 2: "QUOTA PERIOD" or "max PERIOD"
        if not words:
            quota_v1, period = "cpu.cfs_quota_us", "cpu.cfs_period_us"
            words = [_read(folder / quota_v1), _read(folder / period)]
        if len(words) == 2 and all(w.isdigit() for w in words) and int(words[1]):
            quota = min(quota, int(words[0]) / int(words[1]))
    return quota


class OutOfMemoryError(MemoryError):
    """A computation needs more memory than there is; it was refused before it began.

    needed, available: bytes. parts: what is needed, in words. source: what limits the memory.
    largest: the largest arrays of the computation, in words. advice: what would fit.
    """

    def __init__(self, what: str, needed: int, parts: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.needed, self.parts = needed, parts
        self.available, self.source = available_memory(), memory_limit().source
        self.largest: list[str] = []
        self.advice: list[str] = []

    def __str__(self) -> str:
        lines = [
            f"{self.what} needs {size_text(self.needed)} of memory, but only "
            f"{size_text(self.available)} are available"
        ]
        if self.parts:
            lines.append(f"needed: {self.parts}")
        lines.append(f"available: {self.source}; swap is not counted")
        if self.largest:
            lines += ["the largest arrays:", *(f"  {line}" for line in self.largest)]
        advice = self.advice or ["a smaller mini-batch, or a smaller model"]
        return "\n".join([*lines, "what would fit:", *(f"  {line}" for line in advice)])


class Limit(NamedTuple):
    """How many bytes can still be had, and what sets this bound."""

    free: int
    source: str


def available_memory() -> int:
    """Bytes that can still be allocated: what the machine has free, or less under a limit."""
    return memory_limit().free


def memory_limit() -> Limit:
    """The tightest of: the machine's free memory, the container's limits, the process's own."""
    free = _machine_memory()
    limits = [Limit(free, f"the machine has {size_text(free)} free")]
    for folder in _cgroup_folders("memory"):
        limits += _group_limits(folder)
    return min([*limits, *_process_limits()], key=lambda limit: limit.free)


def _group_limits(folder: Path) -> list[Limit]:
    """Those of a control group, where it has some."""
    found = []
    for name, usage in (
        ("memory.max", "memory.current"),
        ("memory.high", "memory.current"),  # beyond it a process is stopped again and again
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        bound, used = _read(folder / name), _read(folder / usage)
        if bound.isdigit() and used.isdigit():
            # the page cache counts as used, but the kernel gives it up under pressure
            cache = _field(folder / "memory.stat", ("inactive_file", "total_inactive_file"))
            taken = max(0, int(used) - cache)
            found.append(
                Limit(
                    max(0, int(bound) - taken),
                    f"the container may use {size_text(int(bound))} ({folder / name}), of which "
                    f"{size_text(taken)} are in use",
                )
            )
    return found


def _process_limits() -> list[Limit]:
    """Those that `ulimit` sets: of the address space, and of data."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    found = []
    for name, option, field in (
        ("RLIMIT_AS", "-v", "VmSize:"),
        ("RLIMIT_DATA", "-d", "VmData:"),
    ):
        bound = resource.getrlimit(getattr(resource, name))[0]
        if bound != resource.RLIM_INFINITY:
            used = _field(Path("/proc/self/status"), (field,)) << 10
            found.append(
                Limit(
                    max(0, bound - used),
                    f"this process may use {size_text(bound)} ({name}, ulimit {option}), of which "
                    f"{size_text(used)} are in use",
                )
            )
    return found


def require_memory(nbytes: int, what: str) -> None:
    """Raise OutOfMemoryError with the numbers if `nbytes` more cannot be had."""
    if nbytes > available_memory():
        raise OutOfMemoryError(what, nbytes)


def size_text(nbytes: int) -> str:
    """So many bytes for people to read."""
    value = float(nbytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{nbytes} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def _machine_memory() -> int:
    available = _field(Path("/proc/meminfo"), ("MemAvailable:",))
    if available:
        return available << 10
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return sys.maxsize


def _cgroup_folders(controller: str) -> list[Path]:
    """The folders of the control groups that this process is in, from its own to the root."""
    folders: list[Path] = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            root = _CGROUP
        elif controller in controllers.split(","):
            root = _CGROUP / controllers
        else:
            continue
        own = root / path.lstrip("/")
        folders += [own, *(parent for parent in own.parents if parent.is_relative_to(root))]
    return folders


def _field(path: Path, names: tuple[str, ...]) -> int:
    for line in _read(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in names and words[1].isdigit():
            return int(words[1])
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
