"""What runs a structure: the interpreter for a tiny one, a compiled program for any other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from glubina.graph.autodiff import expand
from glubina.graph.node import Node, topological
from glubina.graph.ops.marker import GRADIENT
from glubina.graph.ops.source import INPUT
from glubina.graph.simplify import simplify
from glubina.runtime.buffer import Buffer
from glubina.tensor.cell import Leaf
from glubina.tensor.structure import with_fresh_leaves, without_variables

# A graph with at most so many nodes and elements in all is quicker in the interpreter than a
# program is made. (Decided by structure alone, so that the same graph always gives the same bits.)
FEW_NODES = 64
FEW_ELEMENTS = 2048
FEW_SCALARS = 4096
_COST_OF_GRADIENT = 3


class Compiled:
    """How to work out the outputs of one structure, again and again with other values.

    inputs: for each input of the program the number of the leaf (in the structure's order) that
        it is; leaves with the same buffer are one input.
    takes: for each output the number of the input whose buffer it may overwrite, or -1.
    """

    def __init__(
        self, outputs: Sequence[Node], leaves: Sequence[Leaf], updates: Sequence[int]
    ) -> None:
        shared = len({id(leaf.buffer) for leaf in leaves if leaf.buffer}) < sum(
            leaf.buffer is not None for leaf in leaves
        )
        # derivatives by one of two leaves with one buffer: told apart before they are merged
        plain = without_variables(expand(outputs) if shared else outputs)
        graph, inputs, self.inputs = with_fresh_leaves(plain, leaves)
        places = {leaf: place for place, leaf in enumerate(self.inputs)}
        wishes = [places.get(number, -1) for number in updates]
        self.sizes = [node.size * node.dtype.itemsize for node in outputs]
        self.shapes = [(node.shape, node.dtype) for node in outputs]
        self.interpreted = backend() == "interpreter" or is_tiny(plain)
        if self.interpreted:
            self._steps = _Steps(simplify(expand(graph)), inputs)
            self.takes = [-1] * len(outputs)
        else:
            from glubina.runtime.build import build

            self._program = build(graph, inputs, wishes)
            self.takes = list(self._program.plan.donated)

    def run(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> None:
        """Read the inputs' buffers, fill the outputs'."""
        if self.interpreted:
            self._steps.run(inputs, outputs)
        else:
            self._program.run(inputs, outputs)

    def run_many(
        self,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        steps: int,
        seconds: float | None = None,
    ) -> int:
        """Run again and again on the same buffers; returns the number of steps done."""
        if self.interpreted:
            for _ in range(steps):
                self._steps.run(inputs, outputs)
            return steps
        return self._program.run_many(inputs, outputs, steps, seconds=seconds)


def backend() -> str:
    """What the environment asks for: "interpreter" for NumPy alone, else "native"."""
    asked = os.environ.get("GLUBINA_BACKEND", "native")
    if asked not in ("native", "interpreter"):
        raise ValueError(f"GLUBINA_BACKEND should be native or interpreter, it is {asked!r}")
    return asked


def is_tiny(outputs: Sequence[Node]) -> bool:
    """Whether the graph is small enough for the interpreter."""
    order = topological(outputs)
    nodes = elements = 0
    scalars = True
    for node in order:
        weight = _COST_OF_GRADIENT if node.op is GRADIENT else 1
        size = node.size
        scalars &= size == 1
        nodes += weight
        elements += weight * size
    if scalars:
        return nodes <= FEW_SCALARS
    return nodes <= FEW_NODES and elements <= FEW_ELEMENTS


class _Steps:
    """A graph as a list of NumPy calls on numbered values."""

    def __init__(self, outputs: Sequence[Node], inputs: Sequence[Node]) -> None:
        numbers = {node: i for i, node in enumerate(inputs)}
        self._inputs = [(node.shape, node.dtype) for node in inputs]
        self._calls: list[tuple[Any, Any, tuple[int, ...], int]] = []
        for node in topological(outputs):
            if node.op is INPUT:
                continue
            sources = tuple([numbers[s] for s in node.sources])
            numbers[node] = len(numbers)
            self._calls.append((node.op.numpy, node.attributes, sources, numbers[node]))
        self._count = len(numbers)
        self._outputs = [(numbers[node], node.shape, node.dtype) for node in outputs]

    def run(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> None:
        values: list[Any] = [None] * self._count
        for number, (buffer, (shape, dtype)) in enumerate(zip(inputs, self._inputs, strict=True)):
            values[number] = buffer.array(shape, dtype)
        with np.errstate(all="ignore"):
            for function, attributes, sources, target in self._calls:
                values[target] = function(attributes, *[values[s] for s in sources])
        for buffer, (number, shape, dtype) in zip(outputs, self._outputs, strict=True):
            np.copyto(buffer.array(shape, dtype), values[number])
