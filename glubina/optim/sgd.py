"""Stochastic gradient descent, with momentum if wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glubina.graph import Node, ops
from glubina.optim.optimizer import Group, Optimizer, Updates, gradient_of
from glubina.optim.settings import Settings
from glubina.tensor import Tensor
from glubina.tensor.base import consume_value


class SGD(Optimizer):
    """w ← w − lr · v.

    g = gradient + weight_decay · w; without momentum v = g; with it v ← momentum · v +
    (1 − dampening) · g, where the first v is g; with `nesterov` the step is along
    g + momentum · v. `maximize` climbs instead. Sources: Polyak, 1964; Sutskever et al., 2013.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"]):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for parameter in params:
            w, g = consume_value(parameter), gradient_of(parameter)
            if group["maximize"]:
                g = ops.negative(g)
            if group["weight_decay"]:
                decay = settings.spread("weight_decay", w)
                g = ops.add(g, ops.multiply(w, decay))
            if group["momentum"]:
                g = self._with_momentum(group, settings, parameter, g, updates)
            step = ops.multiply(g, settings.spread("lr", w))
            updates.append((parameter, ops.subtract(w, step)))
        return updates

    def _with_momentum(
        self, group: Group, settings: Settings, parameter: Tensor, g: Node, updates: Updates
    ) -> Node:
        """The direction of the step; the new velocity is added to the updates."""
        first = "momentum_buffer" not in self.state.get(parameter, {})
        (velocity,) = self._remembered(parameter, "momentum_buffer")
        momentum = settings.spread("momentum", g)
        fresh = g
        if group["dampening"]:
            # The first velocity is the gradient itself, as in PyTorch: that is a number, not
            # another program.
            share = settings.spread("undamped" if first else "damped", g)
            fresh = ops.multiply(g, share)
        v = ops.add(ops.multiply(consume_value(velocity), momentum), fresh)
        updates.append((velocity, v))
        return ops.add(g, ops.multiply(v, momentum)) if group["nesterov"] else v
