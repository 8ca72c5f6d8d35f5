"""What a training step does besides: a penalty, clipping of the gradients, constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from glubina.optim import clip_grad_norm_, clip_grad_value_
from glubina.tensor import Tensor
from glubina.tensor.arguments import real


@dataclass(frozen=True)
class Limits:
    """penalty: added to the loss before `backward`. clip_norm, clip_value: of the gradients.

    constraints: called after the update, each puts weights back within their bounds.
    """

    penalty: Callable[[], Tensor] | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    constraints: tuple[Callable[[], None], ...] = ()

    @classmethod
    def of(
        cls,
        penalty: Callable[[], Tensor] | None,
        clip_norm: float | None,
        clip_value: float | None,
        constraint: Callable[[], None] | Iterable[Callable[[], None]] | None = None,
    ) -> Limits | None:
        """The limits, or None if there are none; ValueError for a limit that is not positive."""
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if value is not None and real(name, value) <= 0:
                raise ValueError(f"{name} must be positive, got {value!r}")
        if penalty is not None and not callable(penalty):
            raise TypeError(
                "penalty must be a function without arguments, as nn.penalty.l2(parameters, "
                f"factor) makes one, got {penalty!r}"
            )
        constraints = _constraints(constraint)
        if penalty is None and clip_norm is None and clip_value is None and not constraints:
            return None
        return cls(penalty, clip_norm, clip_value, constraints)

    def minimised(self, loss: Tensor) -> Tensor:
        """The loss and the penalty together."""
        return loss if self.penalty is None else loss + self.penalty()

    def clip(self, parameters: Iterable[Tensor]) -> None:
        """Clip the gradients: by value first, then by norm."""
        own = list(parameters)
        if self.clip_value is not None:
            clip_grad_value_(own, self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(own, self.clip_norm)

    def restore(self) -> None:
        """Put the weights back within their bounds."""
        for constraint in self.constraints:
            constraint()


def _constraints(given: Any) -> tuple[Callable[[], None], ...]:
    """One, several or none, as a tuple."""
    if given is None:
        return ()
    several = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in several:
        if not callable(one) or isinstance(one, type):
            raise TypeError(
                "constraint must be a function without arguments, as "
                f"nn.constraint.max_norm(parameters, 3.0) makes one, or several, got {one!r}"
            )
    return several
