"""L-BFGS: full-batch steps along an estimate of Newton's direction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.optim.line_search import Evaluation, strong_wolfe
from glubina.optim.optimizer import Group, Optimizer
from glubina.tensor import Tensor, tensor
from glubina.tensor.arguments import choice, not_negative, whole
from glubina.tensor.mode import mode

SEARCHES = 25
"""The most calls of the closure in one line search."""

Vector = NDArray[np.float64]


class LBFGS(Optimizer):
    """w ← w + t d, where d = −H g and H, the inverse Hessian, is estimated from the last steps.

    `step(closure)` takes a function that clears the gradients, computes the loss, calls
    `backward()` and returns the loss; one step makes up to `max_iter` iterations and begins none
    after `max_eval` calls of it (max_iter · 5 / 4 unless given). It ends when the largest
    derivative is at most `tolerance_grad`, or a step or the change of the loss is below
    `tolerance_change`. `history_size` steps are remembered. line_search_fn: None (t = lr) or
    "strong_wolfe". For the whole data set at once, not for mini-batches; not inside `gl.compile`,
    since it looks at the values (the closure may be compiled). Source: Nocedal and Wright,
    Numerical Optimization, algorithm 7.5.
    """

    needs_closure = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": whole("max_iter", max_iter) * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS takes one group of parameters")
        self._steps: list[Vector] = []
        self._changes: list[Vector] = []
        self._previous: tuple[Vector, Vector, float] | None = None  # gradient, direction, t
        self._iterations = 0

    def _check(self, group: Group) -> None:
        super()._check(group)
        choice("line_search_fn", group["line_search_fn"], None, "strong_wolfe")
        for name in ("max_iter", "max_eval", "history_size"):
            whole(name, group[name])
        for name in ("tolerance_grad", "tolerance_change"):
            not_negative(name, group[name])

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor:
        """Up to `max_iter` iterations; returns the loss at the beginning."""
        if closure is None:
            raise ValueError("LBFGS.step needs a closure that computes the loss and its gradients")
        if mode.trace is not None:
            raise RuntimeError(
                "LBFGS cannot be recorded by gl.compile: compile the closure instead"
            )
        group = self.param_groups[0]
        first = closure()
        loss, gradient = float(first.item()), self._gradient()
        calls = 1
        for _ in range(group["max_iter"]):
            if abs(gradient).max() <= group["tolerance_grad"] or calls >= group["max_eval"]:
                break
            direction = self._direction(gradient)
            slope = float(gradient @ direction)
            if slope > -group["tolerance_change"]:
                break
            start, before = self._position(), loss
            t = group["lr"]
            if self._iterations == 0:
                t *= min(1.0, 1 / abs(gradient).sum())
            self._iterations += 1
            if group["line_search_fn"] is None:
                self._move(start + t * direction)
                self._previous = gradient, direction, t
                loss, gradient = float(closure().item()), self._gradient()
                calls += 1
            else:
                found, used = self._search(closure, start, direction, t, loss, gradient)
                calls += used
                self._previous = gradient, direction, found.t
                t, loss, gradient = found.t, found.loss, found.gradient
                self._move(start + t * direction)
            if abs(t * direction).max() <= group["tolerance_change"]:
                break
            if abs(loss - before) < group["tolerance_change"]:
                break
        return first

    # -- the direction --------------------------------------------------------------------------

    def _direction(self, gradient: Vector) -> Vector:
        """−H g by the two loops over the remembered steps."""
        if self._previous is not None:
            old, direction, t = self._previous
            change, step = gradient - old, t * direction
            if change @ step > 1e-10:
                self._steps.append(step)
                self._changes.append(change)
                del self._steps[: -self.param_groups[0]["history_size"]]
                del self._changes[: -self.param_groups[0]["history_size"]]
        q = -gradient
        shares = []
        for step, change in zip(reversed(self._steps), reversed(self._changes), strict=True):
            share = (step @ q) / (change @ step)
            shares.append(share)
            q = q - share * change
        if self._steps:
            change = self._changes[-1]
            q = q * ((change @ self._steps[-1]) / (change @ change))
        for step, change, share in zip(self._steps, self._changes, reversed(shares), strict=True):
            q = q + step * (share - (change @ q) / (change @ step))
        return q

    def _search(
        self,
        closure: Callable[[], Tensor],
        start: Vector,
        direction: Vector,
        t: float,
        loss: float,
        gradient: Vector,
    ) -> tuple[Evaluation, int]:
        def at(t: float) -> Evaluation:
            self._move(start + t * direction)
            value = float(closure().item())
            found = self._gradient()
            return Evaluation(t, value, found, float(found @ direction))

        here = Evaluation(0.0, loss, gradient, float(gradient @ direction))
        least = self.param_groups[0]["tolerance_change"] / max(float(abs(direction).max()), 1e-300)
        return strong_wolfe(at, here, t, least, SEARCHES)

    # -- parameters as one vector ---------------------------------------------------------------

    def _gradient(self) -> Vector:
        parts = [
            np.zeros(p.size) if p.grad is None else p.grad.numpy().astype(np.float64).ravel()
            for p in self._parameters()
        ]
        return np.concatenate(parts)

    def _position(self) -> Vector:
        parts = [p.numpy().astype(np.float64).ravel() for p in self._parameters()]
        return np.concatenate(parts)

    def _move(self, position: Vector) -> None:
        at = 0
        for parameter in self._parameters():
            part = position[at : at + parameter.size].reshape(parameter.shape)
            parameter.data.copy_(tensor(part.astype(parameter.dtype)))
            at += parameter.size

    # -- saving ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs; the remembered steps are vectors over all parameters."""
        values = super().state_dict()
        previous = self._previous
        values["history"] = {
            "steps": [tensor(v) for v in self._steps],
            "changes": [tensor(v) for v in self._changes],
            "previous": [] if previous is None else [tensor(previous[0]), tensor(previous[1])],
            "t": 0.0 if previous is None else previous[2],
            "iterations": self._iterations,
        }
        return values

    def load_state_dict(self, values: Any) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(values)
        history = values["history"]

        def array(value: Any) -> Vector:
            return np.asarray(value.numpy() if isinstance(value, Tensor) else value, np.float64)

        self._steps = [array(v) for v in history["steps"]]
        self._changes = [array(v) for v in history["changes"]]
        previous = [array(v) for v in history["previous"]]
        self._previous = (previous[0], previous[1], float(history["t"])) if previous else None
        self._iterations = int(history["iterations"])
