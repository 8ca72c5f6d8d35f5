"""The memory of one run of a program: its job, its table of buffers and its arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from glubina.codegen import driver
from glubina.runtime.arenas import ARENAS, SHARED
from glubina.runtime.buffer import Buffer
from glubina.runtime.plan import STATUS_WORDS, Plan


class Frame:
    """What the native driver reads and writes during one run, laid out as it expects.

    `addresses` takes a zero for the count of steps done, and then the addresses of the inputs and
    of the outputs; the driver copies them to where they belong in the table. A small arena is the
    frame's own; a large one it has from `begin` to `end` of a run.
    """

    def __init__(self, plan: Plan, functions: Mapping[str, int], flags: Sequence[int]) -> None:
        self._arena: Buffer | None = None
        self._arena_bytes = plan.arena_bytes
        self._base = 0  # the address that the table was written for
        self._records: list[Buffer] = []
        self.wanted = self.threads = 1

        self.status, status = self._words([0] * STATUS_WORDS)
        self.ticks, self.ticks_address = self._words([0] * len(plan.calls))
        slots = _external_slots(plan)
        job = [0] * driver.JOB_WORDS
        job[driver.JOB_CALLS] = self._calls(plan, functions, flags)
        job[driver.JOB_TABLE] = self._table(plan, status)
        job[driver.JOB_STEPS] = 1
        job[driver.JOB_THREADS] = 1
        job[driver.JOB_PATCHES] = len(slots) // 2
        job[driver.JOB_SLOTS] = self._words(slots)[1]
        job[driver.JOB_ENTRIES] = len(plan.table)
        self._entries = len(plan.table) if any(call.turn for call in plan.calls) else 0
        self._rows = Buffer(0)
        external = len(plan.inputs) + len(plan.outputs)
        # the addresses follow the job, whose last word is the count of steps done
        self.job, self.job_address = self._words(job + [0] * external)
        self.job[driver.JOB_ADDRESSES] = self.job_address + 8 * driver.JOB_WORDS
        self.addresses = self.job[driver.JOB_DONE :].data
        self.set_threads(1, 1)
        self._lends = plan.arena_bytes > SHARED
        if not self._lends:
            self._settle(Buffer(plan.arena_bytes))

    def begin(self) -> None:
        """Take working memory for a run; MemoryError if there is none."""
        if self._lends:
            self._settle(ARENAS.take(self._arena_bytes))

    def end(self) -> None:
        """Give it back for other programs' runs."""
        if self._lends and self._arena is not None:
            arena, self._arena = self._arena, None
            ARENAS.give(arena)

    def _settle(self, arena: Buffer) -> None:
        """Let the table point into this arena."""
        self._arena = arena
        if arena.address != self._base:
            self._table_words[self._inside] += arena.address - self._base
            self._base = arena.address

    def set_threads(self, wanted: int, threads: int) -> None:
        """How many threads the caller wants for the next runs, and how many there will be."""
        self.wanted = wanted
        self.threads = threads
        self.job[driver.JOB_THREADS] = threads
        if self._entries:  # loops move entries of the table: each thread has its own
            self._rows = Buffer(8 * self._entries * threads)
            self.job[driver.JOB_ROWS] = self._rows.address

    def set_steps(self, steps: int, deadline: int) -> None:
        """How many steps the next runs do, and the time (0: none) after which none begins."""
        self.job[driver.JOB_STEPS] = steps
        self.job[driver.JOB_DEADLINE] = deadline

    def set_timed(self, timed: bool) -> None:
        """Whether the next run adds the nanoseconds of each call to `ticks`."""
        self.ticks[:] = 0
        self.job[driver.JOB_TICKS] = self.ticks_address if timed else 0

    def _words(self, values: Sequence[int]) -> tuple[npt.NDArray[np.int64], int]:
        buffer = Buffer(8 * len(values))
        self._records.append(buffer)
        words: npt.NDArray[np.int64] = buffer.array((len(values),), np.int64)
        words[:] = values
        return words, buffer.address

    def _calls(self, plan: Plan, functions: Mapping[str, int], flags: Sequence[int]) -> int:
        """Write the call records and their arguments; returns the address of the records."""
        args: list[int] = []
        starts = []
        for call in plan.calls:
            starts.append(8 * len(args))
            args += call.args
            args += [0] * (-len(args) % 8)  # each call's begin a cache line
        _, base = self._words([_signed(a) for a in args])
        records = [0] * (driver.CALL_WORDS * len(plan.calls))
        records[driver.CALL_FUNCTION :: driver.CALL_WORDS] = [
            0 if c.turn else functions[c.symbol] for c in plan.calls
        ]
        records[driver.CALL_ARGS :: driver.CALL_WORDS] = [base + start for start in starts]
        records[driver.CALL_FLAGS :: driver.CALL_WORDS] = flags
        return self._words(records)[1]

    def _table(self, plan: Plan, status: int) -> int:
        places = {"status": status, "arena": 0}
        inside = ("status", "arena")
        values = [places[e.place] + e.value if e.place in inside else 0 for e in plan.table]
        arena = [slot for slot, entry in enumerate(plan.table) if entry.place == "arena"]
        self._inside: npt.NDArray[np.int64] = np.array(arena, np.int64)
        self._table_words, address = self._words(values)
        return address


def _external_slots(plan: Plan) -> list[int]:
    """Pairs of a table slot and the number of the address that belongs there."""
    first = {"input": 0, "output": len(plan.inputs)}
    pairs = []
    for slot, entry in enumerate(plan.table):
        if entry.place in first:
            pairs += [slot, first[entry.place] + entry.value]
    return pairs


def _signed(word: int) -> int:
    """The 64 bits of a word as a signed number (a plan may hold a double's bits unsigned)."""
    return word - (1 << 64) if word >= 1 << 63 else word
