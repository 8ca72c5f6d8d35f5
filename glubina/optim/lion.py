"""Lion: steps of one length, whose signs follow the momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.optim.adam import mean_of
from glubina.optim.counted import check_betas, pair, spread
from glubina.optim.optimizer import Group, Optimizer, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor
from glubina.tensor.base import consume_value


class Lion(Optimizer):
    """w ← (1 − lr · weight_decay) w − lr · sign(β₁ m + (1 − β₁) g); then m ← β₂ m + (1 − β₂) g.

    Source: Chen et al., 2023, arXiv:2302.06675.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": pair(betas), "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "maximize": maximize})

    def _check(self, group: Group) -> None:
        super()._check(group)
        check_betas(group)

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for parameter in params:
            w, g = consume_value(parameter), gradient_of(parameter)
            g = slope(group, settings, w, g, decay=False)
            names = "lr", "1 - beta1", "1 - beta2", "kept"
            lr, first, second, kept = settings.numbers(w.dtype, *names)
            (mean,) = self._remembered(parameter, "exp_avg")
            m = consume_value(mean)
            updates.append((mean, mean_of(m, g, second)))
            decay = (kept,) if group["weight_decay"] else ()
            updates.append((parameter, _descend(w, mean_of(m, g, first), lr, *decay)))
        return updates


@Formula
def _descend(w: Node, direction: Node, lr: Node, kept: Node | None = None) -> Node:
    if kept is not None:
        w = ops.multiply(w, spread(kept, w))
    return ops.subtract(w, ops.multiply(ops.sign(direction), spread(lr, w)))
