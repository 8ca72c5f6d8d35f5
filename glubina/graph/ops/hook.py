"""A value with a derivative of its own: what autodiff follows instead of how the value was made.

The derivative is a graph on placeholders for the gradients (and for the values themselves, where
it reads them). It hangs below the value as marked sources, so that every pass which copies a graph
copies it too; once the derivatives are worked out, only the value is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from glubina.graph.errors import NoValueError
from glubina.graph.node import (
    Array,
    DType,
    Node,
    Primitive,
    Shape,
    Typed,
    make,
    new,
    rebuild,
    remake,
    topological,
)
from glubina.graph.ops.elementwise import full_like
from glubina.graph.ops.marker import DETACH
from glubina.graph.ops.recompute import RECOMPUTED
from glubina.graph.ops.scan import replaced


class StandInAttributes(NamedTuple):
    """The shape and dtype of what a placeholder stands for."""

    shape: Shape
    dtype: str


def _stand_in_value(a: StandInAttributes) -> Array:
    raise NoValueError(
        "the gradients that a backward() of gl.Function is given have no values: it is written "
        "once, in tensor operations, and worked out with the rest of the program (nn.Manual takes "
        "a backward in NumPy)"
    )


STAND_IN = Primitive(
    "stand_in",
    "marker",
    r"\bar{y}",
    lambda sources, a: (a.shape, np.dtype(a.dtype)),
    _stand_in_value,
)


def stand_in(shape: Shape, dtype: DType) -> Node:
    """A placeholder of its own for a gradient or a value that comes later."""
    return new(STAND_IN, (), StandInAttributes(shape, dtype.name), shape, dtype)


class Form(NamedTuple):
    """How the sources are made up: values, inputs, derivatives, gradients, values again.

    outputs: how many values there are. derived: which inputs have a derivative.
    """

    outputs: int
    inputs: int
    derived: tuple[int, ...]


class HookAttributes(NamedTuple):
    """The form, which of the values this is, and what a person calls the function."""

    form: Form
    which: int
    name: str


def _infer(sources: tuple[Node, ...], a: HookAttributes) -> Typed:
    source = sources[a.which]
    return source.shape, source.dtype


def _value(a: HookAttributes, *arrays: Array) -> Array:
    return arrays[a.which]


def _derivative(node: Node, gradient: Node) -> Sequence[Node | None]:
    return _derivatives([node], [gradient])


def _derivatives(nodes: Sequence[Node], gradients: Sequence[Node]) -> Sequence[Node | None]:
    """The hook's own derivatives, with the gradients in place of the placeholders."""
    form: Form = nodes[0].attributes.form
    sources = nodes[0].sources
    cut = form.outputs + form.inputs
    derivatives = sources[cut : cut + len(form.derived)]
    places = sources[cut + len(form.derived) :]
    given = {node.attributes.which: g for node, g in zip(nodes, gradients, strict=True)}
    table: dict[Node, Node] = {}
    for which in range(form.outputs):
        value = make(HOOK, sources, nodes[0].attributes._replace(which=which))
        table[places[which]] = given.get(which) or full_like(value, 0)
        table[places[form.outputs + which]] = value
    found = replaced([d.sources[0] for d in derivatives], table)
    answers: list[Node | None] = [None] * len(sources)
    for number, node in zip(form.derived, found, strict=True):
        answers[form.outputs + number] = node
    return answers


HOOK = Primitive("hook", "marker", r"y", _infer, _value, _derivative, cost=0, together=_derivatives)


def hook(
    values: Sequence[Node],
    inputs: Sequence[Node],
    derivatives: Sequence[Node | None],
    gradients: Sequence[Node],
    again: Sequence[Node],
    name: str = "hook",
) -> list[Node]:
    """The values, each as a node whose derivative is given.

    derivatives: for each input its gradient, on the placeholders `gradients` (one per value) and
        `again` (the values themselves), and whatever else; None where there is none.
    name: of the function, for people.
    """
    derived = tuple([i for i, d in enumerate(derivatives) if d is not None])
    form = Form(len(values), len(inputs), derived)
    # derivatives go through the inputs only; a marker of its own, which is taken off again
    sources = [make(DETACH, (v,)) for v in values]
    sources += inputs
    sources += [make(DETACH, (d,)) for d in derivatives if d is not None]
    sources += [*gradients, *again]
    return [make(HOOK, tuple(sources), HookAttributes(form, i, name)) for i in range(len(values))]


def arguments_of(node: Node) -> tuple[Node, ...] | None:
    """What a value with a derivative of its own was made of; None if the node is none."""
    if node.op is not HOOK:
        return None
    form: Form = node.attributes.form
    values = {marked.sources[0] for marked in node.sources[: form.outputs]}
    inputs = node.sources[form.outputs : form.outputs + form.inputs]
    return tuple([x for x in inputs if x not in values])  # NumPy's results come as inputs, too


def worked_out_before(node: Node) -> bool:
    """Whether it is a value that NumPy gave: its graph does not say how it was made."""
    return node.op is HOOK and len(arguments_of(node) or ()) < node.attributes.form.inputs


MARKED = (HOOK, RECOMPUTED)
"""What tells autodiff how to take a derivative, and is no more than one of its sources besides."""


def without_hooks(outputs: Sequence[Node]) -> list[Node]:
    """The outputs with only the value left of each hook, once derivatives are worked out.

    NoValueError if a placeholder is left: a value was asked for that is none yet.
    """
    found = list(outputs)
    if any(node.op in MARKED for node in topological(found)):
        found = rebuild(found, _without)
    for node in topological(found):
        if node.op is STAND_IN:
            _stand_in_value(node.attributes)
    return found


def _without(node: Node, sources: tuple[Node, ...]) -> Node:
    return sources[node.attributes.which] if node.op in MARKED else remake(node, sources)
