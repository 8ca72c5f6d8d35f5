"""Lays a program out: every value its place in memory, every stage of a kernel its call.

A loop's kernel is a schedule of its own, whose calls stand between two *turns*: at the first the
loop's table entries get their first addresses, at the other they move on by a step, and the
driver goes back. A sequence's entry moves along it; a state's moves to where the step wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from glubina.codegen.lowered import Lowering, Stage
from glubina.graph.node import Node
from glubina.runtime.block_memory import Held, LoopMemory, Memory, nbytes
from glubina.runtime.blocks import Block, LoweredLoop
from glubina.runtime.plan import Call, Entry, KernelInfo, Plan, Spec
from glubina.schedule.kernel import Kernel, root
from glubina.schedule.loop import Body
from glubina.schedule.plan import labels


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
    memory = Memory(block, set(slots))
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
        self, block: Block, memory: Memory, slots: dict[object, int], base: int, times: int,
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

    def place(self, memory: Memory, base: int, slots: dict[object, int]) -> None:
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
        self, lowered: LoweredLoop, loop: LoopMemory, outer: dict[object, int], base: int,
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
        self, block: Block, loop: LoopMemory, slots: dict[object, int], times: int, where: str
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
        self, inner: Body, loop: LoopMemory, slots: dict[object, int], outer: dict[object, int]
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
