"""Rprop: steps that grow while a slope keeps its sign and shrink where it turns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.optim.counted import one
from glubina.optim.optimizer import Group, Optimizer, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor, tensor
from glubina.tensor.arguments import not_negative, real
from glubina.tensor.base import consume_value


class Rprop(Optimizer):
    """w ← w − sign(g) δ, with δ ← δ η₊ where g keeps its sign, δ η₋ where it turns (and no step).

    δ begins at lr and stays within step_sizes. For full batches: the sizes of the gradients do not
    count. Source: Riedmiller and Braun, 1993.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes)}
        super().__init__(params, {**defaults, "maximize": maximize})

    def _check(self, group: Group) -> None:
        super()._check(group)
        less, more = (real("etas", eta) for eta in group["etas"])
        if not 0 < less < 1 < more:
            raise ValueError(f"etas are one number from 0 to 1 and one above 1, got {less, more}")
        low, high = (not_negative("step_sizes", size) for size in group["step_sizes"])
        if low > high:
            raise ValueError(f"step_sizes are the least and the largest, got {low, high}")

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for parameter in params:
            w, g = consume_value(parameter), gradient_of(parameter)
            g = slope(group, settings, w, g, decay=False)
            (held,) = self._remembered(parameter, "prev")
            state = self.state[parameter]
            if "step_size" not in state:
                filled = np.full(parameter.shape, group["lr"], parameter.dtype)
                state["step_size"] = tensor(filled)
            before, size = consume_value(held), consume_value(state["step_size"])
            turn = _turn(g, before)
            numbers = (*map(float, group["etas"]), *map(float, group["step_sizes"]))
            size = _size(size, turn, settings=numbers)
            g = _kept(g, turn)
            updates += [(held, g), (state["step_size"], size), (parameter, _descend(w, g, size))]
        return updates


@Formula
def _turn(g: Node, before: Node) -> Node:
    """1 where the slope has kept its sign, −1 where it has turned, 0 where one of them is none."""
    return ops.sign(ops.multiply(g, before))


@Formula
def _size(less: float, more: float, low: float, high: float, size: Node, turn: Node) -> Node:
    zero = ops.full_like(turn, 0)
    factor = ops.where(ops.less(zero, turn), ops.full_like(size, more), one(size))
    factor = ops.where(ops.less(turn, zero), ops.full_like(size, less), factor)
    size = ops.maximum(ops.multiply(size, factor), ops.full_like(size, low))
    top = ops.full_like(size, high)
    return ops.where(ops.less(size, top), size, top)


@Formula
def _kept(g: Node, turn: Node) -> Node:
    """The slope, and 0 where it has turned."""
    zero = ops.full_like(turn, 0)
    return ops.where(ops.less(turn, zero), ops.full_like(g, 0), g)


@Formula
def _descend(w: Node, g: Node, size: Node) -> Node:
    return ops.subtract(w, ops.multiply(ops.sign(g), size))
