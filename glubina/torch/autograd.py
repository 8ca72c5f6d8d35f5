"""`torch.autograd`: backward with hooks and kept gradients, and `grad`."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import glubina.tensor as gl
from glubina.graph import ops
from glubina.graph.node import Node, topological
from glubina.tensor import autograd as plain
from glubina.tensor.base import wrap
from glubina.tensor.errors import GradientError
from glubina.tensor.mode import enable_grad, is_grad_enabled, no_grad
from glubina.torch.tensor import Tensor, faced

_kept: list[weakref.ref[Tensor]] = []
_hooks: dict[int, tuple[weakref.ref[Tensor], list[Callable[[Any], Any]]]] = {}


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
    """Call `hook(gradient)` in `backward()`; for leaves what it returns replaces the gradient.

    Of a tensor that is the result of operations the gradient can be read, not replaced.
    """
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
    found = _read_on_the_way(self, gradient, create_graph) if _kept or _hooks else []
    before = [(t, t.grad) for t, _, hooks in found if hooks and t.is_leaf]
    keep = create_graph if retain_graph is None else retain_graph
    plain.backward(self, gradient, keep, create_graph)
    for tensor, value, hooks in found:
        if not tensor.is_leaf:
            for hook in hooks:
                changed = hook(value)
                if changed is not None:
                    raise GradientError(
                        "a hook changed the gradient of a result of operations: that gradient "
                        "can be read here, not replaced (hooks of leaves may)"
                    )
            if any(ref() is tensor for ref in _kept):
                tensor.grad = value if tensor.grad is None else faced(gl.add(tensor.grad, value))
    for tensor, old in before:
        new = tensor.grad if old is None else faced(gl.subtract(tensor.grad, old))
        for hook in _hooks[id(tensor)][1]:
            changed = hook(new)
            new = new if changed is None else changed
        tensor.grad = new if old is None else faced(gl.add(old, new))


def _read_on_the_way(loss: Tensor, gradient: Any, create_graph: bool) -> list[tuple[Any, ...]]:
    """Each tensor with a kept gradient or hooks that the loss depends on, and its gradient."""
    _kept[:] = [ref for ref in _kept if ref() is not None]
    for key in [k for k, (ref, _) in _hooks.items() if ref() is None]:
        del _hooks[key]
    wanted = {id(t): t for ref in _kept if (t := ref()) is not None}
    wanted |= {id(t): t for ref, hooks in _hooks.values() if (t := ref()) is not None and hooks}
    scalar = plain._scalar(loss, gradient)
    inside = set(topological([scalar]))
    return [
        (t, faced(wrap(ops.gradient(scalar, t._cell.node), create_graph)),
         _hooks[key][1] if key in _hooks else [])
        for key, t in wanted.items()
        if t._cell.node in inside
    ]  # fmt: skip


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


class Function(gl.Function):
    """An operation whose backward pass is written by hand; see `gl.Function`.

    `forward(ctx, ...)` and `backward(ctx, *gradients)` are static methods; call `apply`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Let the hand-written methods see tensors of this face."""
        super().__init_subclass__(**options)
        for name in ("forward", "backward"):
            if name in vars(cls):
                setattr(cls, name, staticmethod(_seeing_faces(getattr(cls, name))))

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`; derivatives of what it returns are what `backward` says."""
        return faced(super().apply(*args))


def _seeing_faces(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*(faced(a) for a in args), **kwargs)

    return call


def Variable(data: Any, requires_grad: bool = False) -> Any:
    """The tensor itself, as older code writes it; `requires_grad` is set on it."""
    tensor = faced(data.detach() if requires_grad and isinstance(data, gl.Tensor) else data)
    return tensor.requires_grad_() if requires_grad else tensor


class set_grad_enabled:
    """Records derivatives from now on or not; as a context manager only inside."""

    def __init__(self, enabled: bool) -> None:
        from glubina.tensor.mode import mode

        self._mode, self._before = mode, mode.grad
        mode.grad = bool(enabled)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        self._mode.grad = self._before


__all__ = [
    "Function",
    "Variable",
    "backward",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
