"""What training runs of a Keras optimizer: clipping, the update, the weights' bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glubina import optim
from glubina.optim import clip_grad_norm_, clip_grad_value_
from glubina.tensor import Tensor, no_grad


class Rule:
    """What training runs: clip the gradients, update, keep the weights within their bounds."""

    def __init__(
        self,
        inner: optim.Optimizer,
        bounds: Sequence[tuple[Tensor, Any]],
        clipping: Mapping[str, float],
    ) -> None:
        self.inner, self.bounds, self.clipping = inner, list(bounds), dict(clipping)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of the update rule, which schedules of `glubina.optim` change."""
        return self.inner.param_groups

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings that the update rule was made with."""
        return self.inner.defaults

    def state_dict(self) -> dict[str, Any]:
        """The update rule's."""
        return self.inner.state_dict()

    def load_state_dict(self, values: Any) -> None:
        """Take over what `state_dict` gave."""
        self.inner.load_state_dict(values)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.inner.zero_grad()

    def step(self) -> None:
        """Update the parameters from their gradients."""
        parameters = [p for group in self.inner.param_groups for p in group["params"]]
        moving = [p for p in parameters if p.grad is not None]
        for parameter in moving if "clipnorm" in self.clipping else ():
            clip_grad_norm_(parameter, self.clipping["clipnorm"])
        if "global_clipnorm" in self.clipping and moving:
            clip_grad_norm_(moving, self.clipping["global_clipnorm"])
        if "clipvalue" in self.clipping:
            clip_grad_value_(moving, self.clipping["clipvalue"])
        self.inner.step()
        with no_grad():
            for weight, bound in self.bounds:
                weight.copy_(bound(weight.detach()))
