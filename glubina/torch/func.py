"""`torch.func`: derivatives and batches of functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import glubina.tensor as gl
from glubina.torch.autograd import functional
from glubina.torch.autograd.functional import hessian as _hessian
from glubina.torch.tensor import faced


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the gradient of `func`, which gives one number; see `gl.grad`."""
    found = gl.grad(func, argnums, has_aux)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        return faced(found(*args, **kwargs))

    return call


def grad_and_value(
    func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that gives (gradient, value) of `func`."""
    both = gl.value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return faced(gradient), faced(value)

    return call


def _of_argument(derivative: Callable[..., Any]) -> Callable[..., Any]:
    def of(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
        @functools.wraps(func)
        def call(*args: Any) -> Any:
            def inner(x: Any) -> Any:
                return func(*args[:argnums], x, *args[argnums + 1 :])

            return derivative(inner, args[argnums], args[argnums].requires_grad)

        return call

    return of


jacrev = _of_argument(functional.jacobian)
jacrev.__doc__ = "The function that gives the Jacobian of `func` by its argument `argnums`."
jacfwd = jacrev
hessian = _of_argument(_hessian)
hessian.__doc__ = "The function that gives the second derivatives by the argument `argnums`."


def _slices(value: Any, dim: int) -> list[Any]:
    """The slices of a tensor, or of a nest of tensors, along an axis."""
    if isinstance(value, dict):
        parts = [_slices(part, dim) for part in value.values()]
        return [dict(zip(value, each, strict=True)) for each in zip(*parts, strict=True)]
    if isinstance(value, (list, tuple)):
        rows = zip(*(_slices(part, dim) for part in value), strict=True)
        return [list(each) if isinstance(value, list) else each for each in rows]
    return [faced(part) for part in gl.unstack(value, dim)]


def _stacked(results: list[Any], dim: int) -> Any:
    """What several calls returned, each tensor of the nest stacked along an axis."""
    first = results[0]
    if isinstance(first, dict):
        return {name: _stacked([r[name] for r in results], dim) for name in first}
    if isinstance(first, (list, tuple)):
        return tuple(_stacked(list(parts), dim) for parts in zip(*results, strict=True))
    return faced(gl.stack(results, dim))


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: int = 0, randomness: str = "error",
    chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """The function that applies `func` to each slice of its arguments, and stacks the results.

    in_dims: along which axis each argument is cut, None for those that all slices share. Arguments
    and results may be lists, tuples and dicts of tensors.
    """

    @functools.wraps(func)
    def call(*args: Any) -> Any:
        dims = in_dims if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args)
        cut = [None if d is None else _slices(a, d) for a, d in zip(args, dims, strict=True)]
        sizes = {len(slices) for slices in cut if slices is not None}
        if len(sizes) != 1:
            raise ValueError(f"vmap: the arguments have slices of different numbers: {sizes}")
        results = [
            func(*(a if c is None else c[i] for a, c in zip(args, cut, strict=True)))
            for i in range(sizes.pop())
        ]
        return _stacked(results, out_dims)

    return call


def functional_call(module: Any, parameters: Any, args: Any = (), kwargs: Any = None) -> Any:
    """`module(*args)` with other parameters and buffers, given by their names."""
    given = parameters
    if isinstance(parameters, (tuple, list)):
        given = {name: value for each in parameters for name, value in each.items()}
    homes = []
    for name, value in given.items():
        path, _, own = name.rpartition(".")
        home = module.get_submodule(path) if path else module
        homes.append((home, own, vars(home)[own]))
        vars(home)[own] = value
    try:
        inputs = args if isinstance(args, tuple) else (args,)
        return module(*inputs, **(kwargs or {}))
    finally:
        for home, own, before in homes:
            vars(home)[own] = before


__all__ = [
    *("functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "vmap"),
]
