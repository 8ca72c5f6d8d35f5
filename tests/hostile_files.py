"""Hostile files, one by one: made and read in a process that may have little memory.

`python tests/hostile_files.py FOLDER` makes each, reads it, and prints what came of it as JSON.
The process may take half a gigabyte more than it has, and an audit hook notes what it starts,
unpickles, opens to write, or connects to.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_data  # noqa: F401 - it fills the table
from hostile_case import CASES
from hostile_models import torch_load

from glubina import nn
from glubina.nn.saving import load_model, save_model

ROOM = 512 * 2**20
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile", "os.remove",
             "os.rename", "subprocess.Popen", "pickle.find_class", "socket.connect",
             "ctypes.dlopen", "urllib.Request", "shutil.unpack_archive")  # fmt: skip


def outcome(path: Path, make: Callable[[Path], Any], read: Callable[[Path], Any]) -> dict[str, Any]:
    """What came of reading: the error, what was started, the seconds and the memory it took."""
    content = make(path)
    if content is not None:
        path.write_bytes(content)
    del content
    started: list[str] = []
    _watched.append(started)
    begun, before = time.monotonic(), _peak()
    try:
        read(path)
        kinds, text = [], "it was read"
    except Exception as error:
        kinds, text = [kind.__name__ for kind in type(error).__mro__], str(error)
    finally:
        _watched.pop()
    return {
        "kinds": kinds, "text": text, "started": started, "path": str(path),
        "seconds": time.monotonic() - begun, "grown": _peak() - before,
    }  # fmt: skip


_watched: list[list[str]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event in FORBIDDEN:
        _watched[-1].append(event)
    if _watched and event == "open" and set(str(arguments[1] or "")) & set("wax+"):
        _watched[-1].append(f"open {arguments[0]} {arguments[1]}")


def _peak() -> int:
    """The most memory that the process has had at any time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Make and read all files, and print what came of each, a line each."""
    folder = Path(sys.argv[1])
    save_model(nn.Sequential(nn.Linear(2, 2)), folder / "warm")  # what is imported late is now
    load_model(folder / "warm")
    torch_load(folder / "warm" / "model.safetensors")
    sys.addaudithook(_audit)
    with open("/proc/self/statm", encoding="ascii") as stream:
        limit = int(stream.read().split()[0]) * resource.getpagesize() + ROOM
    for number, (name, says, make, read) in enumerate(CASES):
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        found = outcome(folder / f"case-{number}", make, read)
        print(json.dumps({"name": name, "says": says, **found}), flush=True)


if __name__ == "__main__":
    main()
