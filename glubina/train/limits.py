"""What a training step does to the loss and the gradients besides: a penalty, clipping."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from glubina.optim import clip_grad_norm_, clip_grad_value_
from glubina.tensor import Tensor


@dataclass(frozen=True)
class Limits:
    """penalty: added to the loss before `backward`. clip_norm, clip_value: of the gradients."""

    penalty: Callable[[], Tensor] | None = None
    clip_norm: float | None = None
    clip_value: float | None = None

    @classmethod
    def of(
        cls,
        penalty: Callable[[], Tensor] | None,
        clip_norm: float | None,
        clip_value: float | None,
    ) -> Limits | None:
        """The limits, or None if there are none; ValueError for a limit that is not positive."""
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r}")
        if penalty is None and clip_norm is None and clip_value is None:
            return None
        return cls(penalty, clip_norm, clip_value)

    def backward(self, loss: Tensor, parameters: Iterable[Tensor]) -> None:
        """The gradients of loss and penalty together, clipped: by value first, then by norm."""
        (loss if self.penalty is None else loss + self.penalty()).backward()
        own = list(parameters)
        if self.clip_value is not None:
            clip_grad_value_(own, self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(own, self.clip_norm)
