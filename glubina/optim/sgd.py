"""Stochastic gradient descent, with momentum if wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glubina.graph import Node, ops
from glubina.graph.node import DType
from glubina.graph.ops import Formula
from glubina.optim.optimizer import Group, Optimizer, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor
from glubina.tensor.arguments import real
from glubina.tensor.base import consume_value
from glubina.tensor.trace import guard


class SGD(Optimizer):
    """w ← w − lr · v.

    g = gradient + weight_decay · w; without momentum v = g; with it v ← momentum · v +
    (1 − dampening) · g, where the first v is g; with `nesterov` the step is along
    g + momentum · v. `maximize` climbs instead. `rate_inside` is the form of many lectures (and of
    Keras), v ← momentum · v + lr · (1 − dampening) · g with w ← w − v: the same while lr stays, but
    a new rate counts for the new gradients only. Sources: Polyak, 1964; Sutskever et al., 2013.
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
        rate_inside: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "rate_inside": rate_inside,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        real("dampening", group["dampening"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"]):
            raise ValueError(
                "nesterov needs a momentum above 0 and no dampening, got "
                f"momentum={group['momentum']!r} and dampening={group['dampening']!r}"
            )

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        rates: dict[DType, Node] = {}
        inside = group["rate_inside"] and group["momentum"]
        for parameter in params:
            w, g = consume_value(parameter), gradient_of(parameter)
            g = slope(group, settings, w, g, decay=True)
            rate = rates.get(w.dtype)
            if rate is None:
                rate = rates[w.dtype] = settings.number("lr", w.dtype)
            if inside:
                g = _times(g, rate)
            if group["momentum"]:
                g = self._with_momentum(group, settings, parameter, g, updates)
            updates.append((parameter, _less(w, g) if inside else _descend(w, g, rate)))
        return updates

    def _with_momentum(
        self, group: Group, settings: Settings, parameter: Tensor, g: Node, updates: Updates
    ) -> Node:
        """The direction of the step; the new velocity is added to the updates."""
        first = not self._has_begun(parameter)
        if group["dampening"]:
            guard(lambda: self._has_begun(parameter), ("begun", parameter))
        (velocity,) = self._remembered(parameter, "momentum_buffer")
        momentum = settings.number("momentum", g.dtype)
        fresh = g
        if group["dampening"]:
            # The first velocity is the gradient itself, as in PyTorch: that is a number, not
            # another program.
            fresh = _times(g, settings.number("undamped" if first else "damped", g.dtype))
        v = _carried(consume_value(velocity), momentum, fresh)
        updates.append((velocity, v))
        return _carried(v, momentum, g) if group["nesterov"] else v

    def _has_begun(self, parameter: Tensor) -> bool:
        return "momentum_buffer" in self.state.get(parameter, {})


@Formula
def _descend(w: Node, g: Node, rate: Node) -> Node:
    return ops.subtract(w, ops.multiply(g, ops.broadcast(rate, g.shape)))


@Formula
def _less(w: Node, v: Node) -> Node:
    return ops.subtract(w, v)


@Formula
def _carried(v: Node, momentum: Node, g: Node) -> Node:
    return ops.add(ops.multiply(v, ops.broadcast(momentum, v.shape)), g)


@Formula
def _times(g: Node, share: Node) -> Node:
    return ops.multiply(g, ops.broadcast(share, g.shape))
