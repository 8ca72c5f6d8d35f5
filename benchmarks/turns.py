"""Workers take turns over several rounds, so that all of them meet the same machine."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REST = 0.05  # seconds between two turns, in which a thread pool that spins falls asleep


class WorkerError(RuntimeError):
    """A worker could not measure; the text says why."""


@dataclass(frozen=True)
class Contestant:
    """What one worker runs: a system ("glubina", "torch", "sgemm") on a workload in a mode."""

    system: str
    workload: str
    mode: str

    def __str__(self) -> str:
        return f"{self.system} {self.mode}".strip()


@dataclass
class Result:
    """What was measured: seconds per step in each turn, the first step's seconds, the losses."""

    contestant: Contestant
    first_step: float = 0.0
    first_loss: float = 0.0
    last_loss: float = 0.0
    turns: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def seconds(self) -> float:
        """The median over the turns of the seconds per step."""
        return statistics.median(self.turns)

    @property
    def spread(self) -> float:
        """The distance between the quartiles, as a share of the median."""
        if len(self.turns) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.turns, n=4)
        return (high - low) / self.seconds


class Worker:
    """A process that measures one contestant when asked and is idle otherwise."""

    def __init__(self, contestant: Contestant, threads: int) -> None:
        counts = {name: str(threads) for name in _THREAD_VARIABLES}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 — lives as long as the worker
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"]
            + [contestant.system, contestant.workload, contestant.mode, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
            env=os.environ | counts,
        )
        self.first = self.receive()
        self.steps = 1

    def receive(self) -> dict[str, Any]:
        """The worker's next answer; raises WorkerError with its reason if there is none."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            last = (self.errors.read().strip().splitlines() or ["no message"])[-1]
            raise WorkerError(f"the worker ended with status {self.process.wait()}: {last}")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise WorkerError(message["error"])
        return message

    def turn(self, steps: int) -> dict[str, Any]:
        """Have the worker take so many steps."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"steps": steps}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died; receive() tells why
        return self.receive()

    def settle(self, seconds: float) -> None:
        """Warm up, and find how many steps fill a turn of so many seconds."""
        per_step = self.turn(2)
        for _ in range(2):
            count = max(2, round(seconds * per_step["steps"] / per_step["seconds"]))
            per_step = self.turn(count)
        self.steps = max(2, round(seconds * per_step["steps"] / per_step["seconds"]))

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None and self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.errors.close()


_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measure(
    contestants: list[Contestant], threads: int, rounds: int, seconds: float
) -> list[Result]:
    """Measure all contestants, in turns of so many seconds, over so many rounds.

    Every other round goes backwards, so that none always follows the same one.
    """
    results = [Result(contestant) for contestant in contestants]
    workers: list[tuple[Result, Worker]] = []
    try:
        for result in results:
            try:
                worker = Worker(result.contestant, threads)
                workers.append((result, worker))
                result.first_step = worker.first["seconds"]
                result.first_loss = worker.first["loss"]
                worker.settle(seconds)
            except WorkerError as error:
                result.error = str(error)
        for number in range(rounds):
            for result, worker in workers if number % 2 == 0 else reversed(workers):
                if not result.error:
                    _take(result, worker)
    finally:
        for _, worker in workers:
            worker.close()
    return results


def _take(result: Result, worker: Worker) -> None:
    time.sleep(REST)
    try:
        turn = worker.turn(worker.steps)
    except WorkerError as error:
        result.error = str(error)
        return
    result.turns.append(turn["seconds"] / turn["steps"])
    result.last_loss = turn["loss"]
