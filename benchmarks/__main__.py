"""`python -m benchmarks`: the same training steps in Glubina and in its peers, taking turns."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from . import contestants, page, report
from .contestants import PEERS, SYSTEMS, USUAL, Contestant, Interpreters
from .report import Outcome
from .turns import Plan, measure
from .workloads import WORKLOADS

AVX2 = (
    ("GLUBINA_CPU", "x86-64-v3"),
    ("ATEN_CPU_CAPABILITY", "avx2"),
    ("ONEDNN_MAX_CPU_ISA", "AVX2"),
    ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
    ("OPENBLAS_CORETYPE", "Haswell"),
    ("XLA_FLAGS", "--xla_cpu_max_isa=AVX2"),
)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every system and mode")
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a turn")
    parser.add_argument(
        "--peers",
        default=",".join(USUAL),
        help=f"systems (torch) or modes (torch:tuned), 'all' or 'none'; usually {','.join(USUAL)}",
    )
    parser.add_argument("--modes", default="loop,compiled,fit", help="Glubina's, 'none' for none")
    parser.add_argument("--warm", action="store_true", help="and first steps with a filled cache")
    parser.add_argument("--avx2", action="store_true", help="restrict all to AVX2 instructions")
    parser.add_argument(
        "--python", action="append", default=[], metavar="SYSTEM=PATH",
        help="the interpreter of a system (or GLUBINA_BENCH_PYTHON=jax=...,tinygrad=...)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements there")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the tables into this page"
    )
    chosen = parser.parse_args()
    for name in chosen.workloads:
        if name not in WORKLOADS:
            parser.error(f"no workload {name!r}; there are {', '.join(WORKLOADS)}")
    if chosen.rounds < 1 or chosen.threads < 1 or chosen.seconds <= 0:
        parser.error("--rounds, --threads and --seconds must be positive")
    try:
        chosen.interpreters = Interpreters.given(chosen.python)
        chosen.entries = entries(chosen.peers, chosen.modes)
    except ValueError as error:
        parser.error(str(error))
    return chosen


def entries(peers: str, modes: str) -> list[tuple[str, str]]:
    """(system, mode) of all that the options name; ValueError for what there is not."""
    named = {"all": list(PEERS), "none": []}.get(peers, peers.split(","))
    named += [] if modes == "none" else [f"glubina:{mode}" for mode in modes.split(",")]
    found = []
    for name in named:
        system, _, mode = name.partition(":")
        if system not in SYSTEMS or (mode and mode not in SYSTEMS[system].modes):
            known = ", ".join(f"{s.name}:{m}" for s in SYSTEMS.values() for m in s.modes)
            raise ValueError(f"no system or mode {name!r}; there are {known}")
        found += [(system, m) for m in ([mode] if mode else SYSTEMS[system].modes)]
    return found


def field_of(workload: str, chosen: argparse.Namespace) -> list[Contestant]:
    """Who takes turns on a workload; the yardsticks among them."""
    variables = AVX2 if chosen.avx2 else ()
    known = [("machine", "sgemm"), ("machine", "copy"), *chosen.entries]
    return [Contestant(system, workload, mode, variables) for system, mode in known]


def leave_out_missing(console: Console, chosen: argparse.Namespace) -> None:
    """Say which systems are not installed, and go on without them."""
    lacking: dict[str, str] = {}
    for system, _ in chosen.entries:
        lacking.setdefault(system, chosen.interpreters.lacks(system))
    for line in filter(None, lacking.values()):
        console.print(f"[yellow]! [/]{line}", highlight=False)
    chosen.entries = [(system, mode) for system, mode in chosen.entries if not lacking[system]]


def main() -> int:
    """Measure, print, and return the exit status: 1 if a system failed on a workload."""
    chosen = arguments()
    console = Console(width=None if sys.stdout.isatty() else 140)
    leave_out_missing(console, chosen)
    about = report.machine(chosen.threads) + (", AVX2 only" if chosen.avx2 else "")
    console.print(about, highlight=False)
    if warning := report.busy():
        console.print(f"[yellow]! [/]{warning}", highlight=False)
    plan = Plan(chosen.threads, chosen.rounds, chosen.seconds, chosen.interpreters, chosen.warm)
    outcomes: list[Outcome] = []
    for name in chosen.workloads or WORKLOADS:
        with console.status(f"{name}: warming up and measuring"):
            outcomes.append(Outcome(WORKLOADS[name], measure(field_of(name, chosen), plan)))
        report.print_outcome(console, outcomes[-1])
        if chosen.json:  # after every workload, so that nothing is lost
            written = {"machine": about, "workloads": [report.as_json(o) for o in outcomes]}
            chosen.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    report.print_summary(console, outcomes)
    if chosen.write:
        names = list(dict.fromkeys(system for system, _ in chosen.entries))
        text = page.steps(outcomes, about, contestants.about(names, chosen.interpreters))
        page.write(chosen.write, "avx2" if chosen.avx2 else "steps", text)
    return int(any(report.failures(outcome) for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
