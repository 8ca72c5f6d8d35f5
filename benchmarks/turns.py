"""Workers take turns over several rounds, so that all of them meet the same machine."""

from __future__ import annotations

import json
import selectors
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .contestants import ROOT, Contestant, Interpreters, environment

REST = 0.05  # seconds between two turns, in which a thread pool that spins falls asleep
PATIENCE = 120.0  # seconds for an answer


class WorkerError(RuntimeError):
    """A worker could not measure; the text says why."""


@dataclass
class Result:
    """What was measured of one contestant.

    turns: seconds per step in each turn. first: seconds of importing, building, the first step.
    warm: seconds of the first step of a second process, which finds the first one's compiled code.
    memory: the most bytes that the process ever held.
    """

    contestant: Contestant
    first: dict[str, float] = field(default_factory=dict)
    warm: dict[str, float] = field(default_factory=dict)
    first_loss: float = 0.0
    last_loss: float = 0.0
    turns: list[float] = field(default_factory=list)
    memory: int = 0
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


@dataclass(frozen=True)
class Plan:
    """How to measure: threads, rounds, seconds of a turn, each system's Python, warm starts too."""

    threads: int
    rounds: int
    seconds: float
    interpreters: Interpreters = field(default_factory=Interpreters)
    warm: bool = False
    patience: float = PATIENCE


class Worker:
    """A process that measures one contestant when asked and is idle otherwise."""

    def __init__(self, contestant: Contestant, plan: Plan, cache: str) -> None:
        self.patience = plan.patience
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 — lives as long as the worker
        python = plan.interpreters.of(contestant.system)
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker"]
            + [contestant.system, contestant.workload, contestant.mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=ROOT,
            env=environment(contestant, plan.threads, cache),
        )
        self.steps = 1

    def receive(self) -> dict[str, Any]:
        """The worker's next answer; raises WorkerError with its reason if there is none."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(self.patience):
                self.process.kill()
                raise WorkerError(f"no answer within {self.patience:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.errors.seek(0)
            last = (self.errors.read().strip().splitlines() or ["no message"])[-1]
            raise WorkerError(f"the worker ended with status {status}: {last[:200]}")
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
        self.steps = max(1, round(seconds * per_step["steps"] / per_step["seconds"]))

    def memory(self) -> int:
        """The most bytes of memory that the process ever held, as the system counts them."""
        try:
            text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return 0
        lines = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")]
        return 1024 * int(lines[0]) if lines else 0

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None and self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.close()


def measure(contestants: list[Contestant], plan: Plan) -> list[Result]:
    """Measure all contestants, in turns of so many seconds, over so many rounds.

    Every other round goes backwards, so that none always follows the same one.
    """
    results = [Result(contestant) for contestant in contestants]
    workers: list[tuple[Result, Worker]] = []
    with tempfile.TemporaryDirectory(prefix="glubina-bench-", ignore_cleanup_errors=True) as caches:
        try:
            for number, result in enumerate(results):
                worker = _started(result, plan, f"{caches}/{number}")
                workers.append((result, worker))
            for number in range(plan.rounds):
                for result, worker in workers if number % 2 == 0 else reversed(workers):
                    if not result.error:
                        _take(result, worker)
        finally:
            for result, worker in workers:
                result.memory = worker.memory()
                worker.close()
    return results


def _started(result: Result, plan: Plan, cache: str) -> Worker:
    """A worker that has taken its first step and has warmed up, or has failed."""
    worker = Worker(result.contestant, plan, cache)
    try:
        first = worker.receive()
        result.first = _stages(first)
        result.first_loss = first["loss"]
        if plan.warm and result.contestant.system != "machine":
            result.warm = _stages(_started_again(result.contestant, plan, cache))
        worker.settle(plan.seconds)
    except WorkerError as error:
        result.error = str(error)
    return worker


def _started_again(contestant: Contestant, plan: Plan, cache: str) -> dict[str, Any]:
    worker = Worker(contestant, plan, cache)
    try:
        return worker.receive()
    finally:
        worker.close()


def _stages(first: dict[str, Any]) -> dict[str, float]:
    return {"import": first["import"], "build": first["build"], "step": first["seconds"]}


def _take(result: Result, worker: Worker) -> None:
    time.sleep(REST)
    try:
        turn = worker.turn(worker.steps)
    except WorkerError as error:
        result.error = str(error)
        return
    result.turns.append(turn["seconds"] / turn["steps"])
    result.last_loss = turn["loss"]
