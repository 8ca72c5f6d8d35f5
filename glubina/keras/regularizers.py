"""Penalties on weights, added to the loss: l1, l2 and both."""

from __future__ import annotations

from typing import Any

from glubina.keras.lookup import Described, found
from glubina.tensor import Tensor


class Regularizer(Described):
    """Called with a weight: the penalty, a rank-0 tensor."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The penalty."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(weight)")


class L1L2(Regularizer):
    """l1 · Σ|w| + l2 · Σw²."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        if not (l1 >= 0 and l2 >= 0):
            raise ValueError(f"l1 and l2 must not be negative, got {l1} and {l2}")
        self.l1, self.l2 = float(l1), float(l2)

    def __call__(self, weight: Tensor) -> Tensor:
        """The penalty."""
        parts = []
        if self.l1:
            parts.append(abs(weight).sum() * self.l1)
        if self.l2:
            parts.append((weight * weight).sum() * self.l2)
        if not parts:
            return weight.sum() * 0
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class L1(L1L2):
    """l1 · Σ|w|."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """l2 · Σw²."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


def l1(l: float = 0.01, **named: float) -> L1:  # noqa: E741 - Keras's name of it
    """The penalty l · Σ|w|."""
    return L1(named.get("l1", l))


def l2(l: float = 0.01, **named: float) -> L2:  # noqa: E741 - Keras's name of it
    """The penalty l · Σw²."""
    return L2(named.get("l2", l))


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """The penalty l1 · Σ|w| + l2 · Σw²."""
    return L1L2(l1, l2)


KNOWN: dict[str, Any] = {"l1": L1, "l2": L2, "l1_l2": L1L2}


def get(identifier: Any) -> Any:
    """A regulariser from a name, a class, an object or any function of a weight; None is none."""
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, (type, Regularizer)):
        return identifier
    return found("regularizer", identifier, KNOWN, Regularizer)
