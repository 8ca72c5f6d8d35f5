"""`recompute`: a part of a network whose activations the backward pass works out again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from glubina.graph import ops
from glubina.graph.node import Node, boundary
from glubina.graph.ops.scan import PARAMETER
from glubina.tensor.arguments import function_of
from glubina.tensor.base import TensorBase, made, wrap
from glubina.tensor.cell import Leaf
from glubina.tensor.mode import mode
from glubina.tensor.nests import parts, rebuilt
from glubina.tensor.structure import VARIABLE


def recompute(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, whose inside is not kept for the backward pass.

    What `function` (of tensors; a module, or part of one) works out on the way to its results is
    forgotten, and worked out again from its arguments when the gradients of the results arrive:
    memory for time, about a third more of that. Values and derivatives are what they would be:
    random draws are the same numbers again, and what the function writes (running statistics) is
    written once. It returns what the function returns; tensors that require no gradient, and
    anything else, are left as they are. A recurrence (`nn.LSTM`) is forgotten as a whole: around
    each layer of a stack, or each part of a long sequence, this takes much less memory.

    Source: T. Chen et al., "Training deep nets with sublinear memory cost", 2016, arXiv:1604.06174.

    >>> x = gl.ones((2, 3), requires_grad=True)
    >>> y = gl.recompute(lambda x: (x * 2).exp().sum(), x)
    """
    function_of("recompute", function)
    if not mode.grad:
        return function(*args, **kwargs)
    begin = dict.fromkeys(t._cell.node for t in _tensors((args, kwargs)))
    outside = {cell.node for cell in made.alive()}.difference(begin)
    returned = function(*args, **kwargs)
    known = {*begin, *outside}
    marked = [
        t
        for t in {id(t): t for t in _tensors(returned)}.values()
        if t._requires_grad and t.dtype.kind == "f" and not _ends(t._cell.node, known)
    ]
    if not marked:
        return returned
    values = [t._cell.node for t in marked]
    inputs, others = _read(values, known)
    kept = [node for node in inputs if type(node) is not Leaf or node in begin]
    others += [node for node in inputs if node not in set(kept)]
    nodes = ops.recomputed(values, kept, others)
    table = {id(t): wrap(node, True) for t, node in zip(marked, nodes, strict=True)}
    return rebuilt(returned, lambda part: table.get(id(part), part))


def _ends(node: Node, known: set[Node]) -> bool:
    """Whether a node was there before the function, or is a value and no operation."""
    return node in known or type(node) is Leaf or node.op in (VARIABLE, PARAMETER)


def _read(values: Iterable[Node], known: set[Node]) -> tuple[list[Node], list[Node]]:
    """What lies at the beginning of the values: of the known nodes, and the other leaves."""
    met = boundary(values, lambda node: _ends(node, known))
    return [n for n in met if n in known], [n for n in met if n not in known]


def _tensors(value: Any) -> list[Any]:
    """The tensors in tuples, lists and dicts."""
    return [part for part in parts(value) if isinstance(part, TensorBase)]
