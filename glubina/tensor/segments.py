"""Programs with calls of Python functions in them: native parts, and the calls between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glubina.graph.node import Node, boundary, rebuild, remake, topological
from glubina.graph.ops.host import is_host
from glubina.graph.ops.source import INPUT, input
from glubina.runtime.buffer import Buffer

if TYPE_CHECKING:
    from collections.abc import Callable

CHEAP = ("movement", "source")
"""Families of nodes that are worked out again rather than carried from part to part."""


def has_calls(outputs: Sequence[Node]) -> bool:
    """Whether there are calls of Python functions in a graph."""
    return any(is_host(node) for node in topological(outputs))


class Segments:
    """A graph (derivatives worked out) in parts: a native program, calls, a program, and so on.

    A node belongs to the part after as many rounds of calls as lie before it. What a later part
    needs of an earlier one is kept between them.
    """

    def __init__(self, outputs: Sequence[Node], inputs: Sequence[Node]) -> None:
        self._inputs, self._outputs = list(inputs), list(outputs)
        self._round: dict[Node, int] = {}
        order = topological(outputs)
        for node in order:
            before = max((self._round[s] for s in node.sources), default=0)
            self._round[node] = before + is_host(node)
        last = max(self._round.values())
        self._calls: list[list[Node]] = [[] for _ in range(last + 1)]
        for node in order:
            if is_host(node):
                self._calls[self._round[node]].append(node)
        self._parts = [self._part(number) for number in range(last + 1)]

    def _part(self, number: int) -> _Part:
        """What is worked out natively after so many rounds of calls."""
        wanted = [*self._outputs, *(s for calls in self._calls for n in calls for s in n.sources)]
        wanted += self._carried([n for n in wanted if self._round[n] > number], number)
        mine = [
            node
            for node in dict.fromkeys(wanted)
            if self._round[node] == number and not is_host(node) and node.op is not INPUT
        ]
        return _Part(mine, number, self._round)

    def _carried(self, later: Sequence[Node], number: int) -> list[Node]:
        """The nodes of this part or earlier ones that later parts read."""

        def ends(node: Node) -> bool:
            light = node.op.family in CHEAP and bool(node.sources)
            return self._round[node] <= number and not light

        return [node for node in boundary(later, ends) if node.op.family != "source"]

    def run(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> None:
        """Read the inputs' buffers, fill the outputs'."""
        values = dict(zip(self._inputs, inputs, strict=True))
        for number, part in enumerate(self._parts):
            for node in self._calls[number]:
                arrays = [values[s].array(s.shape, s.dtype) for s in node.sources]
                result = node.op.numpy(node.attributes, *arrays)
                values[node] = Buffer.from_array(np.ascontiguousarray(result))
            part.run(values)
        for buffer, node in zip(outputs, self._outputs, strict=True):
            source = values[node].array(node.shape, node.dtype)
            np.copyto(buffer.array(node.shape, node.dtype), source)


class _Part:
    """One native program; where it reads from an earlier part it has an input."""

    def __init__(self, mine: list[Node], number: int, rounds: dict[Node, int]) -> None:
        self._mine = mine
        self._reads: dict[Node, Node] = {}
        if not mine:
            return
        from glubina.runtime.build import build

        made = rebuild(mine, self._changer(number, rounds))
        used = set(topological(made))
        self._reads = {node: x for node, x in self._reads.items() if x in used}
        self._program: Any = build(made, list(self._reads.values()), [-1] * len(mine))

    def _changer(
        self, number: int, rounds: dict[Node, int]
    ) -> Callable[[Node, tuple[Node, ...]], Node]:
        """Puts inputs in place of what is there already."""

        def change(node: Node, sources: tuple[Node, ...]) -> Node:
            cheap = node.op.family in CHEAP and node.op is not INPUT
            if node.op is INPUT or is_host(node) or (rounds[node] < number and not cheap):
                self._reads[node] = input(node.shape, node.dtype)
                return self._reads[node]
            return remake(node, sources)

        return change

    def run(self, values: dict[Node, Buffer]) -> None:
        """Work out this part's values and put them beside the others."""
        if not self._mine:
            return
        results = [Buffer(node.size * node.dtype.itemsize) for node in self._mine]
        self._program.run([values[node] for node in self._reads], results)
        values.update(zip(self._mine, results, strict=True))
