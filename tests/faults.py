"""Runs of the command line that die, or whose disk fails, at a chosen moment.

`Nursery` starts one process that has imported everything, and forks a child for each run, so that
a run costs a fraction of a second. A fault is a text; several are joined by commas:

    write:7, fsync:7, rename:7, renamed:7   SIGKILL half-way in the seventh write of a file, before
                                            its flush, before its renaming, after it
    time:0.35                               SIGKILL after so many seconds
    stop:0.35, term:0.35, hangup:0.35       SIGINT, SIGTERM, SIGHUP after so many seconds
    full:5-9, readonly:5-9                  "no space left", "read-only" in the writes five to nine
    clock:-1e8                              the clock is wrong by so many seconds
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parent.parent
COUNTED = ("write", "fsync", "rename", "renamed")
ERRORS = {"full": errno.ENOSPC, "readonly": errno.EROFS}
SIGNALS = {
    "time": signal.SIGKILL,
    "stop": signal.SIGINT,
    "term": signal.SIGTERM,
    "hangup": signal.SIGHUP,
}


class Stream:
    """A file that is written; the writes are counted."""

    def __init__(self, stream: BinaryIO, faults: Faults) -> None:
        self._stream, self._faults = stream, faults

    def write(self, data: Any) -> int:
        if self._faults.now("write"):
            self._stream.write(bytes(data)[: len(bytes(data)) // 2])
            self._stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        number = self._faults.fails()
        if number is not None:
            raise OSError(number, os.strerror(number))
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *rest: object) -> None:
        self._stream.close()


class Faults:
    """Counts what is done to files, and lets the chosen ones go wrong."""

    def __init__(self, fault: str) -> None:
        self.chosen = dict(part.split(":", 1) for part in fault.split(",") if part)
        self.counts = dict.fromkeys(COUNTED, 0)

    def now(self, kind: str) -> bool:
        self.counts[kind] += 1
        return self.chosen.get(kind) == str(self.counts[kind])

    def fails(self) -> int | None:
        """The number of the error that this write gets."""
        for kind, number in ERRORS.items():
            first, _, last = self.chosen.get(kind, "0").partition("-")
            if int(first) <= self.counts["write"] <= int(last or first):
                return number
        return None

    def install(self) -> None:
        from glubina.files import atomic

        new, fsync, replace = atomic._new, os.fsync, os.replace

        def counted_new(target: Path) -> Any:
            stream, temporary = new(target)
            return Stream(stream, self), temporary

        def counted_fsync(handle: int) -> None:
            if self.now("fsync"):
                os.kill(os.getpid(), signal.SIGKILL)
            fsync(handle)

        def counted_replace(source: Any, target: Any) -> None:
            if self.now("rename"):
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)
            if self.now("renamed"):
                os.kill(os.getpid(), signal.SIGKILL)

        wrong, clock = float(self.chosen.get("clock", 0)), time.time
        time.time = lambda: clock() + wrong
        atomic._new = counted_new  # type: ignore[assignment]
        os.fsync, os.replace = counted_fsync, counted_replace  # type: ignore[assignment]


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code (negative: the signal), what it said, what it did to files."""

    code: int
    text: str
    counts: dict[str, int]


class Nursery:
    """The process whose children are runs."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "output.txt"
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._log)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    def start(self, *arguments: object, fault: str = "") -> None:
        """Begin a run; `ended` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([fault, *map(str, arguments)]) + "\n")
        self._process.stdin.flush()

    def ended(self) -> Ended:
        """Wait for the run."""
        assert self._process.stdout is not None
        code, counts = json.loads(self._process.stdout.readline())
        return Ended(code, self._log.read_text(encoding="utf-8", errors="replace"), counts)

    def run(self, *arguments: object, fault: str = "") -> Ended:
        """`glubina ...` with a fault."""
        self.start(*arguments, fault=fault)
        return self.ended()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *rest: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()


# -- the process itself ---------------------------------------------------------------------------


def main(log: str) -> None:
    """Fork a child for each line of the input."""
    with suppress(ImportError):
        import matplotlib.figure  # noqa: F401 - so that no child has to
    import glubina.cli.train  # noqa: F401
    from glubina.cli.app import main as run

    for line in sys.stdin:
        fault, *arguments = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            _child(run, arguments, Faults(fault), log, writing)
        os.close(writing)
        os.read(reading, 1)  # Python forgets a signal that comes while a child is being born
        for kind, at in Faults(fault).chosen.items():
            if kind in SIGNALS:
                time.sleep(float(at))
                os.kill(child, SIGNALS[kind])  # it is not yet waited for: the number is its own
        with os.fdopen(reading, "rb") as stream:
            told = stream.read()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps([code, json.loads(told or b"{}")]), flush=True)


def _child(run: Any, arguments: list[str], faults: Faults, log: str, writing: int) -> None:
    with open(log, "wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.stdin.close()
    code: Any = 1
    try:
        os.write(writing, b"\n")
        faults.install()
        sys.argv = ["glubina", *arguments]
        run()
    except SystemExit as ending:
        code = ending.code
    except KeyboardInterrupt:  # before there was a command
        code = 130
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(writing, json.dumps(faults.counts).encode())
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main(sys.argv[1])
