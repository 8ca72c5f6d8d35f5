"""Adadelta: steps whose length follows from the lengths of those before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.optim.optimizer import Group, Optimizer, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor
from glubina.tensor.arguments import between
from glubina.tensor.base import consume_value


class Adadelta(Optimizer):
    """w ← w − lr · Δ, where Δ = √(u + eps) / √(v + eps) · g.

    v ← ρ v + (1 − ρ) g² is the running mean of the gradient's square, and afterwards
    u ← ρ u + (1 − ρ) Δ² that of the step's; g = gradient + weight_decay · w. Source: Zeiler, 2012,
    arXiv:1212.5701.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        between("rho", group["rho"], 0, 1)

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for parameter in params:
            w, g = consume_value(parameter), gradient_of(parameter)
            g = slope(group, settings, w, g, decay=True)
            lr, rho, rest, eps = settings.numbers(w.dtype, "lr", "rho", "1 - rho", "eps")
            square, length = self._remembered(parameter, "square_avg", "acc_delta")
            v = _mean_square(consume_value(square), g, rho, rest)
            step = _step(consume_value(length), v, g, eps)
            u = _mean_square(consume_value(length), step, rho, rest)
            updates += [(square, v), (length, u), (parameter, _descend(w, step, lr))]
        return updates


@Formula
def _mean_square(v: Node, g: Node, rho: Node, rest: Node) -> Node:
    """ρ v + (1 − ρ) g²."""
    kept = ops.multiply(v, ops.broadcast(rho, v.shape))
    return ops.add(kept, ops.multiply(ops.multiply(g, g), ops.broadcast(rest, g.shape)))


@Formula
def _step(u: Node, v: Node, g: Node, eps: Node) -> Node:
    """√(u + eps) / √(v + eps) · g."""
    eps = ops.broadcast(eps, g.shape)
    ratio = ops.divide(ops.sqrt(ops.add(u, eps)), ops.sqrt(ops.add(v, eps)))
    return ops.multiply(ratio, g)


@Formula
def _descend(w: Node, step: Node, lr: Node) -> Node:
    return ops.subtract(w, ops.multiply(step, ops.broadcast(lr, w.shape)))
