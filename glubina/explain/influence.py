"""Which way one value influences another: the paths between them, and the product along each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.formulas import number

if TYPE_CHECKING:
    from glubina.explain.computation import Explanation
    from glubina.explain.vertex import Edge, Vertex

Array = NDArray[Any]
_MOST = 1000
_SHOWN = 40


@dataclass(frozen=True, repr=False)
class Path:
    """One way from a vertex to another."""

    edges: tuple[Edge, ...]
    _seed: Array
    _index: tuple[int, ...] | None

    @cached_property
    def product(self) -> Array:
        """The product of the local derivatives along it, in the source's shape."""
        value = self._seed
        for edge in reversed(self.edges):
            value = edge.pull(value)
        return _element(self.edges[0].source, value, self._index)

    def __str__(self) -> str:
        names = [self.edges[0].source.name, *(edge.target.name for edge in self.edges)]
        return " → ".join(names)

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Influence:
    """How one value influences another: every path, and the sum of their products.

    total: ∂target/∂source, of one element by one where indices were given; of a target with
    several elements the derivative of their sum, in the source's shape.
    """

    source: Vertex
    target: Vertex
    paths: tuple[Path, ...]
    total: Array

    def __bool__(self) -> bool:
        return bool(self.paths) and bool(np.any(self.total != 0))

    def __str__(self) -> str:
        head = f"∂{self.target.name}/∂{self.source.name}"
        if not self.paths:
            return f"{self.source.name} does not influence {self.target.name}: there is no path"
        count = len(self.paths)
        lines = [f"{self.source.name} reaches {self.target.name} by {count} path{'s'[: count > 1]}"]
        for path in self.paths[:_SHOWN]:
            lines += [f"  {path}", f"    {_product(path)}"]
        if count > _SHOWN:
            lines.append(f"  and {count - _SHOWN:,} more")
        return "\n".join([*lines, f"{head} = {_shown(self.total)}"])

    __repr__ = __str__


def _product(path: Path) -> str:
    """The factors along a path and what they come to."""
    edges = path.edges[::-1]
    if not all(edge.elementwise for edge in edges):
        return ", then ".join(edge.formula for edge in edges) + f": {_shown(path.product)}"
    written = [" · ".join(_factor(edge.formula) for edge in edges)]
    slopes = [edge.local for edge in edges]
    if all(value is not None and value.size == 1 for value in slopes):
        written.append(" · ".join(_shown(value) for value in slopes if value is not None))
    written.append(_shown(path.product))
    return " = ".join(dict.fromkeys(written))


def _factor(formula: str) -> str:
    return (
        f"({formula})"
        if formula[0] in "−-" or any(f" {sign} " in formula for sign in "+−-/")
        else formula
    )


def _shown(value: Array) -> str:
    if value.size == 1:
        return number(value.reshape(()))
    return f"{'x'.join(map(str, value.shape))} numbers of norm {number(np.linalg.norm(value))}"


def influence(
    explanation: Explanation,
    source: Any,
    target: Any = None,
    *,
    source_index: tuple[int, ...] | None = None,
    target_index: tuple[int, ...] | None = None,
) -> Influence:
    """As `Explanation.paths`."""
    start = explanation[source]
    end = explanation.output if target is None else explanation[target]
    seed = _seed(end, target_index)
    found = [Path(edges, seed, source_index) for edges in _routes(start, end)]
    total = _element(start, _total(start, end, seed), source_index)
    return Influence(start, end, tuple(found), total)


def _total(start: Vertex, end: Vertex, seed: Array) -> Array:
    """What comes back to the start along all paths: one step for each edge, however many paths."""
    back = {end: seed}
    between = _leading_to(end) & _led_from(start) - {end}
    for vertex in sorted(between, key=lambda v: -v.number):
        for edge in vertex.outgoing:
            if edge.smooth and edge.target in back:
                value = edge.pull(back[edge.target])
                back[vertex] = back[vertex] + value if vertex in back else value
    return back.get(start, np.zeros(start.shape, seed.dtype))


def _reached(start: Vertex, beside: Callable[[Vertex], Iterable[Vertex]]) -> set[Vertex]:
    """The vertices that steps from one to those beside it lead to, and the start itself."""
    found, stack = {start}, [start]
    while stack:
        new = set(beside(stack.pop())) - found
        found |= new
        stack += new
    return found


def _led_from(start: Vertex) -> set[Vertex]:
    """The vertices to which there is a way from the start, and that itself."""
    return _reached(start, lambda vertex: (edge.target for edge in vertex.outgoing))


def _leading_to(end: Vertex) -> set[Vertex]:
    """The vertices from which there is a way to the end, and that itself."""
    return _reached(end, lambda vertex: (edge.source for edge in vertex.incoming))


def _seed(end: Vertex, index: tuple[int, ...] | None) -> Array:
    dtype = end.dtype if end.dtype.kind == "f" else np.dtype(np.float32)
    if index is None:
        return np.ones(end.shape, dtype)
    seed = np.zeros(end.shape, dtype)
    _check(end, index)
    seed[index] = 1
    return seed


def _check(vertex: Vertex, index: tuple[int, ...]) -> None:
    fits = len(index) == len(vertex.shape) and all(
        -n <= i < n for i, n in zip(index, vertex.shape, strict=False)
    )
    if not fits:
        raise ExplainError(f"{vertex.name} has the shape {vertex.shape}: no element {index}")


def _element(vertex: Vertex, value: Array, index: tuple[int, ...] | None) -> Array:
    if index is None:
        return value
    _check(vertex, index)
    return np.asarray(value[index])


def _routes(start: Vertex, end: Vertex) -> Iterator[tuple[Edge, ...]]:
    """Every chain of edges from one vertex to another."""
    number_of = count(start, end)
    if number_of > _MOST:
        raise ExplainError(
            f"there are {number_of:,} paths from {start.name} to {end.name}, at most {_MOST:,} are "
            "listed; ask for a nearer vertex"
        )
    leads = _leading_to(end)
    trail: list[tuple[Vertex, tuple[Edge, ...]]] = [(start, ())]
    while trail:
        vertex, edges = trail.pop()
        if vertex is end:
            if edges:
                yield edges
            continue
        trail.extend(
            (edge.target, (*edges, edge))
            for edge in reversed(vertex.outgoing)
            if edge.target in leads and edge.smooth
        )


def count(start: Vertex, end: Vertex) -> int:
    """How many chains of edges there are, without listing them."""
    ways: dict[Vertex, int] = {end: 1}
    stack = [start]
    while stack:
        vertex = stack[-1]
        ahead = [e.target for e in vertex.outgoing if e.smooth]
        waiting = [target for target in ahead if target not in ways]
        if vertex in ways:
            stack.pop()
        elif waiting:
            stack.extend(waiting)
        else:
            ways[vertex] = sum(ways[target] for target in ahead)
            stack.pop()
    return ways[start]
