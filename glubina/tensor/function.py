"""`gl.Function`: an operation whose backward pass is written by hand, in tensor operations."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from glubina.graph import ops
from glubina.graph.node import Node, topological
from glubina.graph.ops.hook import STAND_IN
from glubina.tensor.base import TensorBase, consume, consume_value, made, wrap
from glubina.tensor.convert import as_tensor
from glubina.tensor.errors import DTypeError, GradientError, ShapeError
from glubina.tensor.mode import enable_grad, mode, no_grad

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


@contextmanager
def apart() -> Iterator[None]:
    """What is made inside from placeholders is not worked out with what is pending elsewhere.

    A traceback may hold it long after an error.
    """
    before, made.pending = made.pending, []
    try:
        yield
    finally:
        own = [
            cell
            for cell in made.alive()
            if all(n.op is not STAND_IN for n in topological([cell.node]))
        ]
        before.extend(weakref.ref(cell) for cell in own)
        made.pending = before


class Context:
    """What `forward` keeps for `backward`: tensors by `save_for_backward`, the rest as attributes.

    needs_input_grad: for each argument of `forward` whether its gradient is asked for.
    """

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._saved: tuple[Tensor | None, ...] = ()
        self._constant: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`.

        Derivatives of the backward go through those that are arguments or results of `forward`;
        others are constants to them.
        """
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was given to `save_for_backward`, in that order."""
        return self._saved

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """No derivatives go through these results of `forward`."""
        self._constant = outputs


class Function:
    """An operation with a derivative of its own: subclass it, and call `apply`.

    `forward(ctx, *arguments)` returns a tensor or a tuple of them. `backward(ctx, *gradients)`
    gets ∂L/∂(each result) and returns ∂L/∂(each argument), in the arguments' shapes; None for what
    has none. Both are static methods and use tensor operations, so a function can be used in an
    ordinary loop, in `gl.compile` and in `fit`, and its backward has derivatives itself.

    `backward` is run once right after `forward`, on gradients without values; what it records is
    worked out when derivatives are asked for.

    >>> class Square(gl.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, gradient):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * gradient
    >>> gl.grad(Square.apply)(gl.tensor(3.0))
    tensor(6.)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        raise TypeError(f"{name} is not made: call {name}.apply(...) with forward's arguments")

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """The value. With a `setup_context` beside it, it gets no `ctx`."""
        raise NotImplementedError("a gl.Function needs a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The gradients of the arguments, from those of the results."""
        raise NotImplementedError("a gl.Function needs a static method backward(ctx, ...)")

    setup_context: Any = None
    """Optional: a static method (ctx, inputs, output) that saves what `backward` needs."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`; derivatives of what it returns are what `backward` says."""
        ctx = Context()
        wanted = [isinstance(a, TensorBase) and a._requires_grad for a in args]
        ctx.needs_input_grad = tuple(wanted) if mode.grad else (False,) * len(args)
        with no_grad():
            if cls.setup_context is None:
                returned = cls.forward(ctx, *args)
            else:
                returned = cls.forward(*args)
                cls.setup_context(ctx, args, returned)
        several = isinstance(returned, tuple)
        results = [cls._result(r) for r in (returned if several else (returned,))]
        if any(ctx.needs_input_grad):
            results = cls._hooked(ctx, args, results)
        else:
            results = [r.detach() if any(r is a for a in args) else r for r in results]
        return tuple(results) if several else results[0]

    @classmethod
    def _result(cls, value: Any) -> Tensor:
        if not isinstance(value, TensorBase):
            raise TypeError(
                f"{cls.__name__}.forward returned {type(value).__name__}: a tensor, or a tuple of "
                "tensors, is needed"
            )
        return value  # type: ignore[return-value]

    @classmethod
    def _hooked(cls, ctx: Context, args: Sequence[Any], results: list[Tensor]) -> list[Tensor]:
        """The results with derivatives by the arguments that need them."""
        constant = [r.dtype.kind != "f" or any(r is c for c in ctx._constant) for r in results]
        open_ = [r for r, fixed in zip(results, constant, strict=True) if not fixed]
        if not open_:
            return [r.detach() for r in results]
        gradients = [ops.stand_in(r.shape, r.dtype) for r in open_]
        again = [ops.stand_in(r.shape, r.dtype) for r in open_]
        values = [consume_value(r) for r in open_]
        tensors: list[Any] = [a for a in args if isinstance(a, TensorBase)]
        with enable_grad(), apart():
            inputs = [consume(t) for t in tensors]
            own = {id(r): wrap(node, True) for r, node in zip(open_, again, strict=True)}
            ctx._saved = tuple([own.get(id(s), s) for s in ctx._saved])
            each = iter([wrap(g, True) for g in gradients])
            given = [
                wrap(ops.full_like(consume_value(r), 0)) if fixed else next(each)
                for r, fixed in zip(results, constant, strict=True)
            ]
            derivatives = cls._derivatives(ctx, args, cls.backward(ctx, *given))
        hooked = iter(ops.hook(values, inputs, derivatives, gradients, again, cls.__name__))
        return [
            r.detach() if fixed else wrap(next(hooked), True)
            for r, fixed in zip(results, constant, strict=True)
        ]

    @classmethod
    def _derivatives(cls, ctx: Context, args: Sequence[Any], returned: Any) -> list[Node | None]:
        """What `backward` returned for each argument that is a tensor, checked."""
        found = list(returned) if isinstance(returned, tuple) else [returned]
        while len(found) > len(args) and found[-1] is None:
            found.pop()
        if len(found) != len(args):
            cls._refuse(
                f"returned {len(found)} gradients for the {len(args)} arguments of forward: one "
                "for each is needed, None for an argument without a gradient"
            )
        nodes: list[Node | None] = []
        for number, (a, gradient) in enumerate(zip(args, found, strict=True)):
            if not isinstance(a, TensorBase):
                if gradient is not None:
                    cls._refuse(f"returned a gradient for argument {number}, which is no tensor")
                continue
            if gradient is None or not ctx.needs_input_grad[number]:
                nodes.append(None)
                continue
            g = as_tensor(gradient)
            if g.shape != a.shape:
                raise ShapeError(
                    f"{cls.__name__}.backward: the gradient of argument {number} has the shape "
                    f"{g.shape}, the argument {a.shape}"
                )
            if g.dtype.kind != "f":
                raise DTypeError(
                    f"{cls.__name__}.backward: the gradient of argument {number} is {g.dtype}, "
                    "it must be floating"
                )
            nodes.append(ops.cast(consume(g), a.dtype))
        return nodes

    @classmethod
    def _refuse(cls, what: str) -> NoReturn:
        raise GradientError(f"{cls.__name__}.backward {what}")
