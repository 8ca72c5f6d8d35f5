"""`python -m benchmarks`: the same training steps in Glubina and in PyTorch, taking turns."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

from rich.console import Console

from . import report, sgemm
from .turns import Contestant, Result, measure
from .workloads import WORKLOADS, Workload

GLUBINA_MODES = ("loop", "compiled", "fit")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9, help="turns of every system and mode")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a turn")
    parser.add_argument("--only", choices=("glubina", "torch"), help="measure one system only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements there")
    chosen = parser.parse_args()
    for name in chosen.workloads:
        if name not in WORKLOADS:
            parser.error(f"no workload {name!r}; there are {', '.join(WORKLOADS)}")
    if chosen.rounds < 1 or chosen.threads < 1 or chosen.seconds <= 0:
        parser.error("--rounds, --threads and --seconds must be positive")
    return chosen


def contestants(workload: Workload, systems: tuple[str, ...]) -> list[Contestant]:
    """Who takes turns on a workload; the yardstick among them."""
    found = [Contestant("sgemm", workload.name, "")]
    if "torch" in systems:
        found += [
            Contestant("torch", workload.name, f"{mode} {layout}".strip())
            for mode in ("eager", "compile")
            for layout in workload.layouts
        ]
    if "glubina" in systems:
        found += [Contestant("glubina", workload.name, mode) for mode in GLUBINA_MODES]
    return found


def run(workload: Workload, systems: tuple[str, ...], chosen: argparse.Namespace) -> list[Result]:
    """Measure one workload."""
    return measure(contestants(workload, systems), chosen.threads, chosen.rounds, chosen.seconds)


def main() -> int:
    """Measure, print, and return the exit status: 1 if a system failed on a workload."""
    chosen = arguments()
    console = Console(width=None if sys.stdout.isatty() else 110)
    systems: tuple[str, ...] = (chosen.only,) if chosen.only else ("torch", "glubina")
    if "torch" in systems and importlib.util.find_spec("torch") is None:
        console.print(f"[yellow]{report.TORCH_HINT}")
        systems = tuple(system for system in systems if system != "torch")
    console.print(report.machine(chosen.threads), highlight=False)
    if warning := report.busy():
        console.print(f"[yellow]! {warning}", highlight=False)
    written = []
    failed = False
    for name in chosen.workloads or WORKLOADS:
        workload = WORKLOADS[name]
        with console.status(f"{workload.title}: warming up and measuring"):
            results = run(workload, systems, chosen)
        yardstick = sgemm.FLOPS / results[0].seconds if results[0].turns else float("nan")
        report.print_workload(console, workload, results[1:], yardstick)
        console.print(f"  sgemm of {sgemm.SIDE}: {yardstick / 1e9:.0f} GFLOP/s", highlight=False)
        failed = failed or bool(report.failures(results))
        written.append(report.as_json(workload, results, yardstick))
    if chosen.json:
        text = json.dumps(
            {"machine": report.machine(chosen.threads), "workloads": written}, indent=2
        )
        chosen.json.write_text(text + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
