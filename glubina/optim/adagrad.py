"""Adagrad: steps divided by the root of the sum of all squared gradients so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from glubina.graph import Node, ops
from glubina.graph.node import DType
from glubina.graph.ops import Formula
from glubina.optim.counted import DOUBLE, Counted, one, spread
from glubina.optim.optimizer import Group, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor, tensor
from glubina.tensor.arguments import not_negative
from glubina.tensor.base import consume_value


class Adagrad(Counted):
    """w ← w − lr / (1 + (t − 1) lr_decay) · g / (√s + eps), with s ← s + g².

    g = gradient + weight_decay · w; s begins at `initial_accumulator_value`. Source: Duchi, Hazan
    and Singer, 2011.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        for name in ("lr_decay", "initial_accumulator_value"):
            not_negative(name, group[name])

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for step, members in self._by_age(group, params, updates):
            dtype = members[0].dtype
            numbers = settings.numbers(DOUBLE, "lr", "lr_decay")
            rate = _rate(*numbers, self._counted(step, updates), settings=(dtype,))
            self._keep(step, dtype, (rate,), updates)
            (eps,) = settings.numbers(dtype, "eps")
            for parameter in members:
                w, g = consume_value(parameter), gradient_of(parameter)
                g = slope(group, settings, w, g, decay=True)
                total = self._total(group, parameter)
                s = _sum(consume_value(total), g)
                updates += [(total, s), (parameter, _descend(w, g, s, rate, eps))]
        return updates

    def _total(self, group: Group, parameter: Tensor) -> Tensor:
        state = self.state.setdefault(parameter, {})
        if "sum" not in state:
            value = group["initial_accumulator_value"]
            state["sum"] = tensor(np.full(parameter.shape, value, parameter.dtype))
        return state["sum"]


@Formula
def _rate(dtype: DType, lr: Node, decay: Node, t: Node) -> Node:
    """lr / (1 + (t − 1) lr_decay)."""
    before = ops.subtract(ops.cast(t, DOUBLE), one(lr))
    return ops.cast(ops.divide(lr, ops.add(one(lr), ops.multiply(before, decay))), dtype)


@Formula
def _sum(s: Node, g: Node) -> Node:
    return ops.add(s, ops.multiply(g, g))


@Formula
def _descend(w: Node, g: Node, s: Node, rate: Node, eps: Node) -> Node:
    root = ops.add(ops.sqrt(s), spread(eps, w))
    return ops.subtract(w, ops.multiply(ops.divide(g, root), spread(rate, w)))
