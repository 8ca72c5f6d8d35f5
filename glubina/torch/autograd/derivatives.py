"""Backward with hooks and kept gradients, and `grad`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import glubina.tensor as gl
from glubina.graph import ops
from glubina.graph.node import Node, topological
from glubina.tensor import autograd as plain
from glubina.tensor.base import wrap
from glubina.tensor.errors import GradientError
from glubina.tensor.mode import no_grad
from glubina.torch.tensor import Tensor, faced

_kept: list[weakref.ref[Tensor]] = []
Hook = Callable[[Any], Any]
_hooks: dict[int, tuple[weakref.ref[Tensor], list[Hook]]] = {}
_afterwards: list[Callable[[], None]] = []


class Handle:
    """Takes a hook away again."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self.remove = remove

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def retain_grad(self: Tensor) -> None:
    """Let `backward()` set `grad` of this tensor too, though it is the result of operations."""
    if not self.requires_grad:
        raise GradientError("retain_grad: this tensor does not require gradients")
    if not self.is_leaf:
        _kept.append(weakref.ref(self))


def register_hook(self: Tensor, hook: Callable[[Any], Any]) -> Handle:
    """Call `hook(gradient)` in `backward()`; what it returns replaces the gradient."""
    if not self.requires_grad:
        raise GradientError("register_hook: this tensor does not require gradients")
    _, several = _hooks.setdefault(id(self), (weakref.ref(self), []))
    several.append(hook)
    return Handle(lambda: several.remove(hook) if hook in several else None)


def backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add d self / d leaf to the `grad` of every leaf that requires gradients.

    gradient: what the gradient of the tensor itself is; needed unless it has one element.
    """
    keep = create_graph if retain_graph is None else retain_graph
    found = _wanted() if _kept or _hooks else []
    if not found and inputs is None:
        plain.backward(self, gradient, keep, create_graph)
        return
    scalar = plain._scalar(self, gradient)
    total, results = _through_results(scalar, found, create_graph)
    leaves = [(t, hooks) for t, hooks, _ in found if t.is_leaf and t._requires_grad]
    before = [(t, t.grad, hooks) for t, hooks in leaves if hooks]
    others = _gradients_of_others(total, inputs)
    plain.backward(self if total is scalar else wrap(total, True),
                   gradient if total is scalar else None, keep, create_graph)  # fmt: skip
    for tensor, old in others:
        tensor.grad = old
    for tensor, value in results:
        tensor.grad = value if tensor.grad is None else faced(gl.add(tensor.grad, value))
    for tensor, old, hooks in before:
        new = tensor.grad if old is None else faced(gl.subtract(tensor.grad, old))
        for hook in hooks if new is not None else ():
            changed = hook(new)
            new = new if changed is None else changed
        tensor.grad = new if old is None else faced(gl.add(old, new))
    for run in _afterwards:
        run()
    _afterwards.clear()


def _wanted() -> list[tuple[Tensor, list[Hook], bool]]:
    """Each tensor with hooks or a kept gradient: it, its hooks, and whether it is kept."""
    _kept[:] = [ref for ref in _kept if ref() is not None]
    for key in [k for k, (ref, _) in _hooks.items() if ref() is None]:
        del _hooks[key]
    kept = {id(t): t for ref in _kept if (t := ref()) is not None}
    hooked = {id(t): t for ref, hooks in _hooks.values() if (t := ref()) is not None and hooks}
    return [
        (t, list(_hooks[key][1]) if key in _hooks else [], key in kept)
        for key, t in {**kept, **hooked}.items()
    ]


def _through_results(
    scalar: Node, found: list[tuple[Tensor, list[Hook], bool]], create_graph: bool
) -> tuple[Node, list[tuple[Tensor, Any]]]:
    """The scalar whose gradients are those after all hooks of results, and the kept gradients.

    A hook that replaces the gradient g of y by g' adds Σ y (g' − g) to what is derived, with the
    difference as a constant: the gradients of all that y depends on change as they should.
    """
    order = {node: place for place, node in enumerate(topological([scalar]))}
    inner = [f for f in found if not f[0].is_leaf and f[0]._cell.node in order]
    total, kept = scalar, []
    for tensor, hooks, keep in sorted(inner, key=lambda f: -order[f[0]._cell.node]):
        node = tensor._cell.node
        value = faced(wrap(ops.gradient(total, node), create_graph))
        first = value
        for hook in hooks:
            changed = hook(value)
            value = value if changed is None else changed
        if value is not first:
            with no_grad():
                more = gl.subtract(value, first)
            axes = tuple(range(len(node.shape)))
            part = ops.sum(ops.multiply(node, ops.detach(more._cell.node)), axes)
            total = ops.add(total, ops.cast(part, total.dtype))
        if keep:
            kept.append((tensor, value))
    return total, kept


def _gradients_of_others(scalar: Node, inputs: Any) -> list[tuple[Any, Any]]:
    """The leaves that are none of `inputs`, with their gradients, which are to stay."""
    if inputs is None:
        return []
    wanted = {id(t) for t in _several(inputs)}
    owners = [leaf.owner() for leaf in plain.leaves_of(scalar)[0] if leaf.owner is not None]
    return [(t, t.grad) for t in owners if t is not None and id(t) not in wanted]


def after_backward(run: Callable[[], None]) -> None:
    """Let something be called at the end of the running `backward()`."""
    _afterwards.append(run)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
) -> tuple[Any, ...]:
    """The gradients of the sum of the outputs by each input, as a tuple; nothing is added up.

    grad_outputs: what the gradients of the outputs are; needed unless they have one element.
    create_graph: let the gradients have derivatives themselves. An input that the outputs do not
    depend on is an error, or None with `allow_unused`.
    """
    several = _several(outputs)
    seeds = [None] * len(several) if grad_outputs is None else _several(grad_outputs)
    total: Node | None = None
    for output, seed in zip(several, seeds, strict=True):
        scalar = plain._scalar(output, seed)
        total = scalar if total is None else ops.add(total, scalar)
    if total is None:
        raise ValueError("grad: no outputs were given")
    inside = set(topological([total]))
    found: list[Any] = []
    for place, tensor in enumerate(_several(inputs)):
        if not tensor.requires_grad:
            raise GradientError(f"grad: input {place} does not require gradients")
        if tensor._cell.node in inside:
            found.append(faced(wrap(ops.gradient(total, tensor._cell.node), create_graph)))
        elif allow_unused:
            found.append(None)
        else:
            raise GradientError(
                f"grad: the outputs do not depend on input {place}; allow_unused=True gives None"
            )
    return tuple(found)


def _several(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, gl.Tensor) else list(value)
