"""`backward()`: gradients of a scalar with respect to every leaf that it depends on."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from glubina.graph import ops
from glubina.graph.node import Node
from glubina.graph.ops.marker import DETACH
from glubina.tensor.base import consume_value, made, wrap
from glubina.tensor.cell import Cell, Leaf
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.errors import GradientError, ShapeError
from glubina.tensor.mode import mode

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


def leaves_of(node: Node) -> tuple[list[Leaf], set[Node]]:
    """The leaves with owners that a node's derivatives lead to, and all the nodes on the way."""
    found: list[Leaf] = []
    seen = {node}
    stack = [node]
    while stack:
        node = stack.pop()
        sources = node.sources
        if sources:
            if node.op is DETACH:
                continue
            for source in sources:
                if source not in seen:
                    seen.add(source)
                    stack.append(source)
        elif type(node) is Leaf:
            if node.owner is not None:
                found.append(node)
            elif node.freed:
                raise GradientError(
                    "backward: a part of this graph was already gone through by an earlier "
                    "backward(); call that one with retain_graph=True, or detach() the part"
                )
    return found, seen


def backward(
    tensor: Tensor,
    gradient: Operand | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Add d tensor / d leaf to the `grad` of every leaf tensor that requires gradients.

    gradient: what the gradient of the tensor itself is; needed unless it has one element.
    retain_graph: allow another `backward()` from this tensor.
    create_graph: let the gradients require gradients themselves, for derivatives of theirs.
    """
    loss = _scalar(tensor, gradient)
    leaves, inside = leaves_of(loss)
    for leaf in leaves:
        owner = leaf.owner() if leaf.owner is not None else None
        if owner is not None and owner._requires_grad:
            _accumulate(owner, ops.gradient(loss, leaf), create_graph)
    if not (retain_graph or create_graph):
        tensor._done = True
        tensor._cell.keep, tensor._cell.freed = False, True
        for reference in made.pending:
            cell = reference()
            if cell is not None and cell.keep and cell.node in inside:
                cell.keep, cell.freed = False, True
    made.losses.append(weakref.ref(tensor._cell))


def _scalar(tensor: Tensor, gradient: Operand | None) -> Node:
    if not tensor._requires_grad:
        raise GradientError(
            "backward: this tensor does not require gradients: no tensor with requires_grad=True "
            "leads to it (or it was made under no_grad, or detached)"
        )
    if tensor._done:
        raise GradientError(
            "backward: the graph of this tensor was already gone through; call "
            "backward(retain_graph=True) the first time if it is needed again"
        )
    node = tensor._cell.node
    if gradient is None:
        if node.size != 1:
            raise GradientError(
                f"backward: gradients are of a scalar, this tensor has the shape {node.shape}; "
                "take its sum() or mean(), or pass `gradient`"
            )
        return ops.reshape(node, ())
    seed = as_tensor(gradient)
    if seed.shape != node.shape:
        raise ShapeError(
            f"backward: `gradient` has the shape {seed.shape}, the tensor {node.shape}"
        )
    weight = ops.cast(ops.detach(consume_value(seed)), node.dtype)
    return ops.sum(ops.multiply(node, weight), tuple(range(len(node.shape))))


def _accumulate(owner: Tensor, gradient: Node, create_graph: bool) -> None:
    before = owner.grad
    if before is not None:
        sofar = before._cell.node if create_graph else consume_value(before)
        gradient = ops.add(sofar, gradient)
    owner.grad = wrap(gradient, create_graph)
    if mode.trace is not None:
        mode.trace.differentiated(owner, before)


def recent_losses() -> Iterable[Cell]:
    """The cells of the losses since the last call that someone still holds."""
    cells = [cell for ref in made.losses if (cell := ref()) is not None]
    made.losses.clear()
    return cells
