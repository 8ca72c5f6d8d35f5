"""The exponential moving average of a model's weights, kept beside it while it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.optim.optimizer import Updates, finish
from glubina.tensor import Tensor, tensor
from glubina.tensor.base import consume_value
from glubina.tensor.convert import as_tensor
from glubina.tensor.mode import mode
from glubina.tensor.programs import buffer_of
from glubina.tensor.realise import realise, settle


class Averaged(Protocol):
    """What can be averaged: anything with parameters and a state by name, as modules have."""

    def parameters(self) -> Iterable[Tensor]:
        """The tensors that are trained."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Parameters and buffers by name."""


class EMA:
    """Keeps a̅ ← d a̅ + (1 − d) a of every weight a of a model; the mean of its last steps.

    Call `update` after each `optimizer.step()`: inside `gl.compile` it is a part of the step's
    program. `compile(ema=...)` does all of it in `fit`. The averaged weights of a network that is
    trained with a large rate are mostly better than its last ones (Polyak and Juditsky, 1992).

    decay: d, from 0 to below 1; about the last 1 / (1 − d) steps count. warmup: in step t
    (from 0) d is min(decay, (1 + t) / (10 + t)), so that the first, random weights are soon
    forgotten (as TensorFlow's ExponentialMovingAverage does). buffers: average floating buffers as
    well, so that the running statistics of batch normalisation fit the averaged weights;
    otherwise, and for whole numbers, the model's present ones are taken.

    The model's tensors must be there: call a model with lazy layers once before.
    """

    def __init__(
        self, model: Averaged, decay: float = 0.999, warmup: bool = True, buffers: bool = True
    ) -> None:
        if not hasattr(model, "state_dict"):
            raise TypeError(f"EMA averages a module, got {type(model).__name__}: give the model")
        self.decay = checked_decay("decay", decay)
        self.warmup, self.buffers = bool(warmup), bool(buffers)
        self._live = dict(model.state_dict())
        trained = {id(parameter) for parameter in model.parameters()}
        self._followed = {
            name
            for name, value in self._live.items()
            if value.dtype.kind != "f" or not (buffers or id(value) in trained)
        }
        self._average = {name: tensor(value.numpy()) for name, value in self._live.items()}
        self._updates = tensor(np.int64(0))

    @property
    def updates(self) -> int:
        """How many steps have been averaged."""
        return int(self._updates.item())

    def update(self) -> None:
        """Take the model's present weights into the average."""
        steps = consume_value(self._updates)
        changes: Updates = [(self._updates, ops.add(steps, ops.full_like(steps, 1)))]
        shares: dict[np.dtype[Any], Node] = {}
        for name, average in self._average.items():
            value = consume_value(self._live[name])
            if name not in self._followed:
                if average.dtype not in shares:
                    given = (self.decay, self.warmup, average.dtype)
                    shares[average.dtype] = _share(steps, settings=given)
                value = _moved(consume_value(average), value, shares[average.dtype])
            changes.append((average, value))
        finish(changes, ())

    def swap(self) -> None:
        """Give the model the averaged weights, and keep its own here: again, and it has them back.

        Nothing is copied or computed; programs that use the weights stay as they are.
        """
        if mode.trace is not None:
            raise RuntimeError("EMA.swap: call it between the steps, not in a compiled function")
        pairs = [(self._live[name]._cell, self._average[name]._cell) for name in self._live]
        realise([cell for pair in pairs for cell in pair])
        for live, kept in pairs:
            here, there = live.value(), kept.value()
            assert here is not None
            assert there is not None
            own, other = buffer_of(here), buffer_of(there)
            settle(live, other, here.shape, here.dtype)
            settle(kept, own, here.shape, here.dtype)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """In the block the model has the averaged weights: to evaluate, predict or save it."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def apply(self) -> None:
        """Give the model the averaged weights for good."""
        _copy(self._average, self._live)

    def restart(self) -> None:
        """Let the average go on from the model's present weights."""
        _copy(self._live, self._average)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The averages by the names of the model's weights, as its `load_state_dict` takes them."""
        return dict(self._average)

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs: "updates" and "weights". The tensors are its own: copy them."""
        return {"updates": self._updates, "weights": self.weights}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; ValueError, and no change, if it does not fit."""
        given = {name: as_tensor(value) for name, value in values["weights"].items()}
        if wrong := set(given) ^ set(self._average):
            raise ValueError(f"the average's weights and the model's differ in {sorted(wrong)}")
        for name, value in given.items():
            if value.shape != self._average[name].shape:
                raise ValueError(
                    f"the average's {name} has shape {value.shape}, "
                    f"the model's {self._average[name].shape}"
                )
        _copy(given, self._average)
        _copy({"updates": as_tensor(values["updates"])}, {"updates": self._updates})

    def __repr__(self) -> str:
        return (
            f"EMA(decay={self.decay}, warmup={self.warmup}, buffers={self.buffers}, "
            f"{len(self._average)} tensors)"
        )


def checked_decay(name: str, given: Any) -> float:
    """The number, from 0 to below 1; ValueError names the argument otherwise."""
    number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not number or not 0 <= given < 1:
        raise ValueError(f"{name} must be from 0 to below 1, got {given!r}")
    return float(given)


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Write the values of the one into the other, by name."""
    finish(
        [
            (held, ops.cast(consume_value(source[name]), held.dtype))
            for name, held in target.items()
        ],
        (),
    )


@Formula
def _share(decay: float, warmup: bool, dtype: np.dtype[Any], steps: Node) -> Node:
    """1 − d: how much of the present weights comes into the average."""
    one = ops.full_like(ops.cast(steps, np.dtype(np.float64)), 1.0)
    share = ops.multiply(one, ops.full_like(one, 1 - decay))
    if warmup:
        t = ops.cast(steps, one.dtype)
        nine, ten = ops.full_like(one, 9.0), ops.full_like(one, 10.0)
        share = ops.maximum(share, ops.divide(nine, ops.add(t, ten)))
    return ops.cast(share, dtype)


@Formula
def _moved(average: Node, value: Node, share: Node) -> Node:
    """a̅ + (1 − d) (a − a̅)."""
    step = ops.subtract(value, average)
    return ops.add(average, ops.multiply(step, ops.broadcast(share, average.shape)))
