"""The structure of pending work: what it is made of, without any value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from glubina.graph.autodiff import expand
from glubina.graph.node import Node, Primitive, make, new, rebuild, remake, topological
from glubina.graph.ops.source import INPUT, InputAttributes
from glubina.tensor.cell import Leaf

Key = tuple[Any, ...]


class Structure(NamedTuple):
    """What a walk through a graph finds.

    key: equal for equal structures. leaves: in the order of the key. pending: those of them
    without a value. numbers: of each node in the key.
    """

    key: Key
    leaves: list[Leaf]
    pending: list[Leaf]
    numbers: dict[Node, int]


def structure(outputs: Sequence[Node], merge: bool = True) -> Structure:
    """Walk the graph once: equal keys mean equal programs.

    The key lists the nodes, the outputs first: the numbers of the sources, the operation, the
    attributes; for a leaf its shape and dtype, and (if leaves with one buffer shall become one
    input: `merge`) the number of the first leaf with the same buffer.
    """
    numbers: dict[Node, int] = {}
    order: list[Node] = []
    for output in outputs:
        if output not in numbers:
            numbers[output] = len(order)
            order.append(output)
    parts: list[Any] = [numbers[o] for o in outputs]
    add, find = parts.append, numbers.get
    leaves: list[Leaf] = []
    pending: list[Leaf] = []
    buffers: dict[int, int] = {}
    for node in order:  # grows while it is gone through
        sources = node.sources
        if sources:
            for source in sources:
                number = find(source)
                if number is None:
                    number = numbers[source] = len(order)
                    order.append(source)
                add(number)
            op = node.op
            add(op)
            add(None if op is VARIABLE else node.attributes)
        elif type(node) is Leaf:
            add(node.shape)
            add(node.dtype)
            buffer = node.buffer
            if buffer is not None:
                add(buffers.setdefault(id(buffer), len(leaves)) if merge else None)
            else:
                add(...)  # so that a number that follows is surely the next node's source
                if node.origin is not None:
                    pending.append(node)
            leaves.append(node)
        else:
            add(node.op)
            add(node.attributes)
    return Structure(tuple(parts), leaves, pending, numbers)


# -- variables of functions ---------------------------------------------------------------------

VARIABLE = Primitive(
    "variable",
    "marker",
    r"x",
    lambda sources, a: (sources[0].shape, sources[0].dtype),
    lambda a, x: x,
    lambda y, g: (g,),
    cost=0,
)
_count = iter(range(1 << 62))


def variable(x: Node) -> Node:
    """The same value with an identity of its own, so that derivatives can be taken by it alone."""
    return make(VARIABLE, (x,), InputAttributes(next(_count)))


def without_variables(outputs: Sequence[Node]) -> list[Node]:
    """The outputs with each variable replaced by what it stands for.

    Where there are any, derivatives are worked out first, because they are taken by them.
    """
    if not any(node.op is VARIABLE for node in topological(outputs)):
        return list(outputs)
    outputs = expand(outputs)
    return rebuild(
        outputs,
        lambda node, sources: sources[0] if node.op is VARIABLE else remake(node, sources),
    )


def with_fresh_leaves(
    outputs: Sequence[Node], leaves: Sequence[Leaf], merge: bool = True
) -> tuple[list[Node], list[Node], list[int]]:
    """A copy of the graph on new inputs, which hold no values.

    There is one input per leaf, or (`merge`) one for all leaves with the same buffer. Returns the
    outputs, the inputs, and for each input the number of its (first) leaf.
    """
    table: dict[Node, Node] = {}
    inputs: list[Node] = []
    numbers: list[int] = []
    buffers: dict[int, Node] = {}
    for number, leaf in enumerate(leaves):
        fresh = buffers.get(id(leaf.buffer)) if merge and leaf.buffer is not None else None
        if fresh is None:
            fresh = new(INPUT, (), leaf.attributes, leaf.shape, leaf.dtype)
            inputs.append(fresh)
            numbers.append(number)
            if leaf.buffer is not None:
                buffers[id(leaf.buffer)] = fresh
        table[leaf] = fresh
    return substituted(outputs, table), inputs, numbers


def substituted(outputs: Sequence[Node], table: Mapping[Node, Node]) -> list[Node]:
    """A copy of the graph with other nodes in the places of some."""
    return rebuild(outputs, lambda node, sources: table.get(node) or remake(node, sources))
