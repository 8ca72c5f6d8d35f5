"""The measurements as a table for people and as JSON for programs."""

from __future__ import annotations

import math
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from .turns import Result
from .workloads import Workload

TORCH_HINT = (
    "PyTorch is not installed here, so its columns are missing. To have them: "
    f"{sys.executable} -m pip install torch==2.13.0"
)


def best(results: list[Result], system: str) -> Result | None:
    """The fastest mode of a system."""
    done = [result for result in results if result.contestant.system == system and result.turns]
    return min(done, key=lambda result: result.seconds, default=None)


def table(workload: Workload, results: list[Result], sgemm: float) -> Table:
    """One workload: a row per system and mode; `sgemm` is the yardstick in flop/s."""
    reference = best(results, "torch")
    title = f"{workload.title} — {_count(workload.flops)}FLOP a step"
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    drawn.add_column("system", no_wrap=True)
    for name in ("median ms", "torch's best / this", "GFLOP/s", "of sgemm", "loss"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for result in results:
        if result.error or not result.turns:
            drawn.add_row(str(result.contestant), "failed", style="red")
            continue
        ratio = f"{reference.seconds / result.seconds:.2f}" if reference else "—"
        rate = workload.flops / result.seconds
        drawn.add_row(
            str(result.contestant),
            f"{1e3 * result.seconds:.3f} ±{50 * result.spread:2.0f} %",
            ratio,
            f"{rate / 1e9:.1f}",
            f"{100 * rate / sgemm:.0f} %",
            f"{result.first_loss:.3f} → {result.last_loss:.3f}",
            style="bold" if result is best(results, result.contestant.system) else "",
        )
    return drawn


def failures(results: list[Result]) -> list[str]:
    """What went wrong, a line each: a worker's error, or a loss that is no number."""
    lines = [f"{r.contestant} on {r.contestant.workload}: {r.error}" for r in results if r.error]
    return lines + [
        f"{r.contestant} on {r.contestant.workload}: the loss became {r.last_loss}"
        for r in results
        if r.turns and not math.isfinite(r.last_loss)
    ]


def machine(threads: int) -> str:
    """The machine and the versions, in one line."""
    versions = ", ".join(f"{name} {installed(name)}" for name in ("numpy", "llvmlite", "torch"))
    return f"{processor()}, {threads} threads; Python {platform.python_version()}, {versions}"


def busy() -> str:
    """A warning if other programs use the machine now; else nothing."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < 0.5:
        return ""
    return f"other work is going on here (load {load:.1f}): these figures will be worse and uneven"


def installed(package: str) -> str:
    """A package's version, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def as_json(workload: Workload, results: list[Result], sgemm: float) -> dict[str, Any]:
    """One workload's measurements as plain data."""
    return {
        "workload": workload.name,
        "title": workload.title,
        "flops": workload.flops,
        "sgemm_flops_per_second": sgemm,
        "results": [
            {
                "system": result.contestant.system,
                "mode": result.contestant.mode,
                "median_seconds": result.seconds if result.turns else None,
                "turns": result.turns,
                "first_step_seconds": result.first_step,
                "loss": [result.first_loss, result.last_loss],
                "error": result.error or None,
            }
            for result in results
        ],
    }


def print_workload(
    console: Console, workload: Workload, results: list[Result], rate: float
) -> None:
    """Print one workload's table and what went wrong."""
    console.print(table(workload, results, rate))
    for line in failures(results):
        console.print(f"[red]! {line}", highlight=False)


def _count(number: float) -> str:
    for unit in ("", "k", "M"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} G"
