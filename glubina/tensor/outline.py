"""Running a function on arguments without values: what it reads, changes and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glubina.graph.node import Node
from glubina.tensor.base import TensorBase, consume_value, made, wrap
from glubina.tensor.cell import Cell, Leaf, placeholder
from glubina.tensor.convert import as_tensor
from glubina.tensor.errors import TraceError
from glubina.tensor.mode import mode
from glubina.tensor.nests import rebuilt
from glubina.tensor.realise import realise_pending
from glubina.tensor.structure import Structure, structure, with_fresh_leaves, without_variables
from glubina.tensor.trace import Trace, advanced, resolved

if TYPE_CHECKING:
    from glubina.runtime.build import Translation
    from glubina.tensor.handle import Tensor


@dataclass(frozen=True)
class Outline:
    """What a function did on arguments without values.

    arguments: the cells of its arguments, `first` their nodes. form: what it returned, with a
    `Place` for each tensor. cells: what it changed, beginning with the written ones and the states
    of chance. outputs: their new values, then the results and gradients. updates: for each output
    the number of the leaf whose value it replaces, or -1. gradients: the tensors that got one.
    """

    trace: Trace
    arguments: list[Cell]
    first: list[Node]
    form: Any
    cells: list[Cell]
    outputs: list[Node]
    found: Structure
    updates: list[int]
    gradients: list[Tensor]


@contextmanager
def outlined(function: Callable[..., Any], args: Any, kwargs: Any, keep: bool) -> Iterator[Outline]:
    """Run a function on arguments without values; afterwards everything is as it was before."""
    realise_pending()
    trace = Trace()
    arguments: list[Cell] = []
    inside = _placeholders((args, kwargs), arguments)
    first = [cell.node for cell in arguments]
    pending = made.pending
    try:
        try:
            mode.trace = trace
            # what the function makes and leaves behind will never have a value: nobody waits for it
            made.pending = []
            returned = function(*inside[0], **inside[1])
            results: list[Tensor] = []
            form = _form(returned, results)
            nodes = [consume_value(t) for t in results]
            yield _outline(trace, arguments, first, form, nodes, keep)
        finally:
            _end(trace, pending)
    finally:
        _end(trace, pending)  # once more: Ctrl-C may have come between


def _end(trace: Trace, pending: list[Any]) -> None:
    """Leave everything as it was before the recording."""
    mode.trace, made.pending = None, pending
    for tensor, before in trace.gradients.items():
        tensor.grad = before
    for cell, content in trace.written.items():
        content.restore(cell)


def translated(function: Callable[..., Any], *args: Any) -> Translation:
    """How a function would be computed, down to the plan of its memory; nothing is compiled or run.

    The function is called once, on arguments without values.
    """
    from glubina.codegen.target import host
    from glubina.runtime.build import translate

    with outlined(function, args, {}, False) as outline:
        plain = without_variables(outline.outputs)
        graph, inputs, numbers = with_fresh_leaves(plain, outline.found.leaves, merge=False)
    places = {leaf: place for place, leaf in enumerate(numbers)}
    return translate(graph, inputs, [places.get(n, -1) for n in outline.updates], host())


class Place:
    """Where a tensor stood in what a function returned."""

    def __init__(self, number: int) -> None:
        self.number = number


def _placeholders(value: Any, cells: list[Cell]) -> Any:
    """The arguments with tensors without values in place of tensors and arrays, whose cells follow.

    Arguments that are one tensor are one inside as well, so that a change of one is seen by all.
    """
    known: dict[tuple[Cell, bool], Tensor] = {}

    def inside(part: Any) -> Any:
        if isinstance(part, np.ndarray):
            part = as_tensor(part)
        if not isinstance(part, TensorBase):
            return part
        same = part._cell, part._requires_grad
        if same not in known:
            tensor = known[same] = wrap(placeholder(part.shape, part.dtype))
            if part._requires_grad:
                tensor.requires_grad_()
        cells.append(known[same]._cell)
        return known[same]

    return rebuilt(value, inside)


def _form(value: Any, results: list[Tensor]) -> Any:
    """What was returned, with a mark in place of each tensor."""

    def marked(part: Any) -> Any:
        if not isinstance(part, TensorBase):
            return part
        results.append(part)  # type: ignore[arg-type]
        return Place(len(results) - 1)

    return rebuilt(value, marked)


def _value(cell: Cell) -> Node:
    """The node of a written cell's final content."""
    node = cell.node
    return node.origin if type(node) is Leaf and node.origin is not None else node


def _outline(
    trace: Trace, arguments: list[Cell], first: list[Node], form: Any, nodes: list[Node], keep: bool
) -> Outline:
    """Put it together: outputs are the written cells, the results, the gradients."""
    cells = list(trace.written)
    starts = [content.node for content in trace.written.values()]
    outputs = [_value(cell) for cell in cells]
    for generator, draws in trace.draws.items():
        key = trace.keys[generator]
        cells.append(key)
        starts.append(key.node)
        outputs.append(advanced(key.node, draws))
    gradients: list[Tensor] = []
    for tensor, before in trace.gradients.items():
        if tensor._cell in arguments:
            raise TraceError(
                "backward() in a compiled function gives its arguments no `grad`; use "
                "gl.value_and_grad in the function and return the gradients"
            )
        if tensor.grad is None or (tensor._cell in trace.written and not keep):
            continue
        if before is None:
            gradients.append(tensor)
            nodes = [*nodes, consume_value(tensor.grad)]
        else:
            cells.append(before._cell)
            starts.append(before._cell.node)
            outputs.append(consume_value(tensor.grad))
    outputs = resolved([*outputs, *nodes])
    found = structure(outputs, merge=False)
    places: dict[Node, int] = {leaf: i for i, leaf in enumerate(found.leaves)}
    updates = [places.get(node, -1) for node in starts] + [-1] * len(nodes)
    return Outline(trace, arguments, first, form, cells, outputs, found, updates, gradients)
