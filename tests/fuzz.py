"""A coverage-guided fuzzer of all that reads files: `python tests/fuzz.py --seconds 60`.

Each target has a reader and valid files. Inputs are made by changing those that have reached lines
of the library which no other input has reached; they are kept in memory. An input fails the reader
if it is let out with an error that is not the library's own, that does not name the file, that is
longer than a screen, or after too long a time or too much memory; it is then printed.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz_targets import TARGETS, Target

import glubina

PACKAGE = str(Path(glubina.__file__).parent) + os.sep
LEAST = 4  # inputs that are tried, however busy the machine is
SLOWEST = 5.0  # seconds that one input may take, on a busy machine and under the tracer
MOST = 24 * 2**20  # bytes that may be allocated beside a hundred times the input
LONGEST = 3000  # characters of a message

NUMBERS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40,
           2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
TEXTS = (b"-1", b"0", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"[" * 100,
         b"9" * 30, b"18446744073709551616", b"../../../etc/passwd", b"/dev/zero", b"\0", b"\xff",
         b'"__class__"', b'"os.system"', b",", b"\n", b'"', b"'", b"O", b"<U999999999")  # fmt: skip


class Failure(AssertionError):
    """An input that a reader did not refuse as it must."""


@dataclass
class Report:
    """What a run of the fuzzer has done: inputs tried, inputs kept, lines reached, inputs read."""

    runs: int = 0
    corpus: list[bytes] = field(default_factory=list)
    lines: set[tuple[str, int]] = field(default_factory=set)
    read: int = 0


def fuzz(target: Target, seconds: float, seed: int = 0) -> Report:
    """Try inputs for so long; raises Failure with the input that broke the reader."""
    chance, report = random.Random(seed), Report(corpus=list(target.seeds()))
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="glubina-fuzz-") as folder:
        path = Path(folder) / target.file
        for valid in list(report.corpus):
            problem, _ = attempt(target, path, valid, report.lines)
            if problem is not None:
                raise Failure(f"{target.name}: a valid file is refused: {problem!r}")
            report.read += 1
        while time.monotonic() < end or report.runs < LEAST:
            content = mutated(chance.choice(report.corpus), report.corpus, chance)
            known = len(report.lines)
            problem, peak = attempt(target, path, content, report.lines)
            report.runs += 1
            report.read += problem is None
            if peak > MOST + 100 * len(content):
                raise Failure(_told(target, content, f"{peak} bytes were allocated"))
            if len(report.lines) > known and len(content) < 200_000:
                report.corpus.append(content)
    return report


def attempt(
    target: Target, path: Path, content: bytes, lines: set[tuple[str, int]]
) -> tuple[Exception | None, int]:
    """The error with which the content is refused (None: it is read) and the peak of memory."""
    target.write(path, content)
    begun = time.monotonic()
    tracemalloc.start()
    problem = None
    try:
        with _Traced(lines):
            target.read(path)
    except Exception as error:
        problem = error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    taken = time.monotonic() - begun
    if taken > SLOWEST:
        raise Failure(_told(target, content, f"it took {taken:.1f} s"))
    if problem is not None:
        text = str(problem)
        if not isinstance(problem, target.errors):
            raise Failure(_told(target, content, repr(problem))) from problem
        if target.named and path.parent.name not in text:
            raise Failure(_told(target, content, f"the file is not named: {text}"))
        if len(text) > LONGEST:
            raise Failure(_told(target, content, f"{len(text)} characters: {text[:300]}"))
    return problem, peak


class _Traced:
    """In the block the lines of the library that run are added to a set."""

    def __init__(self, lines: set[tuple[str, int]]) -> None:
        self.lines = lines

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self._entered)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def _entered(self, frame: FrameType, event: str, argument: Any) -> Any:
        inside = frame.f_code.co_filename.startswith(PACKAGE)
        return self._stepped if inside and threading.current_thread() is _MAIN else None

    def _stepped(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._stepped


_MAIN = threading.main_thread()


def _told(target: Target, content: bytes, what: str) -> str:
    shown = content if len(content) < 2000 else content[:2000] + b"..."
    return f"{target.name}: {what}\ninput ({len(content)} bytes): {shown!r}"


# -- changing inputs ------------------------------------------------------------------------------


def mutated(content: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    """The content after one to four changes."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(_CHANGES)(made, corpus, chance)
    return bytes(made)


def _place(made: bytearray, chance: random.Random) -> int:
    # headers are at the beginning, and archives have one at the end
    size = len(made)
    near = chance.choice((size, size, min(size, 64), min(size, 400)))
    place = chance.randint(0, near)
    return place if chance.random() < 0.9 else size - place


def _flip(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    if made:
        made[_place(made, chance) % len(made)] ^= 1 << chance.randrange(8)


def _put_byte(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    if made:
        made[_place(made, chance) % len(made)] = chance.randrange(256)


def _put_number(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    width, place = chance.choice((2, 4, 8)), _place(made, chance)
    number = chance.choice(NUMBERS) % (1 << 8 * width)
    made[place : place + width] = number.to_bytes(width, chance.choice(("little", "big")))


def _cut(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    del made[_place(made, chance) :]


def _drop(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    place = _place(made, chance)
    del made[place : place + chance.randint(1, 16)]


def _repeat(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    place = _place(made, chance)
    part = made[place : place + chance.randint(1, 64)]
    made[place:place] = part * chance.choice((1, 2, 50))


def _put_text(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    place = _place(made, chance)
    made[place : place + chance.choice((0, 1, 2, 8))] = chance.choice(TEXTS)


def _other_number(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    """Another number in the place of one that is written in digits."""
    places = [i for i, byte in enumerate(made[:5000]) if 48 <= byte <= 57]
    if not places:
        return
    start = stop = chance.choice(places)
    while stop < len(made) and 48 <= made[stop] <= 57:
        stop += 1
    made[start:stop] = chance.choice((str(chance.choice(NUMBERS)).encode(), chance.choice(TEXTS)))


def _splice(made: bytearray, corpus: list[bytes], chance: random.Random) -> None:
    other = chance.choice(corpus)
    made[_place(made, chance) :] = other[chance.randint(0, len(other)) :]


_CHANGES = (_flip, _put_byte, _put_number, _cut, _drop, _repeat, _put_text, _other_number, _splice)


def main() -> None:
    """Fuzz the targets that the command line names, or all."""
    parser = argparse.ArgumentParser(description="Fuzz the readers of files.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown targets {sorted(unknown)}; there are {', '.join(TARGETS)}")
    for name in given.targets or TARGETS:
        report = fuzz(TARGETS[name], given.seconds, given.seed)
        print(
            f"{name}: {report.runs} inputs, {report.read} of them read, {len(report.corpus)} kept, "
            f"{len(report.lines)} lines reached",
            flush=True,
        )


if __name__ == "__main__":
    main()
