"""`torch.autograd.functional`: Jacobians, Hessians and their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import glubina.tensor as gl
from glubina.tensor.mode import enable_grad
from glubina.torch.autograd.derivatives import grad
from glubina.torch.tensor import faced

Several = tuple[Any, ...]


def _as_tuple(value: Any) -> Several:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _open(inputs: Any, create_graph: bool) -> tuple[Several, bool]:
    """The inputs as variables of their own, and whether there was only one."""
    single = isinstance(inputs, gl.Tensor)
    given = []
    for value in _as_tuple(inputs):
        x = value.clone() if create_graph and value.requires_grad else value.detach().clone()
        given.append(faced(x) if x.requires_grad else faced(x.realise()).requires_grad_())
    return tuple(given), single


def _rows(y: Any, given: Several, create_graph: bool) -> Several:
    """∂y / ∂each input, (*y, *input)."""
    flat = y.reshape(-1)
    rows: list[Several] = []
    for place in range(y.numel()):
        found: Several = (None,) * len(given)
        if y.requires_grad:
            found = grad(flat[place], given, None, True, create_graph, True)
        rows.append(tuple(gl.zeros_like(x) if g is None else g for g, x in zip(found, given)))
    return tuple(
        faced(gl.stack([r[i] for r in rows], 0).reshape((*y.shape, *x.shape)))
        for i, x in enumerate(given)
    )


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """∂ func / ∂ inputs: for each output and input a tensor (*output, *input), nested as they are.

    create_graph: let the result have derivatives itself.
    """
    with enable_grad():
        given, single = _open(inputs, create_graph)
        outputs = func(*given)
        found = [_rows(y, given, create_graph) for y in _as_tuple(outputs)]
    shaped = [f[0] if single else f for f in found]
    return shaped[0] if isinstance(outputs, gl.Tensor) else tuple(shaped)


def hessian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The second derivatives of a scalar: (*input, *input) for each pair of inputs."""
    single = isinstance(inputs, gl.Tensor)

    def gradient(*given: Any) -> Any:
        y = func(*given)
        if y.numel() != 1:
            raise ValueError(f"hessian: the function must give one number, got {tuple(y.shape)}")
        found = grad(y.reshape(()), given, None, True, True, True)
        several = tuple(gl.zeros_like(x) if g is None else g for g, x in zip(found, given))
        return several[0] if single else several

    return jacobian(gradient, inputs, create_graph)


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
    strict: bool = False,
) -> Any:  # fmt: skip
    """The outputs, and vᵀ · Jacobian; v may be left out for one number."""
    with enable_grad():
        given, single = _open(inputs, create_graph)
        outputs = func(*given)
        found = grad(outputs, given, v, True, create_graph, True)
    several = tuple(faced(gl.zeros_like(x)) if g is None else g for g, x in zip(found, given))
    return outputs, several[0] if single else several


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
    strict: bool = False,
) -> Any:  # fmt: skip
    """The outputs, and Jacobian · v (by two backward passes); v may be left out for one number."""
    with enable_grad():
        given, _ = _open(inputs, create_graph)
        outputs = func(*given)
        several = _as_tuple(outputs)
        weights = tuple(faced(gl.zeros_like(y).realise()).requires_grad_() for y in several)
        total: Any = sum(gl.sum(y * w) for y, w in zip(several, weights, strict=True))
        back = grad(total, given, None, True, True, True)
        vectors = _as_tuple(v) if v is not None else tuple(gl.ones_like(x) for x in given)
        dot: Any = sum(gl.sum(g * w) for g, w in zip(back, vectors, strict=True) if g is not None)
        found = tuple(grad(dot, weights, None, True, create_graph, True))
    return outputs, found[0] if isinstance(outputs, gl.Tensor) else found


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> Any:  # fmt: skip
    """The output, and vᵀ · Hessian."""
    with enable_grad():
        given, single = _open(inputs, create_graph)
        y = func(*given)
        first = grad(y, given, None, True, True)
        vectors = _as_tuple(v) if v is not None else tuple(gl.ones_like(x) for x in given)
        dot: Any = sum(gl.sum(g * w) for g, w in zip(first, vectors, strict=True))
        found = grad(dot, given, None, True, create_graph, True)
    several = tuple(faced(gl.zeros_like(x)) if g is None else g for g, x in zip(found, given))
    return y, several[0] if single else several


hvp = vhp
