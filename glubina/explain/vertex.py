"""The parts of an explanation: a vertex for each step, an edge for each use of one by another."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.formulas import title
from glubina.explain.local import Local
from glubina.graph.node import Node
from glubina.graph.origins import Origin

if TYPE_CHECKING:
    from glubina.explain.computation import Explanation

Array = NDArray[Any]


class Vertex:
    """One step of a computation.

    number: its place in the order of evaluation. name: of the variable or parameter, or v1, v2,
        ... kind: "input", "parameter" (derivatives are taken by it) or "operation". operation: what
        it does ("multiply"; a layer's or loss's formula by its name). formula, latex: over the
        names of the vertices that it is made of; for leaves the name. shape, dtype: of the value.
    module: the dotted path of the layer that it belongs to, "" if there is none. origin: its line
        and the layers around it, where they were recorded.
    """

    def __init__(
        self, explanation: Explanation, node: Node, number: int, name: str, kind: str
    ) -> None:
        self._explanation = explanation
        self.node = node
        self.number = number
        self.name = name
        self.kind = kind
        self.operation = title(node)
        self.shape = node.shape
        self.dtype = node.dtype
        self.incoming: list[Edge] = []
        self.outgoing: list[Edge] = []
        self.module = ""
        self.origin: Origin | None = None

    @cached_property
    def formula(self) -> str:
        """What it computes, as plain text; the name of a leaf."""
        return self._explanation.written(self, latex=False)

    @cached_property
    def latex(self) -> str:
        """What it computes, in LaTeX."""
        return self._explanation.written(self, latex=True)

    @property
    def value(self) -> Array:
        """The forward value."""
        return self._explanation.values[self.node]

    @property
    def derivative(self) -> Array | None:
        """The accumulated derivative ∂output/∂this, in the shape of the value.

        None for whole numbers and truth values, which have none.
        """
        return self._explanation.derivatives.get(self.node)

    @property
    def sources(self) -> tuple[Vertex, ...]:
        """The vertices that it is made of."""
        return tuple([edge.source for edge in self.incoming])

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        return f"<{self.name}: {self.formula}, {self.dtype.name} {shape}>"


class Edge:
    """That one vertex is made of another, and how it depends on it.

    formula, latex: the local derivative ∂target/∂source where the operation is element-wise; else
        the source's share of the derivative, with δ for the target's.
    """

    def __init__(self, source: Vertex, target: Vertex, local: Local) -> None:
        self.source = source
        self.target = target
        self._local = local

    @property
    def elementwise(self) -> bool:
        """Whether each element of the target depends on one element of the source alone."""
        return self._local.elementwise

    @property
    def smooth(self) -> bool:
        """Whether there is a derivative: not by whole numbers and truth values, nor of them."""
        return self.source.dtype.kind == "f" and self.target.dtype.kind == "f"

    @cached_property
    def local(self) -> Array | None:
        """The local derivative ∂target/∂source, element by element, in the target's shape.

        None where an element of the target depends on several of the source: see `jacobian()`.
        """
        return self._local.slopes(self.source.node) if self.elementwise and self.smooth else None

    @cached_property
    def contribution(self) -> Array | None:
        """What the source's derivative gets through this edge: those of all edges add up to it."""
        seed = self.target.derivative
        return None if seed is None or not self.smooth else self._local.pull(self.source.node, seed)

    def pull(self, seed: Array) -> Array:
        """The derivative by the source, given that by the target."""
        return self._local.pull(self.source.node, np.asarray(seed, self.target.dtype))

    def jacobian(self) -> Array:
        """∂target/∂source of every element by every element: target's shape, then source's."""
        return self._local.jacobian(self.source.node)

    @cached_property
    def formula(self) -> str:
        """The local derivative as text; empty where there is none."""
        return "" if not self.smooth else self._local.written(self.source.node, latex=False)

    @cached_property
    def latex(self) -> str:
        """The local derivative in LaTeX; empty where there is none."""
        return "" if not self.smooth else self._local.written(self.source.node, latex=True)

    def __repr__(self) -> str:
        return f"<{self.source.name} → {self.target.name}: {self.formula}>"
