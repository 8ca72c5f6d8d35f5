"""Limits on gradients, to be called between `backward()` and `step()`."""

from __future__ import annotations

from collections.abc import Iterable

from glubina.graph import Node, ops
from glubina.optim.settings import run_time_number
from glubina.tensor import Tensor
from glubina.tensor.arguments import not_negative
from glubina.tensor.base import consume_value, wrap
from glubina.tensor.inplace import write


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, eps: float = 1e-6
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (norm + eps)); returns their norm before.

    The norm is √Σ g² over all gradients together. Source: Pascanu et al., 2013, arXiv:1211.5063.
    """
    if max_norm != float("inf"):  # which limits nothing, and gives the norm
        not_negative("max_norm", max_norm)
    gradients = _gradients(parameters)
    if not gradients:
        raise ValueError("no parameter has a gradient: call backward() first")
    nodes = [consume_value(g) for g in gradients]
    total: Node | None = None
    for g in nodes:
        square = ops.cast(ops.sum(ops.multiply(g, g), tuple(range(len(g.shape)))), nodes[0].dtype)
        total = square if total is None else ops.add(total, square)
    assert total is not None
    norm = ops.sqrt(total)
    limit = run_time_number(max_norm, norm.dtype)
    factor = ops.divide(limit, ops.add(norm, ops.constant(eps, norm.dtype)))
    factor = ops.minimum(factor, ops.constant(1, norm.dtype))
    for gradient, g in zip(gradients, nodes):
        scale = ops.broadcast(ops.cast(factor, g.dtype), g.shape)
        write(gradient, ops.multiply(g, scale))
    return wrap(norm)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Move every element of the gradients into ±clip_value."""
    not_negative("clip_value", clip_value)
    for gradient in _gradients(parameters):
        g = consume_value(gradient)
        high = ops.broadcast(run_time_number(clip_value, g.dtype), g.shape)
        write(gradient, ops.maximum(ops.minimum(g, high), ops.negative(high)))


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    several = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in several if p.grad is not None]
