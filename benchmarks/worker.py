"""One system in one mode in a process of its own; it measures when told and is idle otherwise.

It answers {"steps": 1, "seconds": ..., "loss": ..., "import": ..., "build": ...} for its first
step, then reads one JSON line per turn, {"steps": n}, and answers {"steps": taken, "seconds":
elapsed, "loss": last}. An error is answered as {"error": text}, and ends it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any, Protocol, TextIO

SYSTEMS = {
    "glubina": "frameworks.glubina_steps",
    "torch": "frameworks.torch_steps",
    "jax": "frameworks.jax_steps",
    "tf-keras": "frameworks.keras_steps",
    "tinygrad": "frameworks.tinygrad_steps",
    "machine": "machine",
}


class Steps(Protocol):
    """What a system offers: steps one after the other."""

    def run(self, steps: int) -> int:
        """Take at least so many steps; returns how many were taken."""

    def loss(self) -> float:
        """The loss of the last step."""


def build(system: str, workload: str, mode: str) -> tuple[Steps, dict[str, float]]:
    """The steps of a system, and the seconds of importing it and of building; imports only that."""
    start = time.perf_counter()
    module = importlib.import_module(f"benchmarks.{SYSTEMS[system]}")
    imported = time.perf_counter()
    if system == "machine":
        steps: Steps = module.build(mode)
    else:
        from .workloads import WORKLOADS

        if workload not in WORKLOADS:
            raise KeyError(f"no workload {workload!r}")
        steps = module.build(WORKLOADS[workload], mode)
    built = time.perf_counter()
    return steps, {"import": imported - start, "build": built - imported}


def take_turn(steps: Steps, count: int) -> dict[str, Any]:
    """Take so many steps against the clock."""
    start = time.perf_counter()
    taken = steps.run(count)
    return {"steps": taken, "seconds": time.perf_counter() - start, "loss": steps.loss()}


def keep_to(threads: int) -> None:
    """Use no more cores than threads, whatever a library thinks of its settings."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[:threads])


def serve(answers: TextIO) -> None:
    """Build the system that the arguments name, then measure on demand until the input ends."""
    system, workload, mode = sys.argv[1:4]

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        keep_to(int(os.environ["BENCHMARK_THREADS"]))
        steps, seconds = build(system, workload, mode)
        answer(take_turn(steps, 1) | seconds)
        for line in sys.stdin:
            answer(take_turn(steps, int(json.loads(line)["steps"])))
    except Exception as error:  # whatever went wrong belongs into the report, not on the screen
        text = " ".join(str(error).split())
        answer({"error": f"{type(error).__name__}: {text}"[:400]})


if __name__ == "__main__":
    # Answers go through a copy of the standard output; what a library prints goes to the errors.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(channel)
