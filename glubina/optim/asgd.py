"""ASGD: gradient descent with a falling rate, and the average of the weights on the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glubina.graph import Node, ops
from glubina.graph.node import DType
from glubina.graph.ops import Formula
from glubina.optim.counted import DOUBLE, Counted, one, spread
from glubina.optim.optimizer import Group, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor
from glubina.tensor.arguments import not_negative
from glubina.tensor.base import consume_value


class ASGD(Counted):
    """w ← (1 − λ η_t) w − η_t g, with η_t = lr / (1 + λ lr (t − 1))^alpha.

    state[w]["ax"] is the average of the weights from step t0 on: ax ← ax + (w − ax) μ_t, with
    μ_t = 1 / max(1, t − 1 − t0). Source: Polyak and Juditsky, 1992.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0}
        super().__init__(params, {**defaults, "weight_decay": weight_decay, "maximize": maximize})

    def _check(self, group: Group) -> None:
        super()._check(group)
        for name in ("lambd", "alpha", "t0"):
            not_negative(name, group[name])

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for step, members in self._by_age(group, params, updates):
            dtype = members[0].dtype
            t = self._counted(step, updates)
            lr, lambd, alpha, t0 = settings.numbers(DOUBLE, "lr", "lambd", "alpha", "t0")
            rate = _rate(lr, lambd, alpha, t, settings=(dtype,))
            kept = _kept(lr, lambd, alpha, t, settings=(dtype,))
            share = _share(t0, t, settings=(dtype,))
            self._keep(step, dtype, (rate, kept, share), updates)
            for parameter in members:
                w, g = consume_value(parameter), gradient_of(parameter)
                g = slope(group, settings, w, g, decay=True)
                (average,) = self._remembered(parameter, "ax")
                w = _descend(w, g, rate, kept)
                updates += [
                    (parameter, w),
                    (average, _toward(consume_value(average), w, share)),
                ]
        return updates


def _falling(lr: Node, lambd: Node, alpha: Node, t: Node) -> Node:
    """lr / (1 + λ lr (t − 1))^alpha."""
    before = ops.subtract(ops.cast(t, DOUBLE), one(lr))
    base = ops.add(one(lr), ops.multiply(ops.multiply(lambd, lr), before))
    return ops.divide(lr, ops.exp(ops.multiply(alpha, ops.log(base))))


@Formula
def _rate(dtype: DType, lr: Node, lambd: Node, alpha: Node, t: Node) -> Node:
    return ops.cast(_falling(lr, lambd, alpha, t), dtype)


@Formula
def _kept(dtype: DType, lr: Node, lambd: Node, alpha: Node, t: Node) -> Node:
    """1 − λ η_t."""
    rate = _falling(lr, lambd, alpha, t)
    return ops.cast(ops.subtract(one(rate), ops.multiply(lambd, rate)), dtype)


@Formula
def _share(dtype: DType, t0: Node, t: Node) -> Node:
    """1 / max(1, t − 1 − t0)."""
    since = ops.subtract(ops.subtract(ops.cast(t, DOUBLE), one(t0)), t0)
    return ops.cast(ops.divide(one(t0), ops.maximum(since, one(t0))), dtype)


@Formula
def _descend(w: Node, g: Node, rate: Node, kept: Node) -> Node:
    return ops.subtract(ops.multiply(w, spread(kept, w)), ops.multiply(g, spread(rate, w)))


@Formula
def _toward(average: Node, w: Node, share: Node) -> Node:
    return ops.add(average, ops.multiply(ops.subtract(w, average), spread(share, w)))
