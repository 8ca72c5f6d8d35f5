"""The numbers of a rule (learning rate, momentum, ...) as inputs of the step's program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from glubina.graph import Node
from glubina.graph.node import DType
from glubina.runtime.buffer import Buffer
from glubina.tensor import Tensor, tensor
from glubina.tensor.base import consume_value
from glubina.tensor.cell import leaf_of_number
from glubina.tensor.realise import settle

# The numbers that the rules use, from the settings of a group.
NUMBERS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "beta1": lambda group: group["betas"][0],
    "beta2": lambda group: group["betas"][1],
    "1 - beta1": lambda group: 1 - group["betas"][0],
    "1 - beta2": lambda group: 1 - group["betas"][1],
    "1 - alpha": lambda group: 1 - group["alpha"],
    "1 - momentum": lambda group: 1 - group["momentum"],
    "1 - rho": lambda group: 1 - group["rho"],
    "kept": lambda group: 1 - group["lr"] * group["weight_decay"],
    "undamped": lambda group: 1.0,
    "damped": lambda group: 1 - group["dampening"],
}


class Settings:
    """The numbers of one parameter group: changing one changes an input, not the program."""

    def __init__(self, group: Mapping[str, Any]) -> None:
        self._group = group
        self._held: dict[tuple[str, DType], tuple[float, Tensor]] = {}

    def number(self, name: str, dtype: DType) -> Node:
        """The number as a rank-0 node."""
        value = self._value(name)
        key = (name, dtype)
        before = self._held.get(key)
        if before is None:
            before = self._held[key] = (value, tensor(np.asarray(value, dtype)))
        elif before[0] != value:
            self._renew(key, value)
        return consume_value(before[1])

    def numbers(self, dtype: DType, *names: str) -> list[Node]:
        """Several numbers as rank-0 nodes."""
        return [self.number(name, dtype) for name in names]

    def refresh(self) -> None:
        """Take over numbers that have been changed (before a recorded step runs again)."""
        for key, (value, _) in self._held.items():
            now = self._value(key[0])
            if now != value:
                self._renew(key, now)

    def _renew(self, key: tuple[str, DType], value: float) -> None:
        kept = self._held[key][1]
        set_number(kept, value)
        self._held[key] = (value, kept)

    def _value(self, name: str) -> float:
        derived = NUMBERS.get(name)
        return float(self._group[name] if derived is None else derived(self._group))


def set_number(held: Tensor, value: float) -> None:
    """Give a rank-0 tensor another number, at once and without a program."""
    settle(held._cell, Buffer.from_array(np.asarray(value, held.dtype)), (), held.dtype)


def run_time_number(value: float, dtype: DType) -> Node:
    """A number that a user gave, as a rank-0 input."""
    return leaf_of_number(float(value), dtype)
