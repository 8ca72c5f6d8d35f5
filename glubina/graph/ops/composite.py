"""A formula as one node, opened into the operations that it consists of when a program is made.

An ordinary training loop makes its graph anew in every step, and finds that it knows it: one node
for a layer, a loss or an update instead of a dozen is what makes that quick.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple

from glubina.graph.node import Array, Node, Primitive, Typed, new, rebuild, remake, topological
from glubina.graph.ops.indexing import INDICES
from glubina.graph.ops.source import INPUT, input


class Formula:
    """A function of settings (hashable) and nodes that gives a node.

    It is known by its name, so a program on disk is found again by another process. Its nodes are
    not shared, as those of primitives are: what they consist of is, once they are opened.
    """

    __slots__ = ("_plain", "function", "indices", "name")

    def __init__(self, function: Callable[..., Node]) -> None:
        self.function = function
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._plain = CompositeAttributes(self, (), "")
        # what an error calls an index that a source gives, and those that it chooses from
        self.indices = "index", "elements"

    def __call__(self, *sources: Node, settings: tuple[Hashable, ...] = ()) -> Node:
        """The node that stands for `function(*settings, *sources)`."""
        a = CompositeAttributes(self, settings, repr(settings)) if settings else self._plain
        shape, dtype = _typed(a, tuple([(s.shape, s.dtype) for s in sources]))
        return new(COMPOSITE, sources, a, shape, dtype)

    def uses_indices(self, sources: Sequence[Node], settings: tuple[Hashable, ...] = ()) -> bool:
        """Whether sources are used as indices, whose range shows only when a program runs."""
        return _uses_indices(self, settings, tuple([(s.shape, s.dtype) for s in sources]))

    def __repr__(self) -> str:
        return self.name


class CompositeAttributes(NamedTuple):
    """The formula and what it is given besides nodes; `text` tells 1 from True, 0.0 from -0.0."""

    formula: Formula
    settings: tuple[Hashable, ...]
    text: str


def _infer(sources: tuple[Node, ...], a: CompositeAttributes) -> Typed:
    return _typed(a, tuple([(s.shape, s.dtype) for s in sources]))


@lru_cache(maxsize=4096)
def _typed(a: CompositeAttributes, types: tuple[Typed, ...]) -> Typed:
    result = a.formula.function(*a.settings, *[input(*typed) for typed in types])
    return result.shape, result.dtype


@lru_cache(maxsize=4096)
def _uses_indices(
    formula: Formula, settings: tuple[Hashable, ...], types: tuple[Typed, ...]
) -> bool:
    result = opened([formula.function(*settings, *[input(*typed) for typed in types])])
    used = [n.sources[INDICES[n.op.name]] for n in topological(result) if n.op.name in INDICES]
    return any(node.op is INPUT for node in topological(used))


def _value(a: CompositeAttributes, *arrays: Array) -> Array:
    from glubina.graph.interpreter import interpret  # which knows the primitives, and so this one

    inputs = [input(array.shape, array.dtype) for array in arrays]
    result = opened([a.formula.function(*a.settings, *inputs)])
    return interpret(result, dict(zip(inputs, arrays, strict=True)))[0]


COMPOSITE = Primitive("composite", "marker", r"f(x, \ldots)", _infer, _value)


def opened(outputs: Sequence[Node]) -> list[Node]:
    """The outputs with every composite replaced by the operations that it consists of."""

    def open_one(node: Node, sources: tuple[Node, ...]) -> Node:
        if node.op is not COMPOSITE:
            return remake(node, sources)
        a = node.attributes
        result: Node = a.formula.function(*a.settings, *sources)
        return result

    current = list(outputs)
    while any(node.op is COMPOSITE for node in topological(current)):
        current = rebuild(current, open_one)
    return current
