"""Constraints on weights, restored after each update: `compile(constraint=...)`, or in a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from glubina.tensor import Tensor, clip, maximum, no_grad, sqrt
from glubina.tensor.arguments import above_zero, not_negative, real

Axes = int | tuple[int, ...] | None
EPSILON = 1e-7


class Constraint:
    """Weights that are kept within bounds: called, it puts them back.

    In a loop of one's own it is called after `optimizer.step()`; given to `compile(constraint=...)`
    it is a part of the compiled step.
    """

    def __init__(
        self, parameters: Tensor | Iterable[Tensor], allowed: Callable[[Tensor], Tensor]
    ) -> None:
        self.parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        if not self.parameters:
            raise ValueError("a constraint was given no parameters")
        for parameter in self.parameters:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"a constraint is on tensors, got {parameter!r}")
        self.allowed = allowed

    def __call__(self) -> None:
        """Replace each weight by the allowed one."""
        with no_grad():
            for parameter in self.parameters:
                parameter.copy_(self.allowed(parameter.detach()))


def norms(weight: Tensor, axis: Axes = None) -> Tensor:
    """√Σ w² along the axes, which are kept with length 1; None: over the inputs of each unit.

    Those are axis 1 of a matrix (out, in), all axes but the last of a filter (*window, in, out),
    and all of a vector.
    """
    if axis is None:
        rank = len(weight.shape)
        axis = 1 if rank == 2 else tuple(range(max(rank - 1, 1)))
    return sqrt((weight * weight).sum(axis=axis, keepdims=True))


def max_norm(
    parameters: Tensor | Iterable[Tensor], max_value: float = 2.0, axis: Axes = None
) -> Constraint:
    """‖w‖ ≤ max_value for the weights w of each unit: w ← w · min(1, max_value / ‖w‖).

    Weights within the ball are left as they are, bit for bit. axis: what belongs to one unit (see
    `norms`). Source: Srivastava et al., "Dropout", 2014.
    """
    above_zero("max_value", max_value)

    def allowed(weight: Tensor) -> Tensor:
        return weight * clip(max_value / maximum(norms(weight, axis), EPSILON), None, 1.0)

    return Constraint(parameters, allowed)


def unit_norm(parameters: Tensor | Iterable[Tensor], axis: Axes = None) -> Constraint:
    """‖w‖ = 1 for the weights w of each unit: w ← w / ‖w‖."""
    return Constraint(parameters, lambda w: w / maximum(norms(w, axis), EPSILON))


def min_max_norm(
    parameters: Tensor | Iterable[Tensor],
    min_value: float = 0.0,
    max_value: float = 1.0,
    rate: float = 1.0,
    axis: Axes = None,
) -> Constraint:
    """min_value ≤ ‖w‖ ≤ max_value, approached by `rate`: ‖w‖ ← rate · clip(‖w‖) + (1 − rate) ‖w‖.

    Source: Keras's `MinMaxNorm`.
    """
    not_negative("min_value", min_value)
    above_zero("max_value", max_value)
    if not min_value <= max_value:
        raise ValueError(f"min_value must be at most max_value, got {min_value} and {max_value}")
    if not 0 < real("rate", rate) <= 1:
        raise ValueError(f"rate must be above 0 and at most 1, got {rate!r}")

    def allowed(weight: Tensor) -> Tensor:
        found = norms(weight, axis)
        wanted = clip(found, min_value, max_value) * rate + found * (1 - rate)
        return weight * (wanted / maximum(found, EPSILON))

    return Constraint(parameters, allowed)


def non_neg(parameters: Tensor | Iterable[Tensor]) -> Constraint:
    """w ≥ 0: w ← max(w, 0)."""
    return Constraint(parameters, lambda w: maximum(w, 0.0))
