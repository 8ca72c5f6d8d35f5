"""What of a training would fit into the memory, where it does not."""

from __future__ import annotations

from collections.abc import Callable

from glubina.runtime.limits import OutOfMemoryError, available_memory
from glubina.tensor.shortage import largest_fitting, planned_bytes
from glubina.train.inputs import Examples
from glubina.train.several import listed

_ASKED = 1 << 24  # copies of less are made without asking


def require_copies(examples: Examples) -> None:
    """OutOfMemoryError if there is no memory for a copy of the examples, which training makes."""
    needed = sum(array.nbytes for array in (*listed(examples.x), *listed(examples.y)))
    if needed > _ASKED and needed > available_memory():
        error = OutOfMemoryError("fit's own copy of the examples", needed)
        error.advice.append(
            "a DataLoader over a data set of your own, which brings mini-batches one by one"
        )
        raise error


def advise(
    error: OutOfMemoryError, step: Callable[[int], None], size: int, weights: int = 0
) -> None:
    """Say in the error which batch size fits, by the plan of the step with it.

    step: of so many examples, to be recorded. weights: bytes that gradient accumulation takes
    besides; 0 where there is none.
    """
    error.what = f"a {'training ' if weights else ''}step over a mini-batch of {size}"

    def planned(rows: int) -> int:
        return planned_bytes(lambda: step(rows))

    advice: list[str] = []
    fits = largest_fitting(planned, size, error) if size > 1 else 0
    if fits:
        advice.append(f"batch_size={fits}")
        several = largest_fitting(planned, fits + 1, error, weights) if weights else 0
        if several:
            count = -(-size // several)
            part = -(-size // count)
            advice.append(
                f"batch_size={part} with accumulate={count}, whose updates are those of "
                f"mini-batches of {part * count}"
            )
    else:
        advice.append("no batch size: a smaller model")
    error.advice[:0] = advice
