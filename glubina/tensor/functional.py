"""Derivatives of functions: `grad` and `value_and_grad`, which can be nested."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from glubina.graph import ops
from glubina.graph.node import Node
from glubina.tensor.arguments import function_of
from glubina.tensor.base import TensorBase, consume, made, wrap
from glubina.tensor.cell import Cell
from glubina.tensor.convert import as_tensor
from glubina.tensor.errors import DTypeError, GradientError, ShapeError
from glubina.tensor.mode import enable_grad, mode
from glubina.tensor.realise import realise
from glubina.tensor.structure import variable

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor

Argnums = int | Sequence[int]


def grad(function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Any:
    """The function that gives the gradient of `function` (a scalar) by its first argument.

    argnums: by which argument, or by which ones (then the gradients come as a tuple). An argument
        may be a tensor, or a list, tuple or dict of them; the gradient has the same form.
    has_aux: the function returns (scalar, more), and so (gradient, more) is returned.

    >>> gl.grad(gl.grad(lambda x: x**3))(gl.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(function, argnums, has_aux)

    @functools.wraps(function)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Any:
    """The function that gives both the value of `function` and its gradient; see `grad`."""
    function_of("grad", function)

    @functools.wraps(function)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if mode.trace is None and not _inside.depth:
            _settle(args)
        _inside.depth += 1
        try:
            return differentiated(*args, **kwargs)
        finally:
            _inside.depth -= 1

    def differentiated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        given = list(args)
        variables: list[list[Node]] = []
        outside = False
        with enable_grad():
            for number in chosen:
                if not -len(given) <= number < len(given):
                    raise GradientError(
                        f"grad: there is no argument {number}, the function got {len(given)}"
                    )
                nodes: list[Node] = []
                given[number], tracked = _as_variables(given[number], nodes)
                outside = outside or tracked
                variables.append(nodes)
            value = function(*given, **kwargs)
            loss = _scalar(value[0] if has_aux else value)
            gradients = [
                _rebuilt(args[n], iter([wrap(ops.gradient(loss, v), outside) for v in nodes]))
                for n, nodes in zip(chosen, variables, strict=True)
            ]
        return value, gradients[0] if isinstance(argnums, int) else tuple(gradients)

    return both


class _Inside(threading.local):
    """How many differentiated functions are being called in this thread."""

    depth = 0


_inside = _Inside()
_MOST_CALLS = 16


def _settle(args: Sequence[Any]) -> None:
    """Work the arguments out if values are being asked for, or after so many calls without that.

    A loop `w = w - rate * grad(loss)(w)` would make one graph of all its steps otherwise, and one
    that looks at the loss would work out all steps before anew for each look.
    """
    asked = not made.differentiated
    made.differentiated += 1
    if asked or made.differentiated > _MOST_CALLS:
        realise(_cells(args))
        made.differentiated = 1


def _cells(value: Any) -> Iterator[Cell]:
    """The cells of the tensors in lists, tuples and dicts."""
    if isinstance(value, TensorBase):
        yield value._cell
    elif isinstance(value, dict):
        for part in value.values():
            yield from _cells(part)
    elif isinstance(value, (list, tuple)) and not _is_numbers(value):
        for part in value:
            yield from _cells(part)


def _as_variables(value: Any, nodes: list[Node]) -> tuple[Any, bool]:
    """The argument with each tensor replaced by a variable; whether one required gradients."""
    if isinstance(value, dict):
        pairs = {k: _as_variables(v, nodes) for k, v in value.items()}
        return {k: v for k, (v, _) in pairs.items()}, any(t for _, t in pairs.values())
    if isinstance(value, (list, tuple)) and not _is_numbers(value):
        found = [_as_variables(v, nodes) for v in value]
        return type(value)([v for v, _ in found]), any(t for _, t in found)
    tensor = as_tensor(value)
    if tensor.dtype.kind != "f":
        raise DTypeError(f"grad: arguments must be floating tensors, got {tensor.dtype}")
    node = variable(consume(tensor))
    nodes.append(node)
    return wrap(node, True), tensor._requires_grad


def _is_numbers(value: Any) -> bool:
    return bool(value) and isinstance(value[0], (int, float))


def _rebuilt(value: Any, gradients: Any) -> Any:
    """The gradients in the form of the argument."""
    if isinstance(value, dict):
        return {k: _rebuilt(v, gradients) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not _is_numbers(value):
        return type(value)([_rebuilt(v, gradients) for v in value])
    return next(gradients)


def _scalar(value: Any) -> Node:
    tensor: Tensor = as_tensor(value)
    if tensor.size != 1:
        raise ShapeError(
            f"grad: the function must return a scalar, it returned the shape {tensor.shape}; "
            "take the sum() or mean()"
        )
    if tensor.dtype.kind != "f":
        raise DTypeError(f"grad: the function must return a floating scalar, got {tensor.dtype}")
    return ops.reshape(consume(tensor), ())
