"""Values that a backward pass works out again rather than keeps (activation checkpointing).

`recomputed` marks values and what they were made of. Their derivative is taken on a second copy of
what lies between, which reads what it was made of through `after`: the same values, once the
gradients of the results are there. So the copies are other nodes than the originals, the two are
never merged, and the originals need not be kept for them.

Source: T. Chen et al., "Training deep nets with sublinear memory cost", 2016, arXiv:1604.06174.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from glubina.graph.errors import GraphError
from glubina.graph.node import Array, Node, Primitive, Typed, make
from glubina.graph.ops.elementwise import add
from glubina.graph.ops.marker import DETACH
from glubina.graph.ops.scan import replaced


def _infer_after(sources: tuple[Node, ...], attributes: Any) -> Typed:
    return sources[0].shape, sources[0].dtype


AFTER = Primitive(
    "after",
    "marker",
    r"x",
    _infer_after,
    lambda a, x, *waits: x,
    lambda y, g: (g, *(None for _ in y.sources[1:])),
    cost=0,
)


def after(x: Node, waits: Sequence[Node]) -> Node:
    """The same value in the same memory; what reads it runs when `waits` are worked out."""
    return make(AFTER, (x, *waits))


class RecomputedAttributes(NamedTuple):
    """How many values are marked and how many inputs follow, and which of the values this is."""

    form: tuple[int, int]
    which: int


def _infer(sources: tuple[Node, ...], a: RecomputedAttributes) -> Typed:
    source = sources[a.which]
    return source.shape, source.dtype


def _value(a: RecomputedAttributes, *arrays: Array) -> Array:
    return arrays[a.which]


def _derivative(node: Node, gradient: Node) -> Sequence[Node | None]:
    return _derivatives([node], [gradient])


def _derivatives(nodes: Sequence[Node], gradients: Sequence[Node]) -> Sequence[Node | None]:
    """Those of a copy of the values, which is worked out when the gradients are there."""
    from glubina.graph.autodiff import received  # which knows the primitives, and so this one

    outputs, waiting = nodes[0].attributes.form
    sources = nodes[0].sources
    values = [marked.sources[0] for marked in sources[:outputs]]
    inputs = sources[outputs:]
    table = {x: after(x, gradients) for x in inputs[:waiting]}
    for key in _keys(values, set(inputs)):
        table.setdefault(key, after(key, gradients))
    copies = replaced(values, table)
    seeds: dict[Node, Node] = {}
    for node, gradient in zip(nodes, gradients, strict=True):
        copy = copies[node.attributes.which]
        seeds[copy] = add(seeds[copy], gradient) if copy in seeds else gradient
    read = [table.get(x, x) for x in inputs]
    # what lies before the inputs is not gone through here: it gets its part by their gradients
    found = iter(received(seeds, [x for x in read if x.dtype.kind == "f"], ends=read))
    return [None] * outputs + [next(found) if x.dtype.kind == "f" else None for x in read]


def _keys(values: Sequence[Node], inputs: set[Node]) -> list[Node]:
    """The keys of random numbers that are drawn on the way from the inputs to the values."""
    keys: dict[Node, None] = {}
    seen: set[Node] = set()
    stack = list(values)
    while stack:
        node = stack.pop()
        if node in seen or node in inputs:
            continue
        seen.add(node)
        if node.op.family == "random":
            keys[node.sources[0]] = None
        else:
            stack.extend(node.sources)
    return list(keys)


RECOMPUTED = Primitive(
    "recomputed", "marker", r"y", _infer, _value, _derivative, cost=0, together=_derivatives
)


def recomputed(
    values: Sequence[Node], inputs: Sequence[Node], others: Sequence[Node]
) -> list[Node]:
    """The values, each as a node whose derivative works out again what lies before it.

    inputs: where that begins, which the backward pass keeps. others: what else it reads and may
        have derivatives by (parameters). A value must depend on nothing but these and sources.
    """
    known = {*inputs, *others}
    if any(value in known for value in values):
        raise GraphError("recomputed: a value is one of the inputs: nothing lies between")
    # derivatives go through the inputs only; a marker of its own, which is taken off again
    sources = (*(make(DETACH, (v,)) for v in values), *inputs, *others)
    form = len(values), len(inputs)
    return [make(RECOMPUTED, sources, RecomputedAttributes(form, i)) for i in range(len(values))]
