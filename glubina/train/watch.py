"""Numbers of each step that the training program works out besides: loss, gradient, change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from glubina.tensor import Tensor, no_grad, sqrt, tensor
from glubina.tensor.base import consume_value, wrap

NAMES = ("loss", "gradient", "change")


class Watch:
    """What is watched, each in a cell that every step of the program writes.

    loss: of the mini-batch. gradient: ‖∇Q‖ of what is minimised, over all parameters together,
    before clipping. change: ‖w_t − w_{t−1}‖ over all parameters together. What is not asked for is
    not computed.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._cells = {name: tensor(np.zeros(())) for name in NAMES if name in names}

    @property
    def names(self) -> tuple[str, ...]:
        """What is watched."""
        return tuple(self._cells)

    def read(self, name: str) -> float:
        """The number of the last step."""
        return float(self._cells[name].numpy())

    def before(self, loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Write what is known before the update; the weights as they are, if they are needed."""
        if "loss" in self._cells:
            self._cells["loss"].copy_(loss.detach().astype(np.float64))
        if "gradient" in self._cells:
            self._write("gradient", [p.grad for p in parameters if p.grad is not None])
        # their values, not their cells: those hold the new weights after the update
        return [wrap(consume_value(p)) for p in parameters] if "change" in self._cells else []

    def after(self, parameters: Sequence[Tensor], old: Sequence[Tensor]) -> None:
        """Write how far the weights have moved."""
        if "change" in self._cells:
            with no_grad():
                self._write("change", [p.detach() - o for p, o in zip(parameters, old)])

    def _write(self, name: str, vectors: Iterable[Tensor]) -> None:
        with no_grad():
            parts = [(v * v).sum().astype(np.float64) for v in vectors]
            self._cells[name].copy_(sqrt(sum(parts[1:], parts[0])))
