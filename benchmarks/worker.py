"""One system in one mode in a process of its own; it measures when told and is idle otherwise.

It reads one JSON line per turn, {"steps": n}, and answers {"steps": taken, "seconds": elapsed,
"loss": last}. An error is answered as {"error": text}, and ends it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Protocol, TextIO

from .workloads import WORKLOADS


class Steps(Protocol):
    """What a system offers: training steps one after the other."""

    def run(self, steps: int) -> int:
        """Take at least so many steps; returns how many were taken."""

    def loss(self) -> float:
        """The loss of the last step."""


def build(system: str, workload: str, mode: str, threads: int) -> Steps:
    """The training steps of a system; imports only that system."""
    steps: Steps
    if system == "sgemm":
        from .sgemm import Sgemm

        steps = Sgemm()
    elif system == "torch":
        from .torch_steps import TorchSteps

        steps = TorchSteps(WORKLOADS[workload], mode, threads)
    else:
        from . import glubina_steps

        steps = glubina_steps.build(WORKLOADS[workload], mode, threads)
    return steps


def take_turn(steps: Steps, count: int) -> dict[str, Any]:
    """Take so many steps against the clock."""
    start = time.perf_counter()
    taken = steps.run(count)
    return {"steps": taken, "seconds": time.perf_counter() - start, "loss": steps.loss()}


def serve(answers: TextIO) -> None:
    """Build the system that the arguments name, then measure on demand until the input ends."""
    system, workload, mode, threads = sys.argv[1:5]

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        steps = build(system, workload, mode, int(threads))
        answer(take_turn(steps, 1))
        for line in sys.stdin:
            answer(take_turn(steps, int(json.loads(line)["steps"])))
    except Exception as error:  # whatever went wrong belongs into the report, not on the screen
        answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    # Answers go through a copy of the standard output; what a library prints goes to the errors.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(channel)
