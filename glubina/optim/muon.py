"""Muon: momentum whose matrix is made orthogonal before the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.optim.adam import mean_of
from glubina.optim.counted import spread
from glubina.optim.optimizer import Group, Optimizer, Updates, gradient_of, slope
from glubina.optim.settings import Settings
from glubina.tensor import Tensor
from glubina.tensor.arguments import choice, real, whole
from glubina.tensor.base import consume_value

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """w ← (1 − lr · weight_decay) w − lr' · O, with O the momentum's nearest orthogonal matrix.

    m ← momentum · m + (1 − momentum) g, and with `nesterov` the mean of g and m once more. O is
    found by `ns_steps` steps of Newton and Schulz' iteration X ← a X + (b A + c A²) X, A = X Xᵀ,
    which brings all singular values near 1. lr' = lr √max(1, rows / columns), or with
    adjust_lr_fn="match_rms_adamw" lr · 0.2 √max(rows, columns). For matrices only: give other
    parameters (biases, embeddings, filters) to an AdamW beside it. The iteration is in the
    weights' dtype; PyTorch's is in bfloat16, so its steps differ by up to one part in a hundred.
    Source: Jordan et al., "Muon", 2024.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": tuple(ns_coefficients),
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "maximize": False,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        for parameter in group["params"]:
            if len(parameter.shape) != 2:
                raise ValueError(
                    f"Muon is for matrices, got a parameter of shape {parameter.shape}; give the "
                    "others to an AdamW"
                )
        choice("adjust_lr_fn", group["adjust_lr_fn"], None, "original", "match_rms_adamw")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(f"ns_coefficients are three numbers, got {group['ns_coefficients']!r}")
        for coefficient in group["ns_coefficients"]:
            real("ns_coefficients", coefficient)
        if not 1 <= whole("ns_steps", group["ns_steps"], 0) < 100:
            raise ValueError(f"ns_steps must be from 1 to 99, got {group['ns_steps']}")

    def _structure(self) -> Any:
        """What is compiled in besides: the iteration and the rule for the rate."""
        names = "ns_coefficients", "ns_steps", "eps", "adjust_lr_fn"
        return super()._structure(), [[g[name] for name in names] for g in self.param_groups]

    def _update(self, group: Group, settings: Settings, params: list[Tensor]) -> Updates:
        updates: Updates = []
        for parameter in params:
            w, g = consume_value(parameter), gradient_of(parameter)
            g = slope(group, settings, w, g, decay=False)
            lr, momentum, rest, kept = settings.numbers(
                w.dtype, "lr", "momentum", "1 - momentum", "kept"
            )
            (buffer,) = self._remembered(parameter, "momentum_buffer")
            m = mean_of(consume_value(buffer), g, rest)
            updates.append((buffer, m))
            step = _lerp(g, m, momentum) if group["nesterov"] else m
            factor = _factor(group["adjust_lr_fn"], parameter.shape)
            iteration = (group["ns_coefficients"], group["ns_steps"], group["eps"])
            step = _orthogonal(step, settings=iteration)
            updates.append((parameter, _descend(w, step, lr, kept, settings=(factor,))))
        return updates


def _factor(rule: str | None, shape: tuple[int, ...]) -> float:
    rows, columns = shape
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))


@Formula
def _lerp(g: Node, m: Node, momentum: Node) -> Node:
    return ops.add(g, ops.multiply(ops.subtract(m, g), spread(momentum, g)))


@Formula
def _orthogonal(coefficients: tuple[float, float, float], steps: int, eps: float, x: Node) -> Node:
    tall = x.shape[0] > x.shape[1]
    x = ops.transpose(x, (1, 0)) if tall else x
    norm = ops.sqrt(ops.sum(ops.multiply(x, x), (0, 1)))
    norm = ops.maximum(norm, ops.full_like(norm, eps))
    x = ops.divide(x, ops.broadcast(norm, x.shape))
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x, (1, 0)))
        fourth = ops.matmul(square, square)
        b = ops.multiply(square, ops.full_like(square, coefficients[1]))
        c = ops.multiply(fourth, ops.full_like(fourth, coefficients[2]))
        a = ops.multiply(x, ops.full_like(x, coefficients[0]))
        x = ops.add(a, ops.matmul(ops.add(b, c), x))
    return ops.transpose(x, (1, 0)) if tall else x


@Formula
def _descend(factor: float, w: Node, step: Node, lr: Node, kept: Node) -> Node:
    rate = ops.multiply(lr, ops.full_like(lr, factor))
    shrunk = ops.multiply(w, spread(kept, w))
    return ops.subtract(shrunk, ops.multiply(step, spread(rate, w)))
