"""A program that is ready to run: its plan, its machine code, and the memory it works in."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

from glubina.codegen import driver
from glubina.runtime import observers
from glubina.runtime.apart import apart
from glubina.runtime.arenas import SHARED
from glubina.runtime.buffer import Buffer
from glubina.runtime.frame import Frame
from glubina.runtime.loader import load
from glubina.runtime.observers import RunEvent
from glubina.runtime.plan import Plan, Spec
from glubina.runtime.team import TEAM, native_driver
from glubina.runtime.work import call_flags, deserves_threads

_KEPT_FRAMES = 2

# what things take, in bytes and words: an object linked (whole pages), a call or a kernel's figures
_PART = 24 << 10
_WORD, _CALL = 40, 16


class ProgramError(RuntimeError):
    """A kernel raised an error: `code` says which, at `index` of what it computes, with `value`.

    `kernel` is the number of the kernel in the plan (-1 if unknown) and `label` its name; `steps`
    is how many steps were done before the one that failed.
    """

    def __init__(
        self, code: int, kernel: int, index: int, value: int, label: str = "", steps: int = 0
    ) -> None:
        name = f" ({label})" if label else ""
        super().__init__(
            f"kernel {kernel}{name} raised error {code} at index {index}: value {value}"
        )
        self.code = code
        self.kernel = kernel
        self.index = index
        self.value = value
        self.label = label
        self.steps = steps


class Program:
    """Machine code that computes a plan's outputs from its inputs, in one native call.

    A program may be run from several threads at once: each run has memory of its own. Raises
    PlanError for a plan that contradicts itself and LoadError for code that does not fit it.
    """

    def __init__(self, plan: Plan, object_code: bytes) -> None:
        self.plan = plan.validate()
        symbols = [call.symbol for call in plan.calls if not call.turn]
        self._library, native = apart(lambda: (load(object_code, symbols), native_driver()))
        self._flags = call_flags(plan)
        self._shared = deserves_threads(plan)
        self._call = native.run if plan.calls else _do_nothing
        # a zero for the steps done, which the driver counts, and the addresses after it
        self._pack = struct.Struct(f"{1 + len(plan.inputs) + len(plan.outputs)}Q").pack_into
        # a run takes a frame and puts it back; `pop` and `append` of a list are atomic
        self._frames: list[Frame] = []

    @property
    def memory(self) -> int:
        """Bytes of working memory that a run needs beside its inputs and outputs."""
        return self.plan.arena_bytes

    @property
    def weight(self) -> int:
        """About how many bytes it takes itself: code, plan, and the memory of one run at rest."""
        library, plan = self._library, self.plan
        code = 2 * library.nbytes + _PART * library.parts
        words = _WORD * sum(_CALL + len(call.args) for call in plan.calls)
        arena = 0 if plan.arena_bytes > SHARED else plan.arena_bytes
        return code + words + _WORD * _CALL * (len(plan.table) + len(plan.kernels)) + arena

    def run(
        self, inputs: Sequence[Buffer], outputs: Sequence[Buffer], threads: int | None = None
    ) -> None:
        """Compute the outputs once.

        The results do not depend on `threads` (None: as many as `get_num_threads()` says). Raises
        ProgramError if a kernel reports an error; the kernels after it have not run then. Raises
        ValueError for buffers that do not fit the plan, and MemoryError if the program needs more
        memory than there is; both before anything is written.
        """
        if not self._frames:
            # once or so per program, so that running it again and again is not slowed down
            self._check(inputs, outputs)
        addresses = [buffer.address for buffer in inputs]
        addresses += [buffer.address for buffer in outputs]
        self.run_at(addresses, threads)

    def run_at(self, addresses: Sequence[int], threads: int | None = None) -> None:
        """As `run`, given the addresses of the inputs' and then the outputs' memory.

        Quicker by the look at each buffer; whether they fit the plan is not checked.
        """
        frame = self._take_frame(addresses)
        try:
            wanted = threads or TEAM.threads
            if wanted != frame.wanted or frame.threads > TEAM.size:
                self._set_threads(frame, wanted)
            if observers.runs:
                self._run_watched(frame)
            elif self._call(frame.job_address, TEAM.address):
                raise self._error(frame)
            self._put_back(frame)
        except BaseException as error:
            _mark(error, frame)
            frame.end()
            raise

    def run_many(
        self,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        steps: int,
        *,
        threads: int | None = None,
        seconds: float | None = None,
    ) -> int:
        """Run the program `steps` times in one native call, on the same buffers.

        What changes from step to step is what the program itself overwrites (donated inputs).
        After `seconds` no new step begins. Returns the number of steps done, at least one. Raises
        as `run` does, at the first step that fails.
        """
        if steps < 1:
            raise ValueError(f"the number of steps should be at least 1, it is {steps}")
        self._check(inputs, outputs)
        addresses = [buffer.address for buffer in (*inputs, *outputs)]
        frame = self._take_frame(addresses)
        try:
            self._set_threads(frame, threads or TEAM.threads)
            deadline = 0 if seconds is None else time.monotonic_ns() + int(seconds * 1e9)
            frame.set_steps(steps, deadline)
            if observers.runs:
                self._run_watched(frame)
            elif self._call(frame.job_address, TEAM.address):
                raise self._error(frame)
            done = int(frame.job[driver.JOB_DONE]) if self.plan.calls else steps
            frame.set_steps(1, 0)
            self._put_back(frame)
        except BaseException as error:
            _mark(error, frame)
            frame.end()
            raise
        return done

    def _take_frame(self, addresses: Sequence[int]) -> Frame:
        """A frame for a run at these addresses, in which no step is done yet."""
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = Frame(self.plan, self._library.addresses, self._flags)
        try:
            self._pack(frame.addresses, 0, 0, *addresses)
        except struct.error:
            count = len(self.plan.inputs) + len(self.plan.outputs)
            raise ValueError(
                f"a program with {count} inputs and outputs was given {len(addresses)}"
            ) from None
        frame.begin()
        return frame

    def _put_back(self, frame: Frame) -> None:
        frame.end()
        if len(self._frames) < _KEPT_FRAMES:
            self._frames.append(frame)

    def _set_threads(self, frame: Frame, wanted: int) -> None:
        threads = wanted if self._shared else 1
        if threads > TEAM.size:
            threads = min(threads, TEAM.grow(threads))
        frame.set_threads(wanted, threads)

    def _run_watched(self, frame: Frame) -> None:
        frame.set_timed(True)
        try:
            code = self._call(frame.job_address, TEAM.address)
        finally:
            times = tuple(frame.ticks.tolist())
            frame.set_timed(False)
        steps = int(frame.job[driver.JOB_DONE])
        observers.runs.send(RunEvent(self.plan, steps, frame.threads, times))
        if code:
            raise self._error(frame)

    def _error(self, frame: Frame) -> ProgramError:
        code, _, index, value = frame.status.tolist()
        call = self.plan.calls[int(frame.job[driver.JOB_FAILED])]
        known = 0 <= call.kernel < len(self.plan.kernels)
        label = self.plan.kernels[call.kernel].label if known else call.label
        steps = int(frame.job[driver.JOB_DONE])
        return ProgramError(code, call.kernel, index, value, label, steps)

    def _check(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> None:
        """Raise ValueError for buffers that do not fit the plan."""
        _check_buffers("input", inputs, self.plan.inputs)
        _check_buffers("output", outputs, self.plan.outputs)


def _mark(error: BaseException, frame: Frame) -> None:
    """Tell whoever catches an error how many steps were done before it came.

    Signals (Ctrl-C) wait until native code returns, which may have done all it was asked for.
    """
    error.steps_done = int(frame.job[driver.JOB_DONE])  # type: ignore[attr-defined]


def _do_nothing(job: int, team: int) -> int:
    """Runs a program without calls."""
    return 0


def _check_buffers(what: str, buffers: Sequence[Buffer], specs: Sequence[Spec]) -> None:
    if len(buffers) != len(specs):
        raise ValueError(f"a program with {len(specs)} {what}s was given {len(buffers)}")
    for number, (buffer, spec) in enumerate(zip(buffers, specs, strict=True)):
        if buffer.nbytes < spec.nbytes:
            raise ValueError(
                f"{what} {number} has {buffer.nbytes} bytes, but {spec.dtype} of shape "
                f"{spec.shape} takes {spec.nbytes}"
            )
