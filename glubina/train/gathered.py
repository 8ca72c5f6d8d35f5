"""Gradient accumulation: the gradients of several mini-batches, added up before an update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glubina.tensor import Tensor, no_grad, tensor
from glubina.tensor.trace import outside
from glubina.train.protocol import Loss


class Gathered:
    """What the mini-batches of a step have in common until its update.

    Where the loss is a mean over examples, each mini-batch counts by its number of examples n: the
    gradient of a step is Σ n ∇L / Σ n, that of the mean over all its examples, also where the last
    mini-batch is smaller. Of a loss that is a sum (`reduction` "sum") it is Σ ∇L. The sums are
    cells that the programs of a step add to, and that its last program begins anew.
    """

    def __init__(self, loss: Loss) -> None:
        self._summed = getattr(loss, "reduction", "mean") == "sum"
        self._examples: Tensor | None = None
        self._loss: Tensor | None = None
        self._gradients: dict[int, Tensor] = {}
        self._share: Tensor | None = None

    def add(self, loss: Tensor, rows: int, parameters: Sequence[Tensor]) -> None:
        """Add a mini-batch's loss and gradients; the parameters are left without gradients."""
        value = loss if self._summed else loss * rows
        value.backward()
        with no_grad():
            examples, total = self._totals(loss)
            examples.copy_(examples + rows)
            total.copy_(total + value.detach())
            for parameter in parameters:
                if parameter.grad is not None:
                    held = self._of(parameter)
                    held.copy_(held + parameter.grad)
                    parameter.grad = None

    def whole(self, loss: Tensor, rows: int) -> Tensor:
        """The last mini-batch's part of the step's loss: what its gradient is taken of."""
        if self._summed:
            return loss
        with no_grad():
            self._share = 1 / (self._totals(loss)[0] + rows)
        return loss * (self._share * rows)

    def finish(self, part: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Make the parameters' gradients those of the whole step, whose loss is returned."""
        with no_grad():
            examples, total = self._totals(part)
            value = self._shared(total) + part.detach()
            for parameter in parameters:
                held = self._gradients.get(id(parameter))
                if held is not None:
                    own, sofar = parameter.grad, self._shared(held)
                    parameter.grad = sofar if own is None else sofar + own
                    held.zero_()
            examples.zero_()
            total.zero_()
        return value

    def _shared(self, total: Tensor) -> Tensor:
        return total if self._share is None else total * self._share.astype(total.dtype)

    def _totals(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """The cells of the examples and of the loss so far."""
        if self._examples is None or self._loss is None:
            with outside():
                self._examples = tensor(np.zeros((), loss.dtype))
                self._loss = tensor(np.zeros((), loss.dtype))
        return self._examples, self._loss

    def _of(self, parameter: Tensor) -> Tensor:
        """The cell of a parameter's gradient so far."""
        held = self._gradients.get(id(parameter))
        if held is None:
            zeros: Any = np.zeros(parameter.shape, parameter.dtype)
            with outside():
                held = self._gradients[id(parameter)] = tensor(zeros)
        return held
