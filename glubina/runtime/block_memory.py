"""What lies where in the arena of a program, and in that of each of its loops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from glubina.graph.node import Node
from glubina.runtime.blocks import Block, LoweredLoop
from glubina.schedule.kernel import root
from glubina.schedule.memory import Arena, Span, lay_out
from glubina.schedule.order import heirs


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


def nbytes(node: Node) -> int:
    """The memory that a value takes."""
    return node.size * node.dtype.itemsize


class Memory:
    """The arena of a block: values that die inside it, workspaces, and the arenas of its loops."""

    def __init__(
        self, block: Block, outside: set[object], lasting: Sequence[tuple[object, int]] = (),
        early: Sequence[frozenset[int]] = (),
    ) -> None:  # fmt: skip
        """`outside`: what lies elsewhere. `lasting`: names and sizes of what is kept throughout.

        early: per kernel its stages that run before the first step.
        """
        kernels = block.schedule.kernels
        self.loops: dict[int, LoopMemory] = {}
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
                loop = self.loops[number] = LoopMemory(lowered)
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


class LoopMemory:
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
        self.memory = Memory(lowered.block, {*inner.inputs, *results}, pairs, self.early)


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
