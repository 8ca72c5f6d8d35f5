"""What a program will take, compared with what there is before it is compiled or run."""

from __future__ import annotations

from glubina.runtime.arenas import ARENAS
from glubina.runtime.buffer import POOL
from glubina.runtime.limits import OutOfMemoryError, available_memory, size_text
from glubina.runtime.plan import Plan

_ASKED = 1 << 20  # what needs less is had without asking


def results_bytes(plan: Plan) -> int:
    """Bytes of the results that overwrite no input: memory that is new when the program has run."""
    pairs = zip(plan.outputs, plan.donated, strict=True)
    return sum(spec.nbytes for spec, taken in pairs if taken < 0)


def demand(plan: Plan) -> int:
    """Bytes that a run needs beside its inputs: working memory and new results."""
    return plan.arena_bytes + results_bytes(plan)


def require(plan: Plan) -> None:
    """Raise OutOfMemoryError if the machine, the container or `ulimit` has too little for a run.

    Memory that is kept for reuse is given back first.
    """
    needed = demand(plan)
    if needed <= _ASKED or needed <= available_memory():
        return
    ARENAS.clear()
    POOL.clear()
    if needed > available_memory():
        parts = (
            f"{size_text(plan.arena_bytes)} of working memory between the kernels, "
            f"{size_text(results_bytes(plan))} of new results"
        )
        raise OutOfMemoryError("the program", needed, parts)
