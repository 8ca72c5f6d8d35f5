"""Builds programs: graph -> kernels -> machine code -> plan, each found in the cache if it can be.

The key of a whole program is its canonical text: what operations on what, in numbers instead of
names. Shapes and dtypes are in it, values and identities are not.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence

from glubina.codegen.lowered import Lowering
from glubina.codegen.target import Target, host
from glubina.graph.autodiff import expand
from glubina.graph.node import Node, topological
from glubina.graph.simplify import simplify
from glubina.graph.verify import verify
from glubina.runtime import cache, compiler, observers
from glubina.runtime.observers import CompileEvent
from glubina.runtime.plan import Call, Entry, KernelInfo, Plan, Spec
from glubina.runtime.program import Program
from glubina.schedule.fuse import root
from glubina.schedule.kernel import Kernel
from glubina.schedule.memory import Span, lay_out
from glubina.schedule.plan import Schedule, labels, schedule

VERSION = "1"


def build(outputs: Sequence[Node], inputs: Sequence[Node], donated: Sequence[int]) -> Program:
    """The program that computes the outputs from the inputs.

    outputs: may contain `gradient` placeholders and `detach` markers.
    inputs: every input node that the outputs depend on, in the order in which the program takes
        their buffers.
    donated: for each output the number of the input whose buffer it may overwrite, or -1.
    """
    target, started = host(), time.perf_counter()
    key = program_key(outputs, inputs, donated, target)
    watched = bool(observers.schedules)  # who wants to see the kernels is shown them made
    found = None if watched else cache.load_program(key)
    cached = found is not None
    if found is None:
        plan, modules = translate(outputs, inputs, donated, target)
        code = compiler.compile_kernels(modules, target)
        found = plan, code
        cache.store_program(key, plan, code)
    program = Program(*found)
    if observers.compilations:
        seconds = time.perf_counter() - started
        observers.compilations.send(CompileEvent(found[0], seconds, cached, len(found[1])))
    return program


def program_key(
    outputs: Sequence[Node], inputs: Sequence[Node], donated: Sequence[int], target: Target
) -> str:
    """A hash of the canonical text of a program."""
    numbers = {node: i for i, node in enumerate(inputs)}
    lines = [f"{VERSION} {target} {tuple(donated)}"]
    lines += [f"input {node.dtype.name} {node.shape}" for node in inputs]
    for node in topological([*inputs, *outputs]):
        if node in numbers:
            continue
        numbers[node] = len(numbers)
        sources = [numbers[s] for s in node.sources]
        lines.append(f"{node.op.name} {node.attributes!r} {sources}")
    lines.append(f"outputs {[numbers[o] for o in outputs]}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def translate(
    outputs: Sequence[Node], inputs: Sequence[Node], donated: Sequence[int], target: Target
) -> tuple[Plan, dict[str, Callable[[], str]]]:
    """The plan, and the LLVM text of each kernel that it needs, by the kernel's key."""
    from glubina.codegen.lowering import lower  # not needed, and not loaded, on a warm start

    simple = _checked(simplify(_checked(expand(_checked(outputs)))))
    scheduled = schedule(simple, inputs, donated)
    _checked([output for kernel in scheduled.kernels for output in kernel.outputs])
    observers.scheduled(simple, scheduled)
    lowered = [lower(kernel, target) for kernel in scheduled.kernels]
    modules = {key: ir for lowering in lowered for key, ir in lowering.modules.items()}
    return lay_plan(scheduled, lowered, outputs), modules


def _checked(nodes: Sequence[Node]) -> Sequence[Node]:
    """The nodes themselves; with GLUBINA_VERIFY set (as in the tests) their graph is verified."""
    if os.environ.get("GLUBINA_VERIFY"):
        verify(nodes)
    return nodes


def lay_plan(scheduled: Schedule, lowered: Sequence[Lowering], outputs: Sequence[Node]) -> Plan:
    """Give every value its place in memory, and write the calls down."""
    table = _Table(scheduled, lowered)
    calls = []
    for number, (kernel, lowering) in enumerate(zip(scheduled.kernels, lowered, strict=True)):
        label = lowering.key
        for stage in lowering.stages:
            slots = [table.slot(kernel, number, buffer) for buffer in stage.buffers]
            calls.append(Call(stage.symbol, (*slots, *stage.arguments), label, number))
    names = labels(scheduled.kernels)
    infos = tuple(
        KernelInfo(
            name,
            lowering.flops,
            sum(n.size * n.dtype.itemsize for n in kernel.inputs),
            sum(n.size * n.dtype.itemsize for n in kernel.outputs),
        )
        for name, kernel, lowering in zip(names, scheduled.kernels, lowered, strict=True)
    )
    return Plan(
        inputs=tuple(Spec(n.shape, n.dtype.name) for n in scheduled.inputs),
        outputs=tuple(Spec(n.shape, n.dtype.name) for n in outputs),
        donated=scheduled.donated,
        table=tuple(table.entries),
        arena_bytes=table.arena_bytes,
        calls=tuple(calls),
        kernels=infos,
    )


class _Table:
    """The program's table of buffers, and the arena behind the values that die inside it."""

    def __init__(self, scheduled: Schedule, lowered: Sequence[Lowering]) -> None:
        self.entries = [Entry("status")]
        self._slots: dict[object, int] = {}
        for i, node in enumerate(scheduled.inputs):
            self._add(node, Entry("input", i))
        for i, node in enumerate(scheduled.results):
            self._add(node, Entry("output", i))
        names: list[object] = []
        spans: list[Span] = []
        last: dict[Node, int] = {}
        for number, kernel in enumerate(scheduled.kernels):
            for node in kernel.inputs:
                last[node] = number
        for number, (kernel, lowering) in enumerate(zip(scheduled.kernels, lowered, strict=True)):
            for node in kernel.outputs:
                if node not in self._slots:
                    names.append(node)
                    size = node.size * node.dtype.itemsize
                    spans.append(Span(size, number, last.get(node, number)))
            for i, size in enumerate(lowering.workspaces):
                names.append((number, i))
                spans.append(Span(size, number, number))
        arena = lay_out(spans)
        self.arena_bytes = arena.size
        for name, offset in zip(names, arena.offsets, strict=True):
            self._add(name, Entry("arena", offset))

    def _add(self, name: object, entry: Entry) -> None:
        self._slots[name] = len(self.entries)
        self.entries.append(entry)

    def slot(self, kernel: Kernel, number: int, buffer: int) -> int:
        """The table slot of a stage's buffer."""
        if buffer < 0:
            return self._slots[number, -1 - buffer]
        return self._slots[root((*kernel.inputs, *kernel.outputs)[buffer])]
