"""RMSprop: steps divided by the root of the running mean of the squared gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.optim.adam import mean_of, mean_square_of
from glubina.optim.counted import spread
from glubina.optim.optimizer import Group, Optimizer, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor
from glubina.tensor.arguments import between
from glubina.tensor.base import consume_value


class RMSprop(Optimizer):
    """w ← w − lr · g / (√v + eps), with v ← α v + (1 − α) g².

    `centered` takes the variance v − m² in place of v, m the running mean of g (Graves, 2013);
    with momentum b ← momentum · b + g / (√v + eps) takes the place of the quotient.
    g = gradient + weight_decay · w. Source: Hinton, Coursera lecture 6e, 2012.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        between("alpha", group["alpha"], 0, 1)

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for parameter in params:
            w, g = consume_value(parameter), gradient_of(parameter)
            g = slope(group, settings, w, g, decay=True)
            names = "lr", "alpha", "1 - alpha", "eps", "momentum"
            lr, alpha, rest, eps, momentum = settings.numbers(w.dtype, *names)
            (square,) = self._remembered(parameter, "square_avg")
            v = mean_square_of(consume_value(square), g, alpha, rest)
            updates.append((square, v))
            if group["centered"]:
                (mean,) = self._remembered(parameter, "grad_avg")
                m = mean_of(consume_value(mean), g, rest)
                updates.append((mean, m))
                step = _centred(g, v, m, eps)
            else:
                step = _scaled(g, v, eps)
            if group["momentum"]:
                (buffer,) = self._remembered(parameter, "momentum_buffer")
                step = _faster(consume_value(buffer), step, momentum)
                updates.append((buffer, step))
            updates.append((parameter, _descend(w, step, lr)))
        return updates


@Formula
def _scaled(g: Node, v: Node, eps: Node) -> Node:
    return ops.divide(g, ops.add(ops.sqrt(v), spread(eps, g)))


@Formula
def _centred(g: Node, v: Node, m: Node, eps: Node) -> Node:
    variance = ops.subtract(v, ops.multiply(m, m))
    # rounding may leave a little less than nothing
    variance = ops.maximum(variance, ops.full_like(variance, 0))
    return ops.divide(g, ops.add(ops.sqrt(variance), spread(eps, g)))


@Formula
def _faster(buffer: Node, step: Node, momentum: Node) -> Node:
    return ops.add(ops.multiply(buffer, spread(momentum, buffer)), step)


@Formula
def _descend(w: Node, step: Node, lr: Node) -> Node:
    return ops.subtract(w, ops.multiply(step, spread(lr, w)))
