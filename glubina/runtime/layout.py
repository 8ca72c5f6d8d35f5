"""Lays a program out: every value its place in memory, every stage of a kernel its call.

A loop's kernel is a schedule of its own, whose calls stand between two *turns*: at the first the
loop's table entries get their first addresses, at the other they move on by a step, and the
driver goes back. A sequence's entry moves along it; a state's moves to where the step wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from glubina.codegen.lowered import Lowering, Stage
from glubina.codegen.target import Target
from glubina.graph.node import Node, new
from glubina.graph.ops.marker import DETACH
from glubina.runtime.plan import Call, Entry, KernelInfo, Plan, Spec
from glubina.schedule.kernel import Kernel, root
from glubina.schedule.loop import Body, body
from glubina.schedule.memory import Arena, Span, lay_out
from glubina.schedule.order import heirs
from glubina.schedule.plan import Schedule, labels

Lower = Callable[[Kernel, Target], Lowering]


@dataclass(frozen=True)
class LoweredLoop:
    """A loop's kernel: its body, lowered, and a copy of each final state that is wanted."""

    body: Body
    block: Block
    copies: tuple[tuple[Kernel, Lowering], ...]


@dataclass(frozen=True)
class Block:
    """A schedule with its kernels lowered."""

    schedule: Schedule
    kernels: tuple[Lowering | LoweredLoop, ...]

    def lowerings(self) -> Iterable[Lowering]:
        """All lowerings, those inside loops too."""
        for lowered in self.kernels:
            if isinstance(lowered, Lowering):
                yield lowered
            else:
                yield from lowered.block.lowerings()
                yield from (lowering for _, lowering in lowered.copies)


def lower_all(scheduled: Schedule, target: Target, lower: Lower) -> Block:
    """Lower every kernel, with those inside the bodies of loops."""
    return Block(
        scheduled,
        tuple(
            _lower_loop(kernel, target, lower) if kernel.kind == "scan" else lower(kernel, target)
            for kernel in scheduled.kernels
        ),
    )


def _lower_loop(kernel: Kernel, target: Target, lower: Lower) -> LoweredLoop:
    inner = body(kernel)
    copies = []
    for state, final in inner.finals:
        result = inner.schedule.results[state]
        copy = new(DETACH, (result,), (), final.shape, final.dtype)
        step = Kernel("map", (), (result,), (copy,), copy.shape)
        copies.append((step, lower(step, target)))
    inside = replace(target, repeats=True)
    return LoweredLoop(inner, lower_all(inner.schedule, inside, lower), tuple(copies))


@dataclass(frozen=True)
class Held:
    """A block of the arena: what lies there, where, and from which kernel to which.

    what: the node whose value it is; None for a workspace, or the arena of a loop.
    """

    what: Node | None
    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Laid:
    """A plan, and what it was made from: of each of its kernels the schedule's, and the arena.

    loops: for each kernel the loops that it is in, the outermost first.
    """

    plan: Plan
    kernels: tuple[Kernel, ...]
    loops: tuple[tuple[Kernel, ...], ...]
    lowerings: tuple[Lowering, ...]
    held: tuple[Held, ...]


def lay_plan(block: Block, outputs: Sequence[Node]) -> Laid:
    """Give every value its place in memory, and write the calls down."""
    scheduled = block.schedule
    layout = _Layout()
    slots: dict[object, int] = {}
    for i, node in enumerate(scheduled.inputs):
        slots[node] = layout.entry(Entry("input", i))
    for i, node in enumerate(scheduled.results):
        slots[node] = layout.entry(Entry("output", i))
    memory = _Memory(block, set(slots))
    layout.place(memory, 0, slots)
    layout.write(block, memory, slots, 0, 1, "")
    plan = Plan(
        inputs=tuple(Spec(n.shape, n.dtype.name) for n in scheduled.inputs),
        outputs=tuple(Spec(n.shape, n.dtype.name) for n in outputs),
        donated=scheduled.donated,
        table=tuple(layout.table),
        arena_bytes=memory.arena.size,
        calls=tuple(layout.calls),
        kernels=tuple(layout.infos),
    )
    return Laid(
        plan,
        tuple(layout.kernels),
        tuple(layout.loops),
        tuple(layout.lowerings),
        tuple(memory.held()),
    )


def nbytes(node: Node) -> int:
    """The memory that a value takes."""
    return node.size * node.dtype.itemsize


# -- memory ---------------------------------------------------------------------------------------


class _Memory:
    """The arena of a block: values that die inside it, workspaces, and the arenas of its loops."""

    def __init__(
        self, block: Block, outside: set[object], lasting: Sequence[tuple[object, int]] = (),
        early: Sequence[frozenset[int]] = (),
    ) -> None:  # fmt: skip
        """`outside`: what lies elsewhere. `lasting`: names and sizes of what is kept throughout.

        early: per kernel its stages that run before the first step.
        """
        kernels = block.schedule.kernels
        self.loops: dict[int, _LoopMemory] = {}
        end = max(len(kernels) - 1, 0)
        last: dict[Node, int] = {}
        for number, kernel in enumerate(kernels):
            for node in kernel.inputs:
                last[root(node)] = number
        self._number: dict[object, int] = {}  # of the span of each name
        self._lives: dict[object, tuple[int, int]] = {}  # of each name, where several share a span
        self._spans: list[Span] = []
        for name, size in lasting:
            self._add(name, Span(size, 0, end))
        for number, (kernel, lowered) in enumerate(zip(kernels, block.kernels, strict=True)):
            read = dict.fromkeys(map(root, kernel.inputs))
            dying = [n for n in read if n in self._number and last[n] == number]
            made = [node for node in kernel.outputs if node not in outside]
            taken = heirs(kernel, made, dying)
            for node in made:
                if node in taken:
                    self._inherit(node, taken[node], last.get(node, number))
                else:
                    self._add(node, Span(nbytes(node), number, last.get(node, number)))
            if isinstance(lowered, LoweredLoop):
                loop = self.loops[number] = _LoopMemory(lowered)
                self._add((number, 0), Span(loop.memory.arena.size, number, number))
                continue
            kept = bool(early) and bool(early[number])
            for i, size in enumerate(lowered.workspaces):
                span = Span(size, 0, end) if kept else Span(size, number, number)
                self._add((number, i), span)
        self.arena: Arena = lay_out(self._spans)

    def _add(self, name: object, span: Span) -> None:
        self._number[name] = len(self._spans)
        self._lives[name] = span.first, span.last
        self._spans.append(span)

    def _inherit(self, node: Node, taken: Node, last: int) -> None:
        """A value lies where another one lay that dies as it is made."""
        number = self._number[node] = self._number[taken]
        self._spans[number] = replace(self._spans[number], last=last)
        self._lives[node], first = (self._lives[taken][1], last), self._lives[taken][0]
        self._lives[taken] = first, max(first, self._lives[node][0] - 1)

    def places(self) -> Iterable[tuple[object, int]]:
        """Names, and where each lies in the arena."""
        return ((name, self.arena.offsets[number]) for name, number in self._number.items())

    def held(self) -> Iterable[Held]:
        """What lies in the arena, in the order of the names."""
        for name, number in self._number.items():
            size, (first, last) = self._spans[number].size, self._lives[name]
            what = name if isinstance(name, Node) else None
            yield Held(what, self.arena.offsets[number], size, first, last)

    def offset(self, name: object) -> int:
        """Where something lies in the arena."""
        return self.arena.offsets[self._number[name]]


class _LoopMemory:
    """Where a loop's states live, and the arena of its body.

    direct: the states whose next value is written where the loop's stacked result lies.
    early: per kernel of the body its stages that read only what is the same at every step.
    """

    def __init__(self, lowered: LoweredLoop) -> None:
        inner = lowered.body
        results = inner.schedule.results
        count = len(inner.loop.nexts)
        self.direct = {number: anchor for number, anchor in inner.stacked if number < count}
        self.early = [_early(lowered, number) for number in range(len(lowered.block.kernels))]
        pairs = [
            ((side, i), nbytes(results[i]))
            for i in range(count)
            if i not in self.direct
            for side in ("next", "spare")
        ]
        self.memory = _Memory(lowered.block, {*inner.inputs, *results}, pairs, self.early)


def _early(lowered: LoweredLoop, number: int) -> frozenset[int]:
    """The stages of a kernel of the body that run once, before the first step."""
    kernel, lowering = lowered.block.schedule.kernels[number], lowered.block.kernels[number]
    if isinstance(lowering, LoweredLoop):
        return frozenset()
    fixed = set(lowered.body.inputs[: lowered.body.loop.invariants])
    memory = (*kernel.inputs, *kernel.outputs)
    found: set[int] = set()
    ready: set[int] = set()  # workspaces that such stages have filled
    for i, stage in enumerate(lowering.stages):
        if stage.reads is None:
            break
        steady = all(b in ready if b < 0 else root(memory[b]) in fixed for b in stage.reads)
        if steady:
            found.add(i)
            ready |= {b for b in stage.buffers if b < 0}
    return frozenset(found)


# -- calls ----------------------------------------------------------------------------------------

Move = tuple[int, int, int]  # the entry that moves, the entry that it becomes, and bytes to add


class _Layout:
    """A plan being written: its table, its calls, its kernels."""

    def __init__(self) -> None:
        self.table = [Entry("status")]
        self.calls: list[Call] = []
        self.infos: list[KernelInfo] = []
        self.kernels: list[Kernel] = []  # of each info
        self.loops: list[tuple[Kernel, ...]] = []  # around each info
        self._inside: tuple[Kernel, ...] = ()
        self.lowerings: list[Lowering] = []

    def entry(self, entry: Entry) -> int:
        """A new slot of the table."""
        self.table.append(entry)
        return len(self.table) - 1

    def write(
        self, block: Block, memory: _Memory, slots: dict[object, int], base: int, times: int,
        where: str, early: Sequence[frozenset[int]] = (),
    ) -> None:  # fmt: skip
        """The calls of a block, in order. `slots` knows where its values lie.

        base: where the block's arena begins in the program's. times: how often the block runs.
        where: the loop that it is the body of. early: per kernel the stages that have run before.
        """
        names = labels(block.schedule.kernels)
        for number, (kernel, lowered) in enumerate(
            zip(block.schedule.kernels, block.kernels, strict=True)
        ):
            label = where + names[number]
            if isinstance(lowered, LoweredLoop):
                around, self._inside = self._inside, (*self._inside, kernel)
                self._loop(
                    lowered, memory.loops[number], slots, base + memory.offset((number, 0)),
                    times, f"{label}: ",
                )  # fmt: skip
                self._inside = around
                continue
            done = early[number] if early else frozenset()
            info = self._info(label, kernel, lowered, times)
            left = [stage for i, stage in enumerate(lowered.stages) if i not in done]
            self._stages(kernel, lowered, slots, number, info, left)

    def place(self, memory: _Memory, base: int, slots: dict[object, int]) -> None:
        """Table entries for what lies in a block's arena."""
        for name, offset in memory.places():
            slots[name] = self.entry(Entry("arena", base + offset))

    def _info(self, label: str, kernel: Kernel, lowering: Lowering, times: int) -> int:
        self.kernels.append(kernel)
        self.loops.append(self._inside)
        self.lowerings.append(lowering)
        self.infos.append(
            KernelInfo(
                label,
                lowering.flops,
                sum(map(nbytes, kernel.inputs)),
                sum(map(nbytes, kernel.outputs)),
                times,
            )
        )
        return len(self.infos) - 1

    def _stages(
        self, kernel: Kernel, lowering: Lowering, slots: dict[object, int], number: int,
        info: int, stages: Iterable[Stage],
    ) -> None:  # fmt: skip
        memory = (*kernel.inputs, *kernel.outputs)
        for stage in stages:
            places = [
                slots[number, -1 - b] if b < 0 else slots[root(memory[b])] for b in stage.buffers
            ]
            self.calls.append(Call(stage.symbol, (*places, *stage.arguments), lowering.key, info))

    def _loop(
        self, lowered: LoweredLoop, loop: _LoopMemory, outer: dict[object, int], base: int,
        times: int, where: str,
    ) -> None:  # fmt: skip
        inner, block = lowered.body, lowered.block
        slots: dict[object, int] = {}
        self.place(loop.memory, base, slots)
        begin, step = self._moves(inner, loop, slots, outer)
        counter = self.entry(Entry("loop"))
        self.calls.append(_turn(counter, 0, 0, begin))
        self._write_early(block, loop, slots, times, where)
        target, steps = len(self.calls), inner.loop.steps
        self.write(block, loop.memory, slots, base, times * steps, where, loop.early)
        self.calls.append(_turn(counter, steps, target, step))
        for (state, final), (kernel, lowering) in zip(inner.finals, lowered.copies, strict=True):
            slots[kernel.outputs[0]] = outer[root(final)]
            info = self._info(f"{where}final state {state}", kernel, lowering, times)
            self._stages(kernel, lowering, slots, -1, info, lowering.stages)

    def _write_early(
        self, block: Block, loop: _LoopMemory, slots: dict[object, int], times: int, where: str
    ) -> None:
        """What of the body's kernels is the same at every step: done once."""
        names = labels(block.schedule.kernels)
        for number, early in enumerate(loop.early):
            kernel, lowering = block.schedule.kernels[number], block.kernels[number]
            if early and isinstance(lowering, Lowering):
                info = self._info(f"{where}{names[number]}, once", kernel, lowering, times)
                self.infos[info] = replace(self.infos[info], flops=0, bytes_written=0)
                stages = [lowering.stages[i] for i in sorted(early)]
                self._stages(kernel, lowering, slots, number, info, stages)

    def _moves(
        self, inner: Body, loop: _LoopMemory, slots: dict[object, int], outer: dict[object, int]
    ) -> tuple[list[Move], list[Move]]:
        """What the loop's table entries are at its first step, and how they move on."""
        plan, results = inner.loop, inner.schedule.results
        begin: list[Move] = []
        step: list[Move] = []

        def along(whole: int, size: int) -> int:
            """An entry that moves along a stacked array."""
            slot = self.entry(Entry("loop"))
            begin.append((slot, whole, size * (plan.steps - 1) if plan.reverse else 0))
            step.append((slot, slot, -size if plan.reverse else size))
            return slot

        for i, (source, node) in enumerate(zip(inner.sources, inner.inputs, strict=True)):
            place = outer[root(source)]
            if i < plan.invariants:
                slots[node] = place
            elif i >= plan.sequences:
                slots[node] = along(place, nbytes(node))
        for i in range(len(plan.nexts)):
            state = slots[inner.inputs[plan.invariants + i]] = self.entry(Entry("loop"))
            begin.append((state, outer[root(inner.sources[plan.invariants + i])], 0))
            if i in loop.direct:
                size = nbytes(results[i])
                written = len(self.table)
                step.append((state, written, 0))
                slots[results[i]] = along(outer[root(loop.direct[i])], size)
                continue
            following = slots[results[i]] = self.entry(Entry("loop"))
            spare = self.entry(Entry("loop"))
            begin += [(following, slots["next", i], 0), (spare, slots["spare", i], 0)]
            step += [(state, following, 0), (following, spare, 0), (spare, state, 0)]
        for number, anchor in inner.stacked:
            if number >= len(plan.nexts):
                slots[results[number]] = along(outer[root(anchor)], nbytes(results[number]))
        return begin, step


def _turn(counter: int, steps: int, target: int, moves: Sequence[Move]) -> Call:
    """A call that the driver does itself; see `glubina.codegen.driver`."""
    words = [word for move in moves for word in move]
    return Call("", (counter, steps, target, len(moves), *words))
