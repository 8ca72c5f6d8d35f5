"""Adam's relatives: Adamax, NAdam and RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from glubina.graph import Node, ops
from glubina.graph.node import DType
from glubina.graph.ops import Formula
from glubina.optim.adam import mean_of, mean_square_of, scale_of, size_of
from glubina.optim.counted import DOUBLE, Counted, check_betas, one, pair, spread
from glubina.optim.optimizer import Group, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor, tensor
from glubina.tensor.arguments import not_negative
from glubina.tensor.base import consume_value


class _Moments(Counted):
    """What they share: the two betas, and one update per parameter from the step's numbers."""

    def _check(self, group: Group) -> None:
        super()._check(group)
        check_betas(group)

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for step, members in self._by_age(group, params, updates):
            t = self._counted(step, updates)
            dtype = members[0].dtype
            sizes = self._sizes(settings, members[0], t, dtype, updates)
            self._keep(step, dtype, sizes, updates)
            for parameter in members:
                w, g = consume_value(parameter), gradient_of(parameter)
                apart = bool(group.get("decoupled_weight_decay"))
                g = slope(group, settings, w, g, decay=not apart)
                if apart and group["weight_decay"]:
                    w = _shrunk(w, *settings.numbers(dtype, "kept"))
                self._one(settings, parameter, w, g, sizes, updates)
        return updates

    def _sizes(
        self, settings: Settings, first: Tensor, t: Node, dtype: DType, updates: Updates
    ) -> tuple[Node, ...]:
        """Numbers that follow from the count, worked out in float64."""
        raise NotImplementedError

    def _one(
        self,
        settings: Settings,
        parameter: Tensor,
        w: Node,
        g: Node,
        sizes: tuple[Node, ...],
        updates: Updates,
    ) -> None:
        """The update of one parameter and of what the rule remembers about it."""
        raise NotImplementedError

    def _first(self, settings: Settings, parameter: Tensor, g: Node, updates: Updates) -> Node:
        """The running mean of the gradient."""
        (mean,) = self._remembered(parameter, "exp_avg")
        (share,) = settings.numbers(g.dtype, "1 - beta1")
        m = mean_of(consume_value(mean), g, share)
        updates.append((mean, m))
        return m

    def _second(self, settings: Settings, parameter: Tensor, g: Node, updates: Updates) -> Node:
        """The running mean of its square."""
        (square,) = self._remembered(parameter, "exp_avg_sq")
        v = mean_square_of(
            consume_value(square), g, *settings.numbers(g.dtype, "beta2", "1 - beta2")
        )
        updates.append((square, v))
        return v


class Adamax(_Moments):
    """w ← w − lr / (1 − β₁ᵗ) · m / u, with u ← max(β₂ u, |g| + eps): Adam by the largest gradient.

    Source: Kingma and Ba, 2015, arXiv:1412.6980, section 7.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": pair(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "maximize": maximize})

    def _sizes(
        self, settings: Settings, first: Tensor, t: Node, dtype: DType, updates: Updates
    ) -> tuple[Node, ...]:
        return (size_of(*settings.numbers(DOUBLE, "lr", "beta1"), t, settings=(dtype,)),)

    def _one(
        self,
        settings: Settings,
        parameter: Tensor,
        w: Node,
        g: Node,
        sizes: tuple[Node, ...],
        updates: Updates,
    ) -> None:
        m = self._first(settings, parameter, g, updates)
        (largest,) = self._remembered(parameter, "exp_inf")
        beta, eps = settings.numbers(g.dtype, "beta2", "eps")
        u = _largest(consume_value(largest), g, beta, eps)
        updates += [(largest, u), (parameter, _by_largest(w, m, u, *sizes))]


class NAdam(_Moments):
    """Adam with Nesterov's momentum: the step looks ahead to the next mean of the gradient.

    With μ_t = β₁ (1 − 0.96^(t ψ) / 2), ψ = momentum_decay, and Π the product of the μ so far:
    w ← w − lr ((1 − μ_t) g / (1 − Π) + μ_{t+1} m / (1 − Π μ_{t+1})) / (√v̂ + eps).
    `decoupled_weight_decay` shrinks the weights as in AdamW. Source: Dozat, 2016.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": pair(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        not_negative("momentum_decay", group["momentum_decay"])

    def _fresh(self) -> dict[str, Tensor]:
        return {**super()._fresh(), "mu_product": tensor(np.ones((), np.float64))}

    def _sizes(
        self, settings: Settings, first: Tensor, t: Node, dtype: DType, updates: Updates
    ) -> tuple[Node, ...]:
        product = self.state[first]["mu_product"]
        lr, beta1, beta2, decay = settings.numbers(DOUBLE, "lr", "beta1", "beta2", "momentum_decay")
        old = consume_value(product)
        mu, ahead = _mu(beta1, decay, t, settings=(0,)), _mu(beta1, decay, t, settings=(1,))
        new = _product(old, mu)
        updates.append((product, new))
        now = _share_now(lr, mu, new, settings=(dtype,))
        then = _share_then(lr, ahead, new, settings=(dtype,))
        return now, then, scale_of(beta2, t, settings=(dtype,))

    def _one(
        self,
        settings: Settings,
        parameter: Tensor,
        w: Node,
        g: Node,
        sizes: tuple[Node, ...],
        updates: Updates,
    ) -> None:
        m = self._first(settings, parameter, g, updates)
        v = self._second(settings, parameter, g, updates)
        (eps,) = settings.numbers(g.dtype, "eps")
        updates.append((parameter, _ahead(w, g, m, v, *sizes, eps)))


class RAdam(_Moments):
    """Adam whose scaling waits until the mean of the squared gradient can be trusted.

    With ρ∞ = 2 / (1 − β₂) − 1 and ρ_t = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ), the step is lr · m̂ while
    ρ_t ≤ 5, and then lr · r · m̂ / √v̂, r² = (ρ_t − 4)(ρ_t − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ_t).
    Source: Liu et al., 2020, arXiv:1908.03265.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": pair(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _sizes(
        self, settings: Settings, first: Tensor, t: Node, dtype: DType, updates: Updates
    ) -> tuple[Node, ...]:
        lr, beta1, beta2 = settings.numbers(DOUBLE, "lr", "beta1", "beta2")
        size = size_of(lr, beta1, t, settings=(dtype,))
        scaled = _rectified(beta2, t, settings=(dtype,))
        return size, scaled, _waiting(beta2, t, settings=(dtype,))

    def _one(
        self,
        settings: Settings,
        parameter: Tensor,
        w: Node,
        g: Node,
        sizes: tuple[Node, ...],
        updates: Updates,
    ) -> None:
        m = self._first(settings, parameter, g, updates)
        v = self._second(settings, parameter, g, updates)
        (eps,) = settings.numbers(g.dtype, "eps")
        updates.append((parameter, _careful(w, m, v, *sizes, eps)))


def _power(beta: Node, t: Node) -> Node:
    return ops.power(beta, ops.cast(t, DOUBLE))


@Formula
def _shrunk(w: Node, kept: Node) -> Node:
    return ops.multiply(w, spread(kept, w))


@Formula
def _largest(u: Node, g: Node, beta: Node, eps: Node) -> Node:
    return ops.maximum(ops.multiply(u, spread(beta, u)), ops.add(ops.absolute(g), spread(eps, g)))


@Formula
def _by_largest(w: Node, m: Node, u: Node, size: Node) -> Node:
    return ops.subtract(w, ops.multiply(ops.divide(m, u), spread(size, w)))


@Formula
def _mu(later: int, beta: Node, decay: Node, t: Node) -> Node:
    """β₁ (1 − 0.96^((t + later) ψ) / 2)."""
    steps = ops.add(ops.cast(t, DOUBLE), ops.full_like(beta, later))
    power = ops.power(ops.full_like(beta, 0.96), ops.multiply(steps, decay))
    half = ops.multiply(power, ops.full_like(beta, 0.5))
    return ops.multiply(beta, ops.subtract(one(beta), half))


@Formula
def _product(old: Node, mu: Node) -> Node:
    return ops.multiply(old, mu)


@Formula
def _share_now(dtype: DType, lr: Node, mu: Node, product: Node) -> Node:
    """lr (1 − μ) / (1 − Π)."""
    share = ops.divide(ops.subtract(one(mu), mu), ops.subtract(one(mu), product))
    return ops.cast(ops.multiply(lr, share), dtype)


@Formula
def _share_then(dtype: DType, lr: Node, ahead: Node, product: Node) -> Node:
    """lr μ' / (1 − Π μ'), μ' the next μ."""
    rest = ops.subtract(one(ahead), ops.multiply(product, ahead))
    return ops.cast(ops.multiply(lr, ops.divide(ahead, rest)), dtype)


@Formula
def _ahead(
    w: Node, g: Node, m: Node, v: Node, now: Node, then: Node, scale: Node, eps: Node
) -> Node:
    root = ops.add(ops.multiply(ops.sqrt(v), spread(scale, v)), spread(eps, v))
    both = ops.add(ops.multiply(g, spread(now, g)), ops.multiply(m, spread(then, m)))
    return ops.subtract(w, ops.divide(both, root))


def _trust(beta: Node, t: Node) -> tuple[Node, Node, Node]:
    """ρ_t, ρ∞ and βᵗ."""
    power, two = _power(beta, t), ops.full_like(beta, 2)
    most = ops.subtract(ops.divide(two, ops.subtract(one(beta), beta)), one(beta))
    twice = ops.multiply(ops.multiply(two, ops.cast(t, DOUBLE)), power)
    return ops.subtract(most, ops.divide(twice, ops.subtract(one(beta), power))), most, power


@Formula
def _rectified(dtype: DType, beta: Node, t: Node) -> Node:
    """r √(1 − β₂ᵗ) where ρ_t > 5, else 0."""
    rho, most, power = _trust(beta, t)

    def less(x: Node, n: int) -> Node:
        return ops.subtract(x, ops.full_like(x, n))

    enough = ops.less(ops.full_like(rho, 5), rho)
    safe = ops.where(enough, rho, ops.full_like(rho, 6))
    above = ops.multiply(ops.multiply(less(safe, 4), less(safe, 2)), most)
    below = ops.multiply(ops.multiply(less(most, 4), less(most, 2)), safe)
    root = ops.sqrt(ops.multiply(ops.divide(above, below), ops.subtract(one(power), power)))
    return ops.cast(ops.where(enough, root, ops.full_like(root, 0)), dtype)


@Formula
def _waiting(dtype: DType, beta: Node, t: Node) -> Node:
    """1 where ρ_t ≤ 5, else 0."""
    rho, _, _ = _trust(beta, t)
    return ops.cast(ops.less_equal(rho, ops.full_like(rho, 5)), dtype)


@Formula
def _careful(
    w: Node, m: Node, v: Node, size: Node, rectified: Node, waiting: Node, eps: Node
) -> Node:
    root = ops.add(ops.sqrt(v), spread(eps, v))
    factor = ops.add(ops.divide(spread(rectified, v), root), spread(waiting, v))
    return ops.subtract(w, ops.multiply(ops.multiply(m, factor), spread(size, w)))
