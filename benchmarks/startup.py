"""`python -m benchmarks.startup`: what a person waits for until the first numbers appear.

Fresh processes import the framework and sum a small tensor; others build a network and take its
first step: "cold" with an empty folder for compiled code, "warm" with what the cold one left.
Installed sizes count a framework's files and those of all that it needs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from . import contestants, page, report
from .__main__ import entries, leave_out_missing
from .contestants import ROOT, Contestant, Interpreters, environment
from .turns import Plan, Worker
from .workloads import WORKLOADS

IMPORTS = {
    "glubina": "import glubina as gl",
    "torch": "import torch",
    "jax": "import jax, jax.numpy as jnp",
    "tf-keras": "import tensorflow as tf, tf_keras",
    "tinygrad": "from tinygrad import Tensor",
}
SUMS = {
    "glubina": "assert gl.tensor([1.0, 2.0, 3.0]).sum().item() == 6",
    "torch": "assert torch.tensor([1.0, 2.0, 3.0]).sum().item() == 6",
    "jax": "assert jnp.asarray([1.0, 2.0, 3.0]).sum().item() == 6",
    "tf-keras": "assert tf.reduce_sum(tf.constant([1.0, 2.0, 3.0])).numpy() == 6",
    "tinygrad": "assert Tensor([1.0, 2.0, 3.0]).sum().item() == 6",
}


TIMED = """
from time import perf_counter as now
times = [now()]
{}
times.append(now())
{}
times.append(now())
print(times[1] - times[0], times[2] - times[1])
"""


def script(plan: Plan, system: str, cache: str) -> list[float]:
    """Seconds of the import and of a small sum after it, in a fresh process of its Python."""
    variables = environment(Contestant(system, "", ""), plan.threads, cache)
    done = subprocess.run(
        [plan.interpreters.of(system), "-c", TIMED.format(IMPORTS[system], SUMS[system])],
        capture_output=True, text=True, cwd=ROOT, env=variables | {"DEV": "CPU"},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{system} failed:\n{done.stderr.strip()}")
    return [float(word) for word in done.stdout.split()]


def scripts(plan: Plan, system: str, repeats: int) -> list[float]:
    """The medians of several processes, after one that reads the files from the disk."""
    with tempfile.TemporaryDirectory(prefix="glubina-startup-") as cache:
        runs = [script(plan, system, cache) for _ in range(1 + repeats)][1:]
    return [statistics.median(times) for times in zip(*runs, strict=True)]


def first_steps(plan: Plan, contestant: Contestant, repeats: int) -> dict[str, dict[str, float]]:
    """Of a worker's stages ("import", "build", "seconds") the medians, cold and warm."""
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(
            prefix="glubina-startup-", ignore_cleanup_errors=True
        ) as cache:
            for name in runs:
                worker = Worker(contestant, plan, cache)
                try:
                    runs[name].append(worker.receive())
                finally:
                    worker.close()
    stages = ("import", "build", "seconds")
    return {
        name: {stage: statistics.median(run[stage] for run in found) for stage in stages}
        for name, found in runs.items()
    }


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes of each kind")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default="torch,jax,tf-keras", help="as in python -m benchmarks")
    parser.add_argument("--modes", default="loop", help="Glubina's modes, separated by commas")
    parser.add_argument("--python", action="append", default=[], metavar="SYSTEM=PATH")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the tables into this page"
    )
    chosen = parser.parse_args()
    chosen.workloads = chosen.workloads or ["keras_cnn", "resnet20"]
    for name in chosen.workloads:
        if name not in WORKLOADS:
            parser.error(f"no workload {name!r}; there are {', '.join(WORKLOADS)}")
    chosen.interpreters = Interpreters.given(chosen.python)
    chosen.entries = entries(chosen.peers, chosen.modes)
    return chosen


def imports(plan: Plan, systems: list[str], repeats: int) -> str:
    """A row for every system: import, small sum, installed size."""
    sizes = contestants.about(systems, plan.interpreters)
    rows = []
    for system in systems:
        seconds = scripts(plan, system, repeats)
        version, size = sizes[system]
        texts = [f"{s:.3f}" for s in seconds]
        rows.append([f"{system} {version}", *texts, f"{size / 1e6:.0f}"])
    header = ["", "import s", "then a small sum s", "installed MB, with all it needs"]
    return page.grid(header, rows)


def starts(plan: Plan, chosen: argparse.Namespace) -> str:
    """A row for every system and mode: building and first step, cold and warm, of each network."""
    rows = []
    for system, mode in chosen.entries:
        row = [f"{system} {mode}"]
        for workload in chosen.workloads:
            found = first_steps(plan, Contestant(system, workload, mode), chosen.repeats)
            for name in ("cold", "warm"):
                row += [f"{found[name]['build']:.2f} + {found[name]['seconds']:.2f}"]
        rows.append(row)
    header = ["building + first step, s"]
    header += [f"{workload}, {name}" for workload in chosen.workloads for name in ("cold", "warm")]
    return page.grid(header, rows)


def main() -> None:
    """Measure and print."""
    chosen = options()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    console = Console(width=None if sys.stdout.isatty() else 140)
    leave_out_missing(console, chosen)
    console.print(report.machine(chosen.threads), highlight=False)
    if warning := report.busy():
        console.print(f"[yellow]! [/]{warning}", highlight=False)
    plan = Plan(chosen.threads, 1, 0.1, chosen.interpreters)
    systems = list(dict.fromkeys(system for system, _ in chosen.entries))
    text = f"{imports(plan, systems, chosen.repeats)}\n\n{starts(plan, chosen)}"
    print(text)
    if chosen.write:
        page.write(chosen.write, "startup", text)


if __name__ == "__main__":
    main()
