"""`nn.Manual`: a layer whose forward and backward are written by hand, with tensors or NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar

from glubina.graph import GraphError, ops
from glubina.nn import manual_arrays
from glubina.nn.errors import place
from glubina.nn.manual_kind import uses_arrays
from glubina.nn.manual_slots import Slots, returned_gradients
from glubina.nn.module import Module
from glubina.tensor import Function, Tensor
from glubina.tensor.base import consume, wrap
from glubina.tensor.mode import enable_grad, mode
from glubina.tensor.trace import guard


class Manual(Module):
    """A layer with a backward pass by hand: subclass it, write `forward` and `backward`.

    `forward(x)` returns the output and keeps what it needs on `self`. `backward(grad)` gets
    ∂L/∂output, adds the parameters' gradients to `self.w.grad` (zeros when it is called), and
    returns ∂L/∂x (None if there is none; a tuple where `forward` takes several tensors). Such a
    layer can be put into any network, and trained by `fit`, in a loop, and in `gl.compile`.

    Written with tensors, both passes are recorded: they are compiled with everything around them,
    and second derivatives work. `backward` is recorded right after `forward`, on gradients without
    values. Written with NumPy, both run as plain Python between native programs: `x`, `grad` and
    the parameters on `self` are then arrays (`self.w.grad` too), the output takes x's dtype, and
    there is no second derivative. Which of the two it is, is found out at the first call; the class
    attribute `numpy = True` or `False` says it.

    `gl.check_gradients(layer, x)` tells whether `backward` is right.

    >>> class Dense(nn.Manual):
    ...     def __init__(self, inputs, outputs):
    ...         self.w = nn.Parameter(np.random.randn(inputs, outputs).astype("float32"))
    ...
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x @ self.w
    ...
    ...     def backward(self, grad):
    ...         self.w.grad += self.x.T @ grad
    ...         return grad @ self.w.T
    """

    numpy: ClassVar[bool | None] = None
    backward: Any

    def __call__(self, *args: Any) -> Any:
        """Run `forward`; derivatives of what it returns are what `backward` says."""
        if mode.trace is not None:
            guard(lambda: self.training, ("training", self))
        if not callable(getattr(self, "backward", None)):
            raise TypeError(f"{type(self).__name__} needs a method backward(grad)")
        try:
            result = self._applied(args)
        except GraphError as error:
            place(error, self)
            raise
        for hook in self._hooks:
            hook(self, args, result)
        return result

    def _applied(self, args: tuple[Any, ...]) -> Any:
        kind = type(self).numpy
        if kind is None:
            kind = vars(self).get("_arrays")
        if kind is None:
            kind = self._arrays = uses_arrays(self, args)
        if kind:
            return manual_arrays.applied(self, args)
        slots = Slots(self)
        own: Any = type(self)  # a class is hashable, whatever mypy makes of its attribute
        return _traced(own).apply(*args, slots, *slots.parameters)


class _Traced(Function):
    """A hand-written layer as a function: its arguments, its slots, its parameters."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Any:
        args, slots = _split(given)
        with enable_grad():  # second derivatives go through what forward kept
            returned = slots.layer.forward(*args)
        for result in returned if isinstance(returned, tuple) else (returned,):
            if not isinstance(result, Tensor):
                raise TypeError(
                    f"{type(slots.layer).__name__}.forward returned {type(result).__name__}: a "
                    "tensor is needed, as its first call gave one (`numpy = True` in the class "
                    "says that it works on arrays)"
                )
        ctx.tensors, ctx.slots = [isinstance(a, Tensor) for a in args], slots
        return returned

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        slots, layer = ctx.slots, ctx.slots.layer
        stand = [wrap(consume(p), p.requires_grad) for p in slots.parameters]
        with slots.holding(stand), _zero_gradients(stand):
            returned = layer.backward(*gradients)
            found = [t.grad for t in stand]
        own = returned_gradients(layer, ctx.tensors, returned)
        slots.check(found)
        return (*own, None, *found)


@lru_cache(maxsize=256)
def _traced(kind: Any) -> type[Function]:
    """The function of a class of layers, under its name."""
    return type(kind.__name__, (_Traced,), {})


def _split(given: Sequence[Any]) -> tuple[tuple[Any, ...], Slots]:
    number = next(i for i, value in enumerate(given) if isinstance(value, Slots))
    return tuple(given[:number]), given[number]


@contextmanager
def _zero_gradients(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Gradients to add to; that they are written to is nothing that a recording keeps."""
    made = [wrap(ops.full_like(consume(t), 0)) for t in tensors]
    for tensor, zero in zip(tensors, made, strict=True):
        tensor.grad = zero
    try:
        yield
    finally:
        if mode.trace is not None:
            for zero in made:
                mode.trace.written.pop(zero._cell, None)
