"""Which calls of a program are worth sharing between threads: by estimate, never by measuring."""

from __future__ import annotations

import math
from collections import Counter

from glubina.codegen.driver import BARRIER, LAST, SERIAL
from glubina.runtime.plan import Plan

# What one core does in a nanosecond, roughly.
_FLOPS = 20.0
_BYTES = 10.0
_TINY_CALL = 2e3  # nanoseconds; below, waiting for each other costs more than sharing gains
_TINY_PROGRAM = 15e3  # nanoseconds; below, waking the others does


def call_flags(plan: Plan) -> list[int]:
    """The driver's flags of each call: what runs on one thread, and where all threads meet.

    Calls too small to share run one after the other on the first thread, and the others wait for
    it once, at the end of such a row.
    """
    serial = [time < _TINY_CALL for time in _estimates(plan)]
    flags = []
    for number, alone in enumerate(serial):
        last = number == len(serial) - 1
        meet = last or not (alone and serial[number + 1])
        flags.append(SERIAL * alone | BARRIER * meet | LAST * last)
    return flags


def deserves_threads(plan: Plan) -> bool:
    """Whether the program as a whole is large enough for more than one thread."""
    times = _estimates(plan)
    return sum(times) >= _TINY_PROGRAM and max(times, default=0.0) >= _TINY_CALL


def _estimates(plan: Plan) -> list[float]:
    """About how many nanoseconds each call takes on one core (infinity if unknown)."""
    stages = Counter(call.kernel for call in plan.calls)
    times = []
    for call in plan.calls:
        time = math.inf
        if 0 <= call.kernel < len(plan.kernels):
            kernel = plan.kernels[call.kernel]
            moved = kernel.bytes_read + kernel.bytes_written
            if kernel.flops or moved:
                time = max(kernel.flops / _FLOPS, moved / _BYTES) / stages[call.kernel]
        times.append(time)
    return times
