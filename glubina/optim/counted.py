"""The base of the rules that count their steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from glubina.graph import Node, ops
from glubina.graph.node import DType
from glubina.graph.ops import Formula
from glubina.optim.optimizer import Group, Optimizer, Updates
from glubina.tensor import Tensor, tensor
from glubina.tensor.arguments import real
from glubina.tensor.base import consume_value

DOUBLE = np.dtype(np.float64)


class Counted(Optimizer):
    """A rule with a count of steps, which parameters that began together share."""

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self._numbers: dict[int, tuple[Tensor, list[Tensor]]] = {}
        super().__init__(params, defaults)

    def _fresh(self) -> dict[str, Tensor]:
        """What parameters that begin together share: the count, and what a rule adds to it."""
        return {"step": tensor(np.zeros((), np.int64))}

    def _by_age(
        self, group: Group, params: list[Tensor], updates: Updates
    ) -> list[tuple[Tensor, list[Tensor]]]:
        """The parameters by the count of their steps: those that began together share one."""
        ages: dict[tuple[int, Any], tuple[Tensor, list[Tensor]]] = {}
        fresh: dict[str, Tensor] | None = None
        for parameter in params:
            state = self.state.setdefault(parameter, {})
            if "step" not in state:
                fresh = self._fresh() if fresh is None else fresh
                state.update(fresh)
            step = state["step"]
            ages.setdefault((id(step), parameter.dtype), (step, []))[1].append(parameter)
        chosen = {id(p) for p in params}
        for parameter in group["params"]:
            # One that shares the count but has no gradient this time goes its own way.
            state = self.state.get(parameter, {})
            if id(parameter) not in chosen and "step" in state:
                shared = state["step"]
                if any(step is shared for step, _ in ages.values()):
                    for name, own in self._fresh().items():
                        updates.append((own, consume_value(state[name])))
                        state[name] = own
        return list(ages.values())

    def _counted(self, step: Tensor, updates: Updates) -> Node:
        """The number of this step, from 1."""
        t = _next(consume_value(step))
        updates.append((step, t))
        return t

    def _keep(
        self, step: Tensor, dtype: DType, numbers: tuple[Node, ...], updates: Updates
    ) -> None:
        """Make numbers that follow from the count outputs of the step.

        So they are computed once and not for every element.
        """
        kept = self._numbers.get(id(step))
        if kept is None:
            zero = np.zeros((), dtype)
            kept = self._numbers[id(step)] = (step, [tensor(zero) for _ in numbers])
        updates += zip(kept[1], numbers, strict=True)


@Formula
def _next(t: Node) -> Node:
    return ops.add(t, ops.full_like(t, 1))


def pair(betas: Any) -> tuple[Any, ...]:
    """What was given as betas, as a tuple."""
    return tuple(betas) if isinstance(betas, (tuple, list)) else (betas,)


def check_betas(group: Group) -> None:
    """ValueError unless the group's betas are two numbers from 0 to below 1."""
    betas = group["betas"]
    if len(betas) != 2 or not all(0 <= real("betas", b) < 1 for b in betas):
        raise ValueError(f"betas are two numbers from 0 to below 1, got {betas}")


def spread(number: Node, like: Node) -> Node:
    """A rank-0 number in the shape of another node."""
    return ops.broadcast(number, like.shape)


def one(like: Node) -> Node:
    """1 in the shape of a node."""
    return ops.full_like(like, 1)
