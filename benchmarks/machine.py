"""The yardsticks: the machine's best matrix product and its copying, as NumPy runs them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np

SIDE = 1024
FLOPS = 2 * SIDE**3
COPIED = 1 << 26  # bytes that are read, and as many that are written: larger than any cache


class Sgemm:
    """One step is one product of two square matrices. Its threads are set by the environment."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.a = random.standard_normal((SIDE, SIDE), dtype=np.float32)
        self.b = random.standard_normal((SIDE, SIDE), dtype=np.float32)
        self.c = np.empty((SIDE, SIDE), dtype=np.float32)

    def run(self, steps: int) -> int:
        """Take so many products; returns how many were taken."""
        for _ in range(steps):
            np.matmul(self.a, self.b, out=self.c)
        return steps

    def loss(self) -> float:
        """Nothing is learnt."""
        return 0.0


class Copy:
    """One step copies 64 MiB, every thread its share."""

    def __init__(self) -> None:
        threads = int(os.environ.get("BENCHMARK_THREADS", "1"))
        self.source = np.ones(COPIED // 8).reshape(threads, -1)
        self.target = np.zeros_like(self.source)

    def run(self, steps: int) -> int:
        """Take so many copies; returns how many were taken."""
        works = [
            threading.Thread(target=self._share, args=(i, steps)) for i in range(len(self.source))
        ]
        for work in works:
            work.start()
        for work in works:
            work.join()
        return steps

    def _share(self, i: int, steps: int) -> None:
        for _ in range(steps):
            np.copyto(self.target[i], self.source[i])

    def loss(self) -> float:
        """Nothing is learnt."""
        return 0.0


YARDSTICKS: dict[str, Callable[[], Sgemm | Copy]] = {"sgemm": Sgemm, "copy": Copy}


def build(mode: str) -> Sgemm | Copy:
    """The yardstick of this name."""
    return YARDSTICKS[mode]()
