"""A long trial: runs with faults of every kind, one after another; nothing may be lost.

    python tests/soak.py --seconds 3600

Each job is a run of the recipe "digits" with settings of its own, which is killed, interrupted,
deprived of its disk, given a wrong clock, started twice in its folder, or finds its newest
checkpoint damaged, again and again, at moments drawn from `--seed`. After each fault the newest
whole checkpoint must be no older than before, and the exit code one that belongs to the fault. In
the end the job must come through with the bits of a run that nothing has happened to. As root the
folder is a file system of its own, of four megabytes, which is really full or read-only at times.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults import COUNTED, ROOT, Ended, Nursery

sys.path.insert(0, str(ROOT))

from glubina.files import FileError, sha256
from glubina.train import Checkpoints
from glubina.train.checkpoint_file import read_checkpoint

SIZE = 4 * 2**20  # bytes of the small disk: some five checkpoints
PLANS: list[tuple[Any, ...]] = [
    ("--epochs", 3, "--seed", 1),
    ("--epochs", 4, "--seed", 2, "--patience", 2, "--ema", 0.9, "--save-steps", 7),
    ("--epochs", 3, "--seed", 3, "--augment", "shift:1,cutout:3", "--batch-size", 50),
    ("--epochs", 12, "--seed", 4, "--batch-size", 100, "--save-steps", 10, "--keep", 3),
]
SAME = ("model.safetensors", "model.json", "metrics.json", "curves.png", "confusion.png")
CODES = {
    "kill": {-9, 0}, "interrupt": {130, 143, 0, -15, -2}, "failing disk": {0, 2}, "clock": {-9, 0},
    "full disk": {0, 2}, "read-only": {0, 2}, "two trainers": {0}, "damage": {-9, 0},
}  # fmt: skip


class LostError(AssertionError):
    """Something was lost, or a run ended as it should not."""


class Disk:
    """The folder of the runs; as root a small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        options = f"size={SIZE},mode=777"
        self.own = self._mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))

    def _mount(self, *arguments: str) -> bool:
        if os.geteuid() != 0 or shutil.which("mount") is None:
            return False
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0

    @contextmanager
    def full(self, left: int) -> Iterator[None]:
        """In the block there is room for so many bytes."""
        ballast = self.folder / "ballast"
        free = shutil.disk_usage(self.folder).free
        ballast.write_bytes(bytes(max(free - left, 0)))
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """In the block nothing can be written."""
        self._mount("-o", "remount,ro", str(self.folder))
        try:
            yield
        finally:
            self._mount("-o", "remount,rw", str(self.folder))

    def close(self) -> None:
        """Let the file system go."""
        if self.own:
            subprocess.run(["umount", str(self.folder)], check=True)


class Soak:
    """The jobs, one after another."""

    def __init__(self, work: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.work, self.disk = work, Disk(work / "disk")
        self.counts: Counter[str] = Counter()
        self.whole: dict[int, tuple[Path, Ended]] = {}
        (work / "one").mkdir()
        (work / "two").mkdir()

    def run(self, seconds: float) -> None:
        """Jobs until the time is over."""
        end = time.monotonic() + seconds
        with Nursery(self.work / "one") as first, Nursery(self.work / "two") as second:
            self.first, self.second = first, second
            while time.monotonic() < end:
                self._job(self.chance.randrange(len(PLANS)), end)

    def _reference(self, number: int) -> tuple[Path, Ended]:
        """The run of a plan that nothing happens to; made twice, as the first fills the cache."""
        if number not in self.whole:
            for name in ("warm", "whole"):
                folder = self.work / f"{name}-{number}"
                ended = self.first.run("train", *PLANS[number], "-q", "--output", folder)
                self._require(ended.code == 0, ended, "the reference")
            self.whole[number] = folder, ended
        return self.whole[number]

    def _job(self, number: int, end: float) -> None:
        whole, reference = self._reference(number)
        folder = self.disk.folder / "run"
        faults = self.chance.randint(3, 12)
        for _ in range(faults):
            if time.monotonic() >= end:
                break
            self._fault(PLANS[number], folder, reference)
        ended = self._go_on(PLANS[number], folder)
        self._require(ended.code == 0, ended, "the run at its end")
        self._compare(folder, whole)
        shutil.rmtree(folder)
        self.counts["jobs"] += 1

    def _go_on(self, plan: tuple[Any, ...], folder: Path, fault: str = "") -> Ended:
        threads = "--threads", self.chance.choice([1, 2])
        return self.first.run(
            "train", "digits", *plan, *threads, "-q", "--resume", folder, fault=fault
        )

    def _fault(self, plan: tuple[Any, ...], folder: Path, reference: Ended) -> None:
        kind = self.chance.choice([*CODES, "kill", "kill"])
        if kind in ("full disk", "read-only") and not self.disk.own:
            kind = "failing disk"
        before = newest(folder)
        if kind == "damage":
            damage(folder, self.chance)
            before = newest(folder)
        ended = self._with(kind, plan, folder, self._moment(reference))
        self.counts[kind] += 1
        self._require(ended.code in CODES[kind], ended, kind)
        after = newest(folder)
        self._require(finished(folder) or after >= before, ended, f"{kind}: {before} was lost")

    def _with(self, kind: str, plan: tuple[Any, ...], folder: Path, moment: str) -> Ended:
        if kind == "full disk":
            with self.disk.full(self.chance.choice([0, 10_000, 700_000, 1_500_000])):
                return self._go_on(plan, folder)
        if kind == "read-only":
            with self.disk.read_only():
                return self._go_on(plan, folder)
        if kind == "two trainers":
            return self._two(plan, folder)
        if kind == "interrupt":
            signal = self.chance.choice(["stop", "term"])
            moment = f"{signal}:{self.chance.uniform(0, 1.2):.3f}"
        elif kind == "failing disk":
            at, kind = self.chance.randint(1, 150), self.chance.choice(["full", "readonly"])
            moment = f"{kind}:{at}-{at + self.chance.choice([1, 60])}"
        elif kind == "clock":
            moment += f",clock:{self.chance.choice([-1e9, -4000, 4000, 1e9])}"
        return self._go_on(plan, folder, moment)

    def _two(self, plan: tuple[Any, ...], folder: Path) -> Ended:
        """Both go on with the run at once: one does, the other is refused, or finds it finished."""
        self.second.start("train", "digits", *plan, "-q", "--resume", folder)
        first, second = self._go_on(plan, folder), self.second.ended()
        for ended in (first, second):
            refused = ended.code == 2 and "is training in this folder" in ended.text
            self._require(ended.code == 0 or refused, ended, "two trainers")
        self._require(0 in (first.code, second.code), first, "two trainers: none went on")
        return first if first.code == 0 else second

    def _moment(self, reference: Ended) -> str:
        """When a process is killed: at some work on files, or by the clock."""
        kind = self.chance.choice([*COUNTED, "time", "time"])
        if kind == "time":
            return f"time:{self.chance.uniform(0, 1.2):.3f}"
        return f"{kind}:{self.chance.randint(1, max(reference.counts[kind], 1))}"

    def _compare(self, folder: Path, whole: Path) -> None:
        for name in SAME:
            if (whole / name).exists():
                alike = sha256(folder / name) == sha256(whole / name)
                self._require(alike, None, f"{folder / name} is not that of {whole}")
        self._require(figures(folder) == figures(whole), None, f"{folder}: another history")
        left = {path.name for path in folder.iterdir()} ^ {path.name for path in whole.iterdir()}
        self._require(not left, None, f"{folder}: {left}")

    def _require(self, holds: bool, ended: Ended | None, what: str) -> None:
        if not holds:
            said = "" if ended is None else f"\nexit code {ended.code}\n{ended.text}"
            raise LostError(f"{what}; after {dict(self.counts)}{said}")


def newest(folder: Path) -> str:
    """The name of the newest checkpoint that is whole; "" for none."""
    for path in reversed(Checkpoints(folder / "checkpoints").files()):
        try:
            read_checkpoint(path)
        except FileError:
            continue
        return path.name
    return ""


def damage(folder: Path, chance: random.Random) -> None:
    """Cut the newest of several checkpoints, or change a bit of it."""
    files = Checkpoints(folder / "checkpoints").files()
    if len(files) < 2:
        return
    content = bytearray(files[-1].read_bytes())
    if chance.random() < 0.5:
        del content[chance.randrange(len(content)) :]
    else:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    files[-1].write_bytes(content)


def finished(folder: Path) -> bool:
    """Whether the run has come to its end, and needs its checkpoints no more."""
    settings = folder / "settings.json"
    return settings.exists() and '"finished"' in settings.read_text()


def figures(folder: Path) -> list[str]:
    """The history without the seconds."""
    lines = (folder / "history.csv").read_text().splitlines()
    return [line.rpartition(",")[0] for line in lines]


def soak(seconds: float, seed: int) -> Counter[str]:
    """Run it in a temporary folder; LostError if something was lost."""
    work = Path(tempfile.mkdtemp(prefix="glubina-soak-"))
    trial = Soak(work, seed)
    try:
        trial.run(seconds)
    finally:
        trial.disk.close()
        shutil.rmtree(work, ignore_errors=True)
    return trial.counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A long trial of faults.")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts = soak(given.seconds, given.seed)
    print("nothing was lost:", ", ".join(f"{n} x {name}" for name, n in counts.most_common()))
