"""Adam and AdamW: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from glubina.graph import Node, ops
from glubina.optim.optimizer import Group, Optimizer, Updates, gradient_of
from glubina.optim.settings import Settings
from glubina.tensor import Tensor, tensor
from glubina.tensor.base import consume_value

DOUBLE = np.dtype(np.float64)


class Adam(Optimizer):
    """w ← w − lr · m̂ / (√v̂ + eps).

    m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g², with m̂ = m / (1 − β₁ᵗ) and
    v̂ = v / (1 − β₂ᵗ) in step t; g = gradient + weight_decay · w. With `amsgrad` the largest v so
    far takes v's place. Sources: Kingma and Ba, 2015, arXiv:1412.6980; Reddi et al., 2018.
    """

    decoupled: ClassVar[bool] = False

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
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        self._sizes: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        if len(group["betas"]) != 2 or not all(0 <= b < 1 for b in group["betas"]):
            raise ValueError(f"betas are two numbers from 0 to below 1, got {group['betas']}")

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for step, members in self._by_age(group, params):
            t = ops.add(consume_value(step), ops.constant(1, step.dtype))
            updates.append((step, t))
            sizes = self._step_sizes(settings, t, step, members[0].dtype, updates)
            for parameter in members:
                self._one(group, settings, parameter, sizes, updates)
        return updates

    def _by_age(self, group: Group, params: list[Tensor]) -> list[tuple[Tensor, list[Tensor]]]:
        """The parameters by the count of their steps: those that began together share one."""
        ages: dict[tuple[int, Any], tuple[Tensor, list[Tensor]]] = {}
        fresh: Tensor | None = None
        for parameter in params:
            state = self.state.setdefault(parameter, {})
            if "step" not in state:
                fresh = tensor(np.zeros((), np.int64)) if fresh is None else fresh
                state["step"] = fresh
            step = state["step"]
            ages.setdefault((id(step), parameter.dtype), (step, []))[1].append(parameter)
        chosen = {id(p) for p in params}
        for parameter in group["params"]:
            # One that shares the count but has no gradient this time goes its own way.
            state = self.state.get(parameter, {})
            if id(parameter) not in chosen and "step" in state:
                shared = state["step"]
                if any(step is shared for step, _ in ages.values()):
                    state["step"] = tensor(shared.numpy())
        return list(ages.values())

    def _step_sizes(
        self, settings: Settings, t: Node, step: Tensor, dtype: Any, updates: Updates
    ) -> tuple[Node, Node]:
        """Lr / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ), worked out in float64.

        They are outputs of the step, so that they are computed once and not for every element.
        """
        one = ops.constant(1, DOUBLE)
        age = ops.cast(t, DOUBLE)
        first = ops.subtract(one, ops.power(settings.number("beta1", DOUBLE), age))
        second = ops.subtract(one, ops.power(settings.number("beta2", DOUBLE), age))
        size = ops.cast(ops.divide(settings.number("lr", DOUBLE), first), dtype)
        scale = ops.cast(ops.divide(one, ops.sqrt(second)), dtype)
        kept = self._sizes.get(id(step))
        if kept is None:
            zero = np.zeros((), dtype)
            kept = self._sizes[id(step)] = (step, tensor(zero), tensor(zero))
        updates += [(kept[1], size), (kept[2], scale)]
        return size, scale

    def _one(
        self, group: Group, settings: Settings, parameter: Tensor, sizes: tuple[Node, Node],
        updates: Updates,
    ) -> None:  # fmt: skip
        """The update of one parameter and of its moments."""
        w, g = consume_value(parameter), gradient_of(parameter)
        if group["maximize"]:
            g = ops.negative(g)
        if group["weight_decay"]:
            if self.decoupled:
                w = ops.multiply(w, settings.spread("kept", w))
            else:
                g = ops.add(g, ops.multiply(w, settings.spread("weight_decay", w)))
        mean, square = self._remembered(parameter, "exp_avg", "exp_avg_sq")
        old_m, old_v = consume_value(mean), consume_value(square)
        m = ops.add(old_m, ops.multiply(ops.subtract(g, old_m), settings.spread("1 - beta1", g)))
        v = ops.add(
            ops.multiply(old_v, settings.spread("beta2", g)),
            ops.multiply(ops.multiply(g, g), settings.spread("1 - beta2", g)),
        )
        updates += [(mean, m), (square, v)]
        if group["amsgrad"]:
            (largest,) = self._remembered(parameter, "max_exp_avg_sq")
            v = ops.maximum(consume_value(largest), v)
            updates.append((largest, v))
        size, scale = (ops.broadcast(s, w.shape) for s in sizes)
        root = ops.add(ops.multiply(ops.sqrt(v), scale), settings.spread("eps", g))
        updates.append((parameter, ops.subtract(w, ops.multiply(ops.divide(m, root), size))))


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: w ← w − lr · weight_decay · w at each step.

    Source: Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    decoupled = True

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
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
