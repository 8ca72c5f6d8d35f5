"""What leads from a copy of the state to the present, so that an overwritten step can be undone."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.runtime.buffer import Buffer

STEPS = 16  # between two copies: each costs as much as writing the state anew, which steps avoid
_BYTES = 64 << 20  # of inputs that are held for going through the steps again

Run = Callable[[list[Buffer], list[Buffer]], None]


class Journal:
    """A copy of the memory that a program overwrites, and the inputs of its runs since then.

    Steps overwrite their state, which is quickest. When one turns out to be wrong, `undo` puts the
    copy back and goes through the others again, which gives the same bits. Nothing here holds the
    buffers that are overwritten: programs overwrite what nobody else holds.
    """

    def __init__(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> None:
        """inputs, outputs: of the run that comes; what is among both is overwritten."""
        self._places = _overwritten(inputs, outputs)
        self._buffers = [weakref.ref(inputs[place]) for place in self._places]
        self._contents = [_bytes(inputs[place]).copy() for place in self._places]
        self._steps: list[list[Buffer | None]] = []
        self._held = 0

    def leads_to(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> bool:
        """Whether a run on these continues what is written here."""
        places = _overwritten(inputs, outputs)
        return (
            len(self._steps) < STEPS
            and self._held <= _BYTES
            and self._places == places
            and all(ref() is inputs[place] for ref, place in zip(self._buffers, places))
        )

    def add(self, inputs: Sequence[Buffer]) -> None:
        """Note a run that is done."""
        kept: list[Buffer | None] = list(inputs)
        for place in self._places:
            kept[place] = None
        before = set(map(id, self._steps[-1])) if self._steps else set()
        self._held += sum(b.nbytes for b in kept if b is not None and id(b) not in before)
        self._steps.append(kept)

    def undo(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer], run: Run) -> None:
        """Give what the last run overwrote (which is not noted yet) its content from before it.

        inputs, outputs: of that run; run: runs the program on others.
        """
        state = {place: inputs[place] for place in self._places}
        for place, content in zip(self._places, self._contents):
            np.copyto(_bytes(state[place]), content)
        own = set(map(id, state.values()))
        results = [buffer if id(buffer) in own else Buffer(buffer.nbytes) for buffer in outputs]
        for step in self._steps:
            run([state[i] if b is None else b for i, b in enumerate(step)], results)


def _overwritten(inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> list[int]:
    """The numbers of the inputs that are outputs as well."""
    own = set(map(id, outputs))
    return [place for place, buffer in enumerate(inputs) if id(buffer) in own]


def _bytes(buffer: Buffer) -> NDArray[Any]:
    return buffer.array((buffer.nbytes,), np.uint8)
