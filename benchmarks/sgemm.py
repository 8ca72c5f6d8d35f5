"""The yardstick: the machine's best single-precision matrix product, as NumPy's BLAS runs it."""

from __future__ import annotations

import numpy as np

SIDE = 1024
FLOPS = 2 * SIDE**3


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
