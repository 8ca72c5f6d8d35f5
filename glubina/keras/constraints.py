"""Constraints on weights, restored after every step of the optimizer."""

from __future__ import annotations

from typing import Any

from glubina.keras.lookup import Described, found
from glubina.tensor import Tensor, clip, maximum, sqrt

EPSILON = 1e-7


class Constraint(Described):
    """Called with a weight: the nearest allowed one."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The allowed weight."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(weight)")


def _norms(weight: Tensor, axis: Any) -> Tensor:
    return sqrt((weight * weight).sum(axis=axis, keepdims=True))


class MaxNorm(Constraint):
    """Norms along `axis` (0: the inputs of a Dense unit) of at most max_value.

    Source: Srivastava et al., "Dropout", 2014.
    """

    def __init__(self, max_value: float = 2.0, axis: Any = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, weight: Tensor) -> Tensor:
        """The allowed weight."""
        norms = _norms(weight, self.axis)
        return weight * (clip(norms, 0.0, self.max_value) / (norms + EPSILON))


class NonNeg(Constraint):
    """No negative numbers."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The allowed weight."""
        return maximum(weight, 0.0)


class UnitNorm(Constraint):
    """Norms of 1 along `axis`."""

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, weight: Tensor) -> Tensor:
        """The allowed weight."""
        return weight / (_norms(weight, self.axis) + EPSILON)


class MinMaxNorm(Constraint):
    """Norms along `axis` between min_value and max_value, approached by `rate`."""

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
    ) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, weight: Tensor) -> Tensor:
        """The allowed weight."""
        norms = _norms(weight, self.axis)
        wanted = clip(norms, self.min_value, self.max_value)
        wanted = wanted * self.rate + norms * (1 - self.rate)
        return weight * (wanted / (norms + EPSILON))


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

KNOWN: dict[str, Any] = {
    "max_norm": MaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
    "min_max_norm": MinMaxNorm,
}


def get(identifier: Any) -> Any:
    """A constraint from a name, a class, an object or any function of a weight; None is none."""
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, (type, Constraint)):
        return identifier
    return found("constraint", identifier, KNOWN, Constraint)
