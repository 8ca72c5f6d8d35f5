"""Penalties on weights, L + λ R(w): to be added to a loss, or given to `compile(penalty=...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from glubina.tensor import Tensor
from glubina.tensor.arguments import between, not_negative
from glubina.tensor.elementwise import absolute

Penalty = Callable[[], Tensor]


class _Penalty:
    """λ₁ Σ |w| + λ₂ Σ w² over chosen parameters; called, it gives the number."""

    def __init__(self, parameters: Tensor | Iterable[Tensor], one: float, two: float) -> None:
        several = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        if not several:
            raise ValueError("a penalty was given no parameters")
        for parameter in several:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"a penalty is on tensors, got {parameter!r}")
        self.parameters, self.one, self.two = several, float(one), float(two)

    def __call__(self) -> Tensor:
        """The penalty of the present weights."""
        total: Any = None
        for w in self.parameters:
            parts = []
            if self.one:
                parts.append(absolute(w).sum() * self.one)
            if self.two:
                parts.append((w * w).sum() * self.two)
            for part in parts or [w.sum() * 0.0]:
                total = part if total is None else total + part
        return total  # type: ignore[no-any-return]


def l1(parameters: Tensor | Iterable[Tensor], factor: float) -> Penalty:
    """λ Σ |w|: drives weights to 0. Call it for the number: `loss + penalty()`."""
    return _Penalty(parameters, not_negative("factor", factor), 0.0)


def l2(parameters: Tensor | Iterable[Tensor], factor: float) -> Penalty:
    """λ Σ w², with the gradient 2 λ w (an optimizer's `weight_decay` is 2 λ)."""
    return _Penalty(parameters, 0.0, not_negative("factor", factor))


def elastic(parameters: Tensor | Iterable[Tensor], factor: float, ratio: float = 0.5) -> Penalty:
    """λ (ρ Σ |w| + (1 − ρ) Σ w²). Source: Zou and Hastie, 2005."""
    not_negative("factor", factor)
    between("ratio", ratio, 0, 1)
    return _Penalty(parameters, factor * ratio, factor * (1 - ratio))
