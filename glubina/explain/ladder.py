"""From formula to machine code: every rung of the ladder of one compiled function, and its times.

Graph → simplified graph → kernels (which lines and layers each came from) → memory plan → LLVM's
language → assembly → measured time, arithmetic and memory traffic, against the machine's peak.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from glubina.codegen.target import host
from glubina.explain.errors import ExplainError
from glubina.explain.machine import Peak, peak
from glubina.graph.node import Node
from glubina.graph.origins import Origin, Origins, Place, watching
from glubina.runtime import build, compiler, observers
from glubina.runtime.block_memory import Held
from glubina.runtime.layout import Laid
from glubina.schedule.kernel import Kernel
from glubina.tensor import programs
from glubina.tensor.arguments import whole
from glubina.tensor.compile import Compiled, compile
from glubina.tensor.debug import graph_text

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from glubina.codegen.lowered import Lowering


@dataclass(frozen=True)
class Rung:
    """One kernel of a program.

    label: its heavy operations, then what it does to their results. kind: of loop nest. places:
    the user's lines, layers and stages that it came from, the most frequent first. reads, writes:
    shapes and dtypes. flops, bytes_moved: of one step. microseconds: of one step.
    """

    number: int
    label: str
    kind: str
    places: tuple[Source, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    flops: int
    bytes_moved: int
    microseconds: float
    _lowering: Lowering

    @property
    def key(self) -> str:
        """A hash of the code: kernels with equal keys are the same code."""
        return self._lowering.key

    @property
    def gflops(self) -> float:
        """10⁹ operations a second."""
        return self.flops / max(self.microseconds, 1e-9) / 1e3

    @property
    def gbps(self) -> float:
        """10⁹ bytes a second, read and written."""
        return self.bytes_moved / max(self.microseconds, 1e-9) / 1e3

    def share_of(self, best: Peak) -> float:
        """How near the kernel is to what the machine can do: of arithmetic or of memory."""
        return max(self.gflops / best.gflops, self.gbps / best.gbps)

    @cached_property
    def ir(self) -> str:
        """The kernel in LLVM's language."""
        return "\n".join(make() for make in self._lowering.modules.values())

    @cached_property
    def assembly(self) -> str:
        """The kernel in this machine's assembly language."""
        target = host()
        return "\n".join(
            compiler.assembly(make(), target) for make in self._lowering.modules.values()
        )


@dataclass(frozen=True)
class Source:
    """Where a kernel's work comes from: a stage of a layer at a line of the user's.

    stage: "forward", "backward" or "update". layer: the dotted path and kind, "" outside of layers.
    """

    stage: str
    layer: str
    user: Place | None
    library: Place | None

    def __str__(self) -> str:
        line = self.user or self.library
        where = f"{line.file.rpartition('/')[2]}:{line.line}" if line is not None else ""
        return " ".join(part for part in (self.layer, self.stage, where) if part)


@dataclass(frozen=True, repr=False)
class Ladder:
    """A compiled function, rung by rung.

    graph: as it was recorded, with derivatives as single nodes; simplified: as it was cut into
    kernels. kernels: in the order of the run. arena: what lies where in working memory, and when;
    arena_bytes in all. microseconds: of a whole step, measured from outside, in the same runs as
    the kernels. peak: of the machine.
    """

    graph: str
    simplified: str
    kernels: tuple[Rung, ...]
    arena: tuple[Held, ...]
    arena_bytes: int
    microseconds: float
    peak: Peak
    threads: int
    _origins: Origins

    @property
    def in_kernels(self) -> float:
        """Microseconds of all kernels together."""
        return sum(kernel.microseconds for kernel in self.kernels)

    def sorted(self) -> list[Rung]:
        """The kernels, the slowest first."""
        return sorted(self.kernels, key=lambda kernel: -kernel.microseconds)

    def table(self, most: int | None = None) -> str:
        """The kernels by time: share of the step, rates, share of the peak, where from."""
        from glubina.explain.ladder_text import table

        return table(self, most)

    def __str__(self) -> str:
        return self.table()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from glubina.explain.ladder_page import table

        return table(self)

    def arena_svg(self) -> str:
        """A picture of working memory over the run: a block for each value, as long as it lives."""
        from glubina.explain.arena import drawing

        return drawing(self)

    def html(self) -> str:
        """All of it as one page that needs nothing else."""
        from glubina.explain.ladder_page import page

        return page(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page (.html), the table (.txt), or the picture of memory (.svg)."""
        from glubina.explain.saving import write

        return write(path, {".html": self.html, ".txt": self.table, ".svg": self.arena_svg})

    def origin(self, node: Node) -> Origin | None:
        """Where a node came from."""
        return self._origins.of(node)


def ladder(function: Callable[..., Any], *arguments: Any, repeats: int = 30) -> Ladder:
    """Lay open how a function of tensors is computed, from graph to measured machine code.

    The function, compiled or not, is recorded anew and run `repeats` times and some more, with all
    that it does: a training step trains. Raises ExplainError for one that needs no native program.
    """
    if not callable(function):
        raise TypeError(f"ladder takes a function of tensors, not {function!r}")
    whole("repeats", repeats)
    recorded = function.anew() if isinstance(function, Compiled) else compile(function)
    used: dict[int, programs.Compiled] = {}

    def seen(program: programs.Compiled) -> None:
        used[id(program)] = program

    programs.watchers.append(seen)
    try:
        with watching() as watch:
            recorded(*arguments)
            used.clear()
            recorded(*arguments)  # the second call records nothing: this is the step
            (program,) = used.values()
            if program.plan is None:
                raise ExplainError(
                    "this function runs in the interpreter, or calls Python functions: there is "
                    "no native program to show"
                )
            outputs, inputs, replaces = program.graph
            with watch.passing():
                made = build.translate(outputs, inputs, replaces, host())
    finally:
        programs.watchers.remove(seen)
    times, outside, threads = _measured(lambda: recorded(*arguments), program, repeats)
    laid = made.laid
    rungs = tuple(_rung(number, laid, times[number], watch) for number in range(len(laid.kernels)))
    return Ladder(
        graph_text(outputs),
        graph_text(made.outputs),
        rungs,
        laid.held,
        laid.plan.arena_bytes,
        outside,
        peak(),
        threads,
        watch,
    )


def _measured(
    run: Callable[[], object], program: programs.Compiled, repeats: int
) -> tuple[list[float], float, int]:
    """Microseconds of each kernel and of the whole step, and the threads that ran it.

    Means over the quicker half of the runs: unlike medians these add up, also on a busy machine.
    """
    assert program.plan is not None
    runs: list[tuple[float, list[float]]] = []
    threads = 1
    events: list[observers.RunEvent] = []
    for turn in range(repeats + 2):
        events.clear()
        with observers.runs.watching(events.append):
            start = time.perf_counter()
            run()
            elapsed = time.perf_counter() - start
        if turn < 2:  # memory is touched for the first time, threads wake up
            continue
        event = events[-1]
        threads = event.threads
        each = [0.0] * len(program.plan.kernels)
        for call, nanoseconds in zip(event.plan.calls, event.times, strict=True):
            if call.kernel >= 0:
                each[call.kernel] += nanoseconds / 1000 / max(event.steps, 1)
        runs.append((elapsed * 1e6, each))
    kept = sorted(runs)[: (len(runs) + 1) // 2]
    columns = zip(*(each for _, each in kept), strict=True)
    return (
        [statistics.fmean(column) for column in columns],
        statistics.fmean(elapsed for elapsed, _ in kept),
        threads,
    )


def _rung(number: int, laid: Laid, microseconds: float, watch: Origins) -> Rung:
    kernel, info = laid.kernels[number], laid.plan.kernels[number]
    return Rung(
        number=number,
        label=info.label,
        kind=kernel.kind,
        places=sources_of(kernel, watch, laid.loops[number]),
        reads=tuple(_form(node) for node in kernel.inputs),
        writes=tuple(_form(node) for node in kernel.outputs),
        flops=info.flops * info.times,
        bytes_moved=(info.bytes_read + info.bytes_written) * info.times,
        microseconds=microseconds,
        _lowering=laid.lowerings[number],
    )


def _form(node: Node) -> str:
    return f"{node.dtype.name}[{', '.join(map(str, node.shape))}]"


def sources_of(kernel: Kernel, watch: Origins, loops: Sequence[Kernel] = ()) -> tuple[Source, ...]:
    """Where the nodes inside a kernel come from, the heavy ones' places first.

    loops: that the kernel is in. The bodies of equal layers are one and the same: whose a kernel
    is and in which pass it runs is told by the loop itself.
    """
    found = _sources_inside(kernel, watch)
    around = _sources_inside(loops[-1], watch) or _sources_beside(loops[-1], watch) if loops else ()
    if around:
        loop = around[0]
        known = [s for s in found if s.user is not None] or [loop]
        found = tuple(Source(loop.stage, loop.layer, s.user, s.library) for s in known)
    return _distinct(found or _sources_beside(kernel, watch))


def _sources_inside(kernel: Kernel, watch: Origins) -> tuple[Source, ...]:
    stop = set(kernel.inputs)
    weights: dict[Source, float] = {}
    seen: set[Node] = set()
    stack: list[Node] = [*kernel.outputs]
    while stack:
        node = stack.pop()
        if node in seen or node in stop:
            continue
        seen.add(node)
        stack.extend(node.sources)
        origin = watch.of(node)
        if origin is not None and node.sources and node.op.cost:
            # not what only changes the form, nor constants, which all layers share
            source = _source(origin)
            weights[source] = weights.get(source, 0) + (1000 if node in kernel.anchors else 1)
    return tuple(sorted(weights, key=lambda source: -weights[source]))


def _sources_beside(kernel: Kernel, watch: Origins) -> tuple[Source, ...]:
    """Of a copy of something, or a loop's own bookkeeping: what it writes or reads."""
    origins = [watch.of(node) for node in (*kernel.outputs, *kernel.inputs)]
    return tuple(_source(origin) for origin in origins if origin is not None)[:1]


def _source(origin: Origin) -> Source:
    return Source(origin.stage, origin.layer, origin.user, origin.library)


def _distinct(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Each stage of each layer at each of the user's lines once."""
    found: dict[tuple[str, str, Place | None], Source] = {}
    for source in sources:
        found.setdefault((source.stage, source.layer, source.user), source)
    return tuple(found.values())
