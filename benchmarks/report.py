"""The measurements as tables for people and as JSON for programs."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from .contestants import PEERS
from .machine import COPIED, FLOPS
from .turns import Result
from .workloads import Workload

CAP = 5.0  # a ratio above it counts as this much in the mean


@dataclass
class Outcome:
    """One workload's measurements; the machine's own (sgemm, copy) are apart from the systems'."""

    workload: Workload
    results: list[Result]

    @property
    def sgemm(self) -> float:
        """The machine's matrix product in flop/s, NaN if it was not measured."""
        return self._yardstick("sgemm", FLOPS)

    @property
    def bandwidth(self) -> float:
        """The machine's copying in bytes per second, read and written, NaN if not measured."""
        return self._yardstick("copy", 2 * COPIED)

    def _yardstick(self, mode: str, amount: float) -> float:
        for result in self.results:
            if (result.contestant.system, result.contestant.mode) == ("machine", mode):
                return amount / result.seconds if result.turns else math.nan
        return math.nan

    @property
    def systems(self) -> list[Result]:
        """All but the yardsticks."""
        return [r for r in self.results if r.contestant.system != "machine"]

    def best(self, *systems: str) -> Result | None:
        """The fastest mode of these systems."""
        done = [r for r in self.results if r.contestant.system in systems and r.turns]
        return min((r for r in done if not r.error), key=lambda r: r.seconds, default=None)

    @property
    def ratio(self) -> float:
        """How many times the best peer takes as long as Glubina's best mode; NaN if unknown."""
        peer, ours = self.best(*PEERS), self.best("glubina")
        return peer.seconds / ours.seconds if peer and ours else math.nan

    def of_mode(self, system: str, mode: str) -> Result | None:
        """The result of a system's mode, if it was measured."""
        for result in self.results:
            if (result.contestant.system, result.contestant.mode) == (system, mode):
                return result if result.turns and not result.error else None
        return None


def geometric_mean(outcomes: list[Outcome]) -> float:
    """Of the ratios to the best peer, each capped."""
    ratios = [min(o.ratio, CAP) for o in outcomes if math.isfinite(o.ratio)]
    return math.prod(ratios) ** (1 / len(ratios)) if ratios else math.nan


def table(outcome: Outcome) -> Table:
    """One workload: a row per system and mode."""
    w = outcome.workload
    reference = outcome.best(*PEERS)
    title = f"{w.name}: {w.title}; mini-batches of {w.batch}, {amount(w.flops)}FLOP a step"
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    drawn.add_column("system", no_wrap=True)
    names = ("median ms", "best peer / this", "GFLOP/s", "of sgemm")
    for name in (*names, "first step s", "warm", "peak MB", "loss"):
        drawn.add_column(name, justify="right", no_wrap=True)
    best = {id(outcome.best(r.contestant.system)) for r in outcome.systems}
    for r in outcome.systems:
        if r.error or not r.turns:
            drawn.add_row(str(r.contestant), "failed", style="red")
            continue
        rate = w.flops / r.seconds
        drawn.add_row(
            str(r.contestant),
            f"{1e3 * r.seconds:.3f} ±{50 * r.spread:2.0f} %",
            f"{reference.seconds / r.seconds:.2f}" if reference else "—",
            f"{rate / 1e9:.1f}",
            f"{100 * rate / outcome.sgemm:.0f} %",
            f"{r.first['step']:.2f}",
            f"{r.warm['step']:.2f}" if r.warm else "",
            f"{r.memory / 1e6:.0f}",
            f"{r.first_loss:.3f} → {r.last_loss:.3f}",
            style="bold" if id(r) in best else "",
        )
    return drawn


def failures(outcome: Outcome) -> list[str]:
    """What went wrong, a line each: a worker's error, a loss that is no number or has risen."""
    lines = []
    for r in outcome.results:
        name = f"{r.contestant} on {outcome.workload.name}"
        if r.error:
            lines.append(f"{name}: {r.error}")
        elif r.turns and not math.isfinite(r.last_loss):
            lines.append(f"{name}: the loss became {r.last_loss}")
        elif outcome.workload.rule and r.last_loss > r.first_loss:
            lines.append(f"{name}: the loss rose from {r.first_loss:.4g} to {r.last_loss:.4g}")
    return lines


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print one workload's table and what went wrong."""
    console.print(table(outcome))
    yardsticks = f"sgemm {outcome.sgemm / 1e9:.0f} GFLOP/s, copy {outcome.bandwidth / 1e9:.0f} GB/s"
    console.print(f"  the machine in the same turns: {yardsticks}", highlight=False)
    for line in failures(outcome):
        console.print(f"[red]! [/]{line}", highlight=False)


def print_summary(console: Console, outcomes: list[Outcome]) -> None:
    """Print the ratio of every workload and their mean."""
    drawn = Table(title="The best peer's time by Glubina's", box=box.SIMPLE_HEAD)
    for name in ("workload", "best peer", "ms", "Glubina", "ms", "ratio"):
        drawn.add_column(name, justify="right" if name in ("ms", "ratio") else "left")
    for outcome in outcomes:
        peer, ours = outcome.best(*PEERS), outcome.best("glubina")
        if peer and ours:
            drawn.add_row(
                *(outcome.workload.name, str(peer.contestant), f"{1e3 * peer.seconds:.3f}"),
                *(ours.contestant.mode, f"{1e3 * ours.seconds:.3f}", f"{outcome.ratio:.2f}"),
            )
    mean = f"{geometric_mean(outcomes):.2f}"
    drawn.add_row("geometric mean", f"(each at most {CAP:g})", "", "", "", mean, style="bold")
    console.print(drawn)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """One workload's measurements as plain data."""
    return {
        "workload": outcome.workload.name,
        "title": outcome.workload.title,
        "flops": outcome.workload.flops,
        "sgemm_flops_per_second": _number(outcome.sgemm),
        "copy_bytes_per_second": _number(outcome.bandwidth),
        "best_peer_by_glubina": _number(outcome.ratio),
        "results": [
            {
                "system": r.contestant.system,
                "mode": r.contestant.mode,
                "label": str(r.contestant),
                "median_seconds": r.seconds if r.turns else None,
                "turns": r.turns,
                "first_seconds": r.first,
                "warm_seconds": r.warm,
                "peak_bytes": r.memory,
                "loss": [_number(r.first_loss), _number(r.last_loss)],
                "error": r.error or None,
            }
            for r in outcome.systems
        ],
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def machine(threads: int) -> str:
    """The machine in one line."""
    return f"{processor()}, {threads} threads, Python {platform.python_version()}"


def busy() -> str:
    """A warning if other programs use the machine now; else nothing."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < 0.5:
        return ""
    return f"other work is going on here (load {load:.1f}): these figures will be worse and uneven"


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def amount(number: float) -> str:
    """A number in steps of a thousand: "15.6 G"."""
    for unit in ("", "k", "M"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} G"
