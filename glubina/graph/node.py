"""The nodes of the graph: immutable, and equal ones are the same object (hash-consing)."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph import origins
from glubina.graph.errors import ShapeError

Array = NDArray[Any]
DType = np.dtype[Any]
Shape = tuple[int, ...]
Typed = tuple[Shape, DType]


@dataclass(frozen=True, eq=False)
class Primitive:
    """One operation, declared whole.

    name: how it is called in listings and keys.
    family: "source", "elementwise", "movement", "reduction", "contraction", "window",
        "indexing", "random", "control" or "marker"; tells the schedule how a kernel computes it.
    formula: the operation as a lecture writes it (LaTeX).
    infer: (sources, attributes) -> (shape, dtype); raises ShapeError or DTypeError.
    numpy: (attributes, *arrays) -> array; the meaning, which every kernel is tested against.
    derivative: (node, gradient) -> the gradient of each source, written with graph operations
        (None where a source has no derivative).
    cost: rough machine operations per element, for the choice between storing and recomputing.
    together: the derivative of several nodes with equal sources at once, given a gradient of
        each: for results of one computation (a loop), whose reverse is one too.
    """

    name: str
    family: str
    formula: str
    infer: Callable[[tuple[Node, ...], Any], Typed]
    numpy: Callable[..., Array]
    derivative: Callable[[Node, Node], Sequence[Node | None]] | None = None
    cost: int = 1
    together: Callable[[Sequence[Node], Sequence[Node]], Sequence[Node | None]] | None = None

    def __repr__(self) -> str:
        return self.name


class Node:
    """`op(sources, attributes)` with its shape and dtype. Build with `make`, never directly."""

    __slots__ = ("__weakref__", "attributes", "dtype", "op", "shape", "sources")

    op: Primitive
    sources: tuple[Node, ...]
    attributes: Any
    shape: Shape
    dtype: DType

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        return f"<{self.op.name} {self.dtype.name} {shape}>"

    @property
    def size(self) -> int:
        """The number of elements."""
        total = 1
        for extent in self.shape:
            total *= extent
        return total


_known: weakref.WeakValueDictionary[tuple[Any, ...], Node] = weakref.WeakValueDictionary()


def make(op: Primitive, sources: tuple[Node, ...], attributes: Any = ()) -> Node:
    """The node `op(sources, attributes)`: the existing one if an equal node is alive."""
    key = (op, attributes, *sources)
    node = _known.get(key)
    if node is None:
        shape, dtype = op.infer(sources, attributes)
        check_extents(op.name, shape)
        node = new(op, sources, attributes, shape, dtype)
        _known[key] = node
    if origins.watched:
        origins.note(node)
    return node


def check_extents(name: str, shape: Shape) -> None:
    """ShapeError if an extent is negative."""
    if min(shape, default=0) < 0:
        raise ShapeError(f"{name}: a negative extent in {shape}")


def new(
    op: Primitive, sources: tuple[Node, ...], attributes: Any, shape: Shape, dtype: DType
) -> Node:
    """A node of its own, never shared (leaves have an identity)."""
    node = object.__new__(Node)
    node.op = op
    node.sources = sources
    node.attributes = attributes
    node.shape = tuple(shape)  # itself, but for a kind of tuple that a face has
    node.dtype = dtype
    if origins.watched:
        origins.note(node)
    return node


def topological(outputs: Iterable[Node]) -> list[Node]:
    """Every node that the outputs need, sources before the nodes that use them."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(o, False) for o in reversed(list(outputs))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((s, False) for s in reversed(node.sources) if s not in seen)
    return order


def boundary(roots: Iterable[Node], ends: Callable[[Node], bool]) -> list[Node]:
    """The first nodes at which `ends` holds on the ways from roots to what they read, each once."""
    found: dict[Node, None] = {}
    seen: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if ends(node):
            found[node] = None
        else:
            stack.extend(reversed(node.sources))
    return list(found)


def rebuild(
    outputs: Sequence[Node], change: Callable[[Node, tuple[Node, ...]], Node]
) -> list[Node]:
    """The outputs with every node replaced by `change(node, its new sources)`."""
    table: dict[Node, Node] = {}
    for node in origins.each(topological(outputs)):
        table[node] = change(node, tuple([table[s] for s in node.sources]))
    return [table[o] for o in outputs]


def remake(node: Node, sources: tuple[Node, ...]) -> Node:
    """The same operation on other sources (the node itself when they are the same)."""
    return node if sources == node.sources else make(node.op, sources, node.attributes)


@dataclass
class _Counter:
    numbers: Any = field(default_factory=itertools.count)


_leaves = _Counter()


def leaf_number() -> int:
    """A number that no leaf of this process has had."""
    return int(next(_leaves.numbers))
