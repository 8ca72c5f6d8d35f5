"""The explanation of a computation as data: which nodes get a vertex, values and derivatives.

A vertex is a node of the engine's graph that deserves a place in a drawing. Constants, and
operations that change only the form (`formulas.INLINE`), are part of the formula of their user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.formulas import Writer, bare, constant_of, opened_alone
from glubina.explain.local import Local, value_of_leaf
from glubina.explain.markers import is_learned, unmarked
from glubina.explain.vertex import Edge, Vertex
from glubina.graph import ops
from glubina.graph.autodiff import expand
from glubina.graph.flops import flops_of
from glubina.graph.interpreter import interpret
from glubina.graph.node import Node, topological
from glubina.graph.ops import opened
from glubina.graph.ops.hook import arguments_of
from glubina.graph.ops.source import INPUT
from glubina.graph.origins import Origin
from glubina.graph.simplify import simplify
from glubina.tensor import Tensor
from glubina.tensor.base import wrap

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from glubina.explain.frames import Frame
    from glubina.explain.influence import Influence
    from glubina.explain.words import Derivation

Array = NDArray[Any]

_MUCH = 20_000_000_000  # arithmetic operations that NumPy does in some seconds


class Explanation:
    """A computation laid open: `nodes` in the order of evaluation, and `edges` between them.

    output: the vertex that everything leads to; the derivatives are of it.
    """

    def __init__(
        self,
        output: Node,
        names: Mapping[Node, str],
        *,
        origins: Mapping[Node, Origin] | None = None,
        operations: bool = False,
    ) -> None:
        self._plain = unmarked([output, *names])
        output = self._plain[output]
        names = {self._plain[node]: name for node, name in names.items()}
        origins = {self._plain.get(n, n): origin for n, origin in (origins or {}).items()}
        if operations:
            names, output = _all_opened(names, output)
        self._root = bare(output)
        self.nodes: tuple[Vertex, ...] = ()
        self.edges: tuple[Edge, ...] = ()
        self._by_node: dict[Node, Vertex] = {}
        self._named(names)
        for placed in self._by_node.values():
            placed.origin = origins.get(placed.node)
        self._connect()
        self.output = self._by_node[self._root]

    # -- building --------------------------------------------------------------------------------

    def _named(self, names: Mapping[Node, str]) -> None:
        taken = set(names.values())
        count = 0
        vertices: list[Vertex] = []
        for node in _in_order(self._root):
            name = names.get(node)
            if name is None:
                while name is None or name in taken:
                    count += 1
                    name = f"v{count}" if node.sources else f"x{count}"
            kind = "operation" if node.sources else "input"
            if not node.sources and is_learned(node):
                kind = "parameter"
            vertex = Vertex(self, node, len(vertices) + 1, name, kind)
            vertices.append(vertex)
            self._by_node[node] = vertex
        self.nodes = tuple(vertices)
        self._names = {vertex.node: vertex.name for vertex in vertices}

    def _connect(self) -> None:
        edges = []
        for target in self.nodes:
            reads = [self._by_node[node] for node in reads_of(target.node)]
            if not reads:
                continue
            local = Local(target.node, [r.node for r in reads], self._names, self._value_of)
            for source in reads:
                edge = Edge(source, target, local)
                source.outgoing.append(edge)
                target.incoming.append(edge)
                edges.append(edge)
        self.edges = tuple(edges)

    def _value_of(self, node: Node) -> Array:
        return self.values[node]

    def written(self, vertex: Vertex, *, latex: bool) -> str:
        """A vertex's formula over the names of its sources."""
        names = {edge.source.node: edge.source.name for edge in vertex.incoming}
        writer = Writer(names, latex=latex)
        return writer.write(vertex.node) if vertex.incoming else writer.name(vertex.name)

    # -- numbers ---------------------------------------------------------------------------------

    @cached_property
    def values(self) -> dict[Node, Array]:
        """The value of each vertex's node."""
        return _worked_out([v.node for v in self.nodes], [v.node for v in self.nodes])

    @cached_property
    def derivatives(self) -> dict[Node, Array]:
        """∂output/∂node of each vertex's node; of the sum of an output of several elements."""
        if self._root.dtype.kind != "f":
            return {}
        total = ops.sum(self._root, tuple(range(len(self._root.shape))))
        floating = [v.node for v in self.nodes if v.dtype.kind == "f"]
        return _worked_out(floating, [ops.gradient(total, node) for node in floating])

    # -- finding ---------------------------------------------------------------------------------

    def __getitem__(self, which: str | int | Tensor | Vertex) -> Vertex:
        """The vertex of a name, a number, or a tensor; a vertex of this computation itself."""
        if isinstance(which, Vertex):
            found = [v for v in self.nodes if v is which]
        elif isinstance(which, Tensor):
            node = bare(self._plain.get(which._cell.node, which._cell.node))
            found = [v for v in self.nodes if v.node in (node, which._cell.leaf)]
        else:
            found = [v for v in self.nodes if which in (v.name, v.number)]
        if not found:
            known = ", ".join(v.name for v in self.nodes[:40])
            what = "this tensor" if isinstance(which, Tensor) else repr(which)
            raise ExplainError(f"{what} is no part of this computation; there are {known}")
        return found[0]

    def __iter__(self) -> Iterator[Vertex]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    # -- showing ---------------------------------------------------------------------------------

    def text(self, depth: int | None = None) -> str:
        """A table of the vertices. depth: layers so deep are one line each."""
        from glubina.explain.text import table

        return table(self, depth)

    def svg(self, depth: int | None = None, *, direction: str = "auto") -> str:
        """A drawing that stands alone. depth: layers so deep are one box each (None: none are).

        direction: "right", "down", or "auto": down where the graph is long.
        """
        from glubina.explain import svg, view

        return svg.drawing(view.view(self, depth), direction=direction)

    def steps(self, depth: int | None = None) -> list[Frame]:
        """The run one vertex at a time: forward values, then derivatives backward."""
        from glubina.explain.frames import frames

        return frames(self, depth)

    def animation(self, depth: int | None = None, *, seconds: float = 0.8) -> str:
        """The steps as an SVG drawing that plays by itself, `seconds` for each."""
        from glubina.explain.frames import animation

        return animation(self, depth, seconds)

    def save(self, path: str | os.PathLike[str], depth: int | None = None) -> Path:
        """Write the drawing (.svg), a page for a browser (.html), or the table (.txt)."""
        from glubina.explain.page import page
        from glubina.explain.saving import write

        kinds = {
            ".svg": lambda: self.svg(depth),
            ".html": lambda: page(self),
            ".txt": lambda: self.text(depth),
        }
        return write(path, kinds)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<{self.output.name} = {self.output.formula}: {len(self)} vertices>"

    def _repr_svg_(self) -> str:
        return self.svg(None if len(self) <= 60 else 1)

    def derivation(self, which: Any) -> Derivation:
        """The derivative by a vertex (or its name, number, tensor) in words: see `Derivation`."""
        from glubina.explain.words import derivation

        return derivation(self, which)

    def paths(
        self,
        source: Any,
        target: Any = None,
        *,
        source_index: tuple[int, ...] | None = None,
        target_index: tuple[int, ...] | None = None,
    ) -> Influence:
        """Every path from `source` to `target`, and the derivative that comes along each.

        source, target: vertices, their names or numbers, or tensors; the target is the output if
            it is not given. source_index, target_index: of one element of each, as in an array.

        Raises ExplainError for what is no part of the computation, an index outside, and where
        there are more than 1,000 paths.
        """
        from glubina.explain.influence import influence

        return influence(self, source, target, source_index=source_index, target_index=target_index)


def _worked_out(keys: Sequence[Node], nodes: Sequence[Node]) -> dict[Node, Array]:
    """The values of nodes by their keys.

    By the interpreter, node by node, which is what the kernels are tested against and needs no
    compiler; by one native program where that would take long.
    """
    plain = simplify(expand(nodes))
    if flops_of(plain) > _MUCH:
        tensors = [wrap(node) for node in nodes]
        values = [tensor.numpy() for tensor in tensors]
    else:
        leaves = {n: value_of_leaf(n) for n in topological(plain) if n.op is INPUT}
        values = [value.copy() for value in interpret(plain, leaves)]
    for value in values:
        value.flags.writeable = False
    return dict(zip(keys, values, strict=True))


def reads_of(node: Node) -> list[Node]:
    """The nodes with vertices that a node is made of, each once, in the order of the formula."""
    own = arguments_of(node)
    if own is not None:
        return list(dict.fromkeys(map(bare, own)))
    result, inputs = opened_alone(node)
    needed = set(topological([result]))
    found: dict[Node, None] = {}
    for source, x in zip(node.sources, inputs, strict=True):
        below = bare(source)
        if x in needed and constant_of(below) is None:
            found[below] = None
    return list(found)


def _in_order(root: Node) -> list[Node]:
    """The nodes with vertices, each after those that it is made of."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((s, False) for s in reversed(reads_of(node)) if s not in seen)
    return order


def _all_opened(names: Mapping[Node, str], output: Node) -> tuple[dict[Node, str], Node]:
    """The graph with every formula opened, and the names of what is still there."""
    known = [node for node in names if node.sources]
    result, *others = opened([output, *known])
    table = dict(zip(known, others, strict=True))
    return {table.get(node, node): name for node, name in names.items()}, result
