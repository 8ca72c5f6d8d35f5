"""`python -m benchmarks.startup`: what a person waits for until the first numbers appear.

Fresh processes import the framework, sum a small tensor, and take the first steps of the Keras
CNN: "cold" with an empty cache of compiled programs, "warm" with the one that the cold run left.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from . import report
from .workloads import CNN

STAGES = ("process", "import", "small sum", "build", "first step", "second step")


def child(system: str, what: str) -> dict[str, float]:
    """Run in the fresh process: the seconds of each stage."""
    seconds: dict[str, float] = {}
    last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[name] = now - last
        last = now

    if system == "torch":
        import torch as framework
    else:
        import glubina as framework
    lap("import")
    if what == "sum":
        assert framework.tensor([1.0, 2.0, 3.0]).sum().item() == 6.0
        lap("small sum")
        return seconds
    from .worker import build

    steps = build(system, CNN.name, "eager channels-last" if system == "torch" else "loop", 2)
    lap("build")
    for name in ("first step", "second step"):
        steps.run(1)
        steps.loss()
        lap(name)
    return seconds


def spawn(system: str, what: str, cache: str) -> dict[str, float]:
    """Start a fresh process, wait for it, and return the seconds of its stages."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.startup", "--child", system, what],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parent.parent,
        env=os.environ | {"GLUBINA_CACHE": cache},
    )
    if done.returncode:
        sys.exit(f"{system} {what} failed:\n{done.stderr.strip()}")
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds | {"process": time.perf_counter() - start}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of each stage the median over the processes."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def measure(system: str, repeats: int) -> dict[str, dict[str, float]]:
    """All of one system: what ran -> stage -> seconds."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="glubina-startup-") as cache:
        spawn(system, "sum", cache)  # the files are read from the disk once, and compiled once
        found["small sum"] = medians([spawn(system, "sum", cache) for _ in range(repeats)])
    if system == "torch":
        found["CNN"] = medians([spawn(system, "cnn", "") for _ in range(repeats)])
        return found
    cold, warm = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="glubina-startup-") as cache:
            cold.append(spawn(system, "cnn", cache))
            warm.append(spawn(system, "cnn", cache))
    return found | {"CNN, cold cache": medians(cold), "CNN, warm cache": medians(warm)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes of each kind")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(child(*chosen.child)))
        return
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(report.machine(2), highlight=False)
    if warning := report.busy():
        console.print(f"[yellow]! {warning}", highlight=False)
    drawn = Table(title="Seconds in fresh processes, medians", box=box.SIMPLE_HEAD)
    drawn.add_column("")
    for stage in STAGES:
        drawn.add_column(stage, justify="right")
    systems = ["glubina"]
    if importlib.util.find_spec("torch") is not None:
        systems.append("torch")
    for system in systems:
        for what, seconds in measure(system, chosen.repeats).items():
            cells = [f"{seconds[stage]:.3f}" if stage in seconds else "" for stage in STAGES]
            drawn.add_row(f"{system}: {what}", *cells)
    console.print(drawn)


if __name__ == "__main__":
    main()
