"""What this machine can do at best, measured: the yardstick of kernels."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import glubina.tensor as gl
from glubina.tensor import Tensor, get_num_threads

_SIDE = 1024
_BYTES = 1 << 26  # larger than any cache


@dataclass(frozen=True)
class Peak:
    """The rates that nothing on this machine exceeds by much.

    gflops: of the best matrix product, in 10⁹ operations a second. gbps: of copying, read and
    written, in 10⁹ bytes a second. threads: with which they were measured.
    """

    gflops: float
    gbps: float
    threads: int


def peak() -> Peak:
    """The machine's peak with the threads in use now; measured once for each number of them."""
    return _measured(get_num_threads())


@functools.lru_cache(maxsize=8)
def _measured(threads: int) -> Peak:
    """The best of NumPy's product and the engine's, and the engine's copying; half a second."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((_SIDE, _SIDE), dtype=np.float32) for _ in range(2))
    left, right = gl.tensor(a), gl.tensor(b)
    own = gl.compile(lambda: left @ right)
    product = _best(own, 12)
    if threads > 1:  # NumPy uses all cores
        product = min(product, _best(lambda: np.matmul(a, b), 12))
    source = gl.tensor(np.zeros(_BYTES // 4, np.float32))

    def moved() -> Tensor:
        return source + 1.0

    copying = _best(gl.compile(moved), 6)
    return Peak(2 * _SIDE**3 / product / 1e9, 2 * _BYTES / copying / 1e9, threads)


def _best(run: Callable[[], object], times: int) -> float:
    """The seconds of the quickest of some runs."""
    run()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)
