"""`explain`: from a tensor, a function or a network to its explanation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from glubina.explain.computation import Explanation
from glubina.explain.errors import ExplainError
from glubina.explain.naming import assigned, names_in, visible_from
from glubina.explain.undisturbed import networks_in, undisturbed
from glubina.graph.autodiff import expand
from glubina.graph.node import Node, topological
from glubina.graph.ops.marker import GRADIENT
from glubina.graph.origins import Origin, path_of, watching
from glubina.nn import Module
from glubina.tensor import Tensor, enable_grad
from glubina.tensor.compile import Compiled

if TYPE_CHECKING:
    from glubina.explain.influence import Influence


def explain(
    what: Tensor | Callable[..., Any],
    *arguments: Any,
    names: Mapping[str, Tensor] | None = None,
    operations: bool = False,
    **keywords: Any,
) -> Explanation:
    """Lay a computation open: its graph with formulas, values and derivatives.

    what: a tensor whose graph is still there (it, or something in it, requires gradients, or its
        value was not asked for yet), or a function or network that is called with the arguments;
        only then lines and layers are known.
    names: of tensors; besides, the variables that the caller can see and the parameters of
        networks among them have their names.
    operations: open layers' and losses' formulas down to the engine's operations.

    What is looked at stays as it is: a batch normalisation's statistics, and the state of chance.

    Raises ExplainError where there is nothing to explain: the tensor is a mere value.

    >>> w1, w2 = gl.tensor(2.0, requires_grad=True), gl.tensor(3.0, requires_grad=True)
    >>> print(gl.explain(w1**2 * w2**2))
    """
    variables = visible_from(outside_frame())
    origins: Mapping[Node, Origin] = {}
    root: Module | None = None
    if isinstance(what, Tensor):
        if arguments or keywords:
            raise TypeError("explain: only a function or a network takes further arguments")
        result = what
    elif callable(what):
        root = what if isinstance(what, Module) else None
        if isinstance(what, Compiled):
            what = what.function  # whose program has no graph to show
        with watching() as watch, enable_grad(), undisturbed(networks_in(variables, what)):
            result = _result_of(what, arguments, keywords)
        origins = watch.table
        if root is not None:
            variables = {**variables, "network": root}
    else:
        raise TypeError(f"explain takes a tensor, a function or a network, not {what!r}")
    output = _worked_open(result._cell.node)
    if not output.sources:
        raise ExplainError(
            "this tensor is a mere value: how it came about is no longer known. Give its graph "
            "before its value is asked for, let what it is made of require gradients, or give the "
            "function: gl.explain(function, arguments...)"
        )
    known = {} if names is None else names_in(names)
    for node, name in names_in(variables).items():
        known.setdefault(node, name)
    for node, name in assigned(output, origins, known.values()).items():
        known.setdefault(node, name)
    explanation = Explanation(output, known, origins=origins, operations=operations)
    for vertex in explanation.nodes:
        if vertex.origin is not None and vertex.origin.modules:
            vertex.module = path_of(vertex.origin.modules, root)
    return explanation


def paths(
    source: Tensor,
    target: Tensor,
    *,
    source_index: tuple[int, ...] | None = None,
    target_index: tuple[int, ...] | None = None,
) -> Influence:
    """How one tensor influences another: each path, its product, and their sum.

    The same as `explain(target).paths(source)`; see `Explanation.paths`.

    >>> bool(explain.paths(w11, v12))  # does w11 influence v12?
    """
    return explain(target).paths(
        source, target, source_index=source_index, target_index=target_index
    )


def _worked_open(output: Node) -> Node:
    """The graph of a gradient, which is but asked for until it is needed."""
    if any(node.op is GRADIENT for node in topological([output])):
        return expand([output])[0]
    return output


def outside_frame() -> FrameType | None:
    """The frame of the line that called into this room."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("glubina."):
        frame = frame.f_back
    return frame


def _result_of(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Tensor:
    result = function(*arguments, **keywords)
    while isinstance(result, (tuple, list)) and result:
        result = result[0]  # a recurrent layer's outputs come before its states
    if not isinstance(result, Tensor):
        raise ExplainError(
            f"explain: the function gave {type(result).__name__}; it should give a tensor"
        )
    return result
