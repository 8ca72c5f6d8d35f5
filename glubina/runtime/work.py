"""Which calls of a program are worth sharing between threads: by estimate, never by measuring."""

from __future__ import annotations

import math
from collections import Counter

from glubina.codegen.driver import BARRIER, LAST, SERIAL, TURN
from glubina.runtime.plan import Plan

# What one core does in a nanosecond, roughly.
_FLOPS = 20.0
_BYTES = 10.0
_TINY_CALL = 2e3  # nanoseconds; below, waiting for each other costs more than sharing gains
_TINY_PROGRAM = 15e3  # nanoseconds; below, waking the others does


def call_flags(plan: Plan) -> list[int]:
    """The driver's flags of each call: what runs on one thread, and where all threads meet.

    Calls too small to share run one after the other on the first thread, and the others wait for
    it once, at the end of such a row. The turns of loops are every thread's own.
    """
    serial = [
        time < _TINY_CALL and not call.turn
        for time, call in zip(_estimates(plan), plan.calls, strict=True)
    ]
    flags = []
    for number, alone in enumerate(serial):
        last = number == len(serial) - 1
        turn = plan.calls[number].turn
        meet = last or not (turn or (alone and serial[number + 1]))
        flags.append(SERIAL * alone | BARRIER * meet | LAST * last | TURN * turn)
    return flags


def deserves_threads(plan: Plan) -> bool:
    """Whether the program as a whole is large enough for more than one thread."""
    times = [
        0.0 if call.turn else time for time, call in zip(_estimates(plan), plan.calls, strict=True)
    ]
    often = [plan.kernels[c.kernel].times if 0 <= c.kernel < len(plan.kernels) else 1
             for c in plan.calls]  # fmt: skip
    total = sum(time * count for time, count in zip(times, often, strict=True))
    return total >= _TINY_PROGRAM and max(times, default=0.0) >= _TINY_CALL


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
