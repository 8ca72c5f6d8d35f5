"""Adam and AdamW: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glubina.graph import Node, ops
from glubina.graph.node import DType
from glubina.graph.ops import Formula
from glubina.optim.counted import DOUBLE, Counted, check_betas, pair
from glubina.optim.optimizer import Group, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor
from glubina.tensor.base import consume_value


class Adam(Counted):
    """w ← w − lr · m̂ / (√v̂ + eps).

    m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g², with m̂ = m / (1 − β₁ᵗ) and
    v̂ = v / (1 − β₂ᵗ) in step t; g = gradient + weight_decay · w. With `amsgrad` the largest v so
    far takes v's place. With `decoupled_weight_decay` the weights decay apart from the gradient,
    as in `AdamW`. Without `bias_correction` m and v take the places of m̂ and v̂, as many lectures
    write the rule. Sources: Kingma and Ba, 2015, arXiv:1412.6980; Reddi et al., 2018.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        bias_correction: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": pair(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
            "bias_correction": bias_correction,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        check_betas(group)

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for step, members in self._by_age(group, params, updates):
            t = self._counted(step, updates)
            sizes = self._step_sizes(group, settings, t, step, members[0].dtype, updates)
            numbers = settings.numbers(
                members[0].dtype, "1 - beta1", "beta2", "1 - beta2", "eps", "kept"
            )
            for parameter in members:
                self._one(group, settings, parameter, (*sizes, *numbers), updates)
        return updates

    def _step_sizes(
        self,
        group: Group,
        settings: Settings,
        t: Node,
        step: Tensor,
        dtype: DType,
        updates: Updates,
    ) -> tuple[Node, Node]:
        """lr / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ), worked out in float64.

        They are outputs of the step, so that they are computed once and not for every element.
        Without correction they are lr and 1.
        """
        if not group["bias_correction"]:
            return settings.number("lr", dtype), ops.constant(1, dtype)
        lr, beta1, beta2 = (settings.number(n, DOUBLE) for n in ("lr", "beta1", "beta2"))
        size = size_of(lr, beta1, t, settings=(dtype,))
        scale = scale_of(beta2, t, settings=(dtype,))
        self._keep(step, dtype, (size, scale), updates)
        return size, scale

    def _one(
        self,
        group: Group,
        settings: Settings,
        parameter: Tensor,
        numbers: tuple[Node, ...],
        updates: Updates,
    ) -> None:
        """The update of one parameter and of its moments."""
        size, scale, share, beta, square_share, eps, kept = numbers
        w, g = consume_value(parameter), gradient_of(parameter)
        apart = bool(group["decoupled_weight_decay"])
        g = slope(group, settings, w, g, decay=not apart)
        mean, square = self._remembered(parameter, "exp_avg", "exp_avg_sq")
        m = mean_of(consume_value(mean), g, share)
        v = mean_square_of(consume_value(square), g, beta, square_share)
        updates += [(mean, m), (square, v)]
        if group["amsgrad"]:
            (largest,) = self._remembered(parameter, "max_exp_avg_sq")
            v = ops.maximum(consume_value(largest), v)
            updates.append((largest, v))
        decay = [kept] if apart and group["weight_decay"] else []
        updates.append((parameter, _descend(w, m, v, size, scale, eps, *decay)))


@Formula
def size_of(dtype: DType, lr: Node, beta: Node, t: Node) -> Node:
    """lr / (1 − βᵗ)."""
    power = ops.power(beta, ops.cast(t, DOUBLE))
    return ops.cast(ops.divide(lr, ops.subtract(ops.full_like(power, 1), power)), dtype)


@Formula
def scale_of(dtype: DType, beta: Node, t: Node) -> Node:
    """1 / √(1 − βᵗ)."""
    power = ops.power(beta, ops.cast(t, DOUBLE))
    one = ops.full_like(power, 1)
    return ops.cast(ops.divide(one, ops.sqrt(ops.subtract(one, power))), dtype)


@Formula
def mean_of(m: Node, g: Node, share: Node) -> Node:
    """The running mean of the gradient: m + (1 − β) (g − m)."""
    return ops.add(m, ops.multiply(ops.subtract(g, m), ops.broadcast(share, g.shape)))


@Formula
def mean_square_of(v: Node, g: Node, beta: Node, share: Node) -> Node:
    """The running mean of its square: β v + (1 − β) g²."""
    kept = ops.multiply(v, ops.broadcast(beta, v.shape))
    return ops.add(kept, ops.multiply(ops.multiply(g, g), ops.broadcast(share, g.shape)))


@Formula
def _descend(
    w: Node, m: Node, v: Node, size: Node, scale: Node, eps: Node, kept: Node | None = None
) -> Node:
    """w − size · m / (√v · scale + eps), where first w is multiplied by `kept` if that is given."""
    if kept is not None:
        w = ops.multiply(w, ops.broadcast(kept, w.shape))
    size, scale, eps = (ops.broadcast(number, w.shape) for number in (size, scale, eps))
    root = ops.add(ops.multiply(ops.sqrt(v), scale), eps)
    return ops.subtract(w, ops.multiply(ops.divide(m, root), size))


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: w ← w − lr · weight_decay · w at each step.

    Source: Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        bias_correction: bool = True,
    ) -> None:
        super().__init__(
            *(params, lr, betas, eps, weight_decay, amsgrad),
            maximize=maximize,
            decoupled_weight_decay=True,
            bias_correction=bias_correction,
        )
