"""`python -m benchmarks.ablations`: a step with one technique of the engine taken away."""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from glubina.graph.techniques import TECHNIQUES

from . import page, report
from .contestants import Contestant
from .report import Outcome
from .turns import Plan, Result, measure
from .workloads import WORKLOADS

USUAL = ("mlp", "keras_cnn", "lenet5", "resnet20", "playground", "mobilenet")


@dataclass(frozen=True)
class Ablation:
    """A technique: how the step runs without it."""

    without: str
    mode: str = "compiled"
    variables: tuple[tuple[str, str], ...] = ()


ABLATIONS = (
    Ablation("nothing: a step under `gl.compile`"),
    Ablation("nothing, measured once more: so far goes chance"),
    Ablation("tracing saved by `gl.compile`: an ordinary loop", mode="loop"),
    Ablation("Winograd's transforms", variables=(("GLUBINA_CONV", "direct"),)),
    *(Ablation(text, variables=(("GLUBINA_WITHOUT", name),)) for name, text in TECHNIQUES.items()),
    Ablation("vectors of 512 bits", variables=(("GLUBINA_VECTOR_BITS", "256"),)),
    Ablation("AVX-512 at all", variables=(("GLUBINA_CPU", "x86-64-v3"),)),
    Ablation("a second thread", variables=(("GLUBINA_THREADS", "1"), ("BENCHMARK_THREADS", "1"))),
)
WHOLE = Ablation("calls from Python, step by step (so: with `fit`)", mode="fit")


def contestants(workload: str) -> list[Contestant]:
    """A worker for every ablation of a workload."""
    return [
        Contestant("glubina", workload, a.mode, a.variables, a.without) for a in (*ABLATIONS, WHOLE)
    ]


def table(outcomes: list[Outcome]) -> str:
    """A row for every ablation: its time by that of the whole, on every workload."""
    rows = [[ABLATIONS[0].without, *(f"{1e3 * o.results[0].seconds:.3g} ms" for o in outcomes)]]
    for number, ablation in enumerate((*ABLATIONS[1:], WHOLE), 1):
        row = [f"{times(o.results[number], o.results[0]):.2f}" for o in outcomes]
        rows.append([ablation.without, *row])
    return page.grid(["without", *(f"`{o.workload.name}`" for o in outcomes)], rows)


def times(this: Result, whole: Result) -> float:
    """How many times as long as the whole, the median over the rounds.

    The machine's pace changes within minutes, so turns of the same round are compared.
    """
    return statistics.median(a / b for a, b in zip(this.turns, whole.turns, strict=True))


def main() -> int:
    """Measure, print, and return 1 if a worker failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the table into it")
    chosen = parser.parse_args()
    plan = Plan(chosen.threads, chosen.rounds, chosen.seconds)
    console = Console(width=None if sys.stdout.isatty() else 140)
    outcomes = []
    for name in chosen.workloads or USUAL:
        if name not in WORKLOADS:
            parser.error(f"no workload {name!r}; there are {', '.join(WORKLOADS)}")
        with console.status(f"{name}: warming up and measuring"):
            outcome = Outcome(WORKLOADS[name], measure(contestants(name), plan))
        for line in (failed := report.failures(outcome)):
            console.print(f"[red]! [/]{line}", highlight=False)
        if not failed:
            outcomes.append(outcome)
    text = f"{report.machine(chosen.threads)}.\n\n{table(outcomes)}"
    print(text)
    if chosen.write:
        page.write(chosen.write, "ablations", text)
    return int(len(outcomes) < len(chosen.workloads or USUAL))


if __name__ == "__main__":
    sys.exit(main())
