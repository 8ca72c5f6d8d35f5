"""What a training step of a network will take: arithmetic and memory, planned but not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glubina.graph.flops import flops_of
from glubina.graph.node import Shape
from glubina.tensor import Tensor
from glubina.tensor.base import wrap
from glubina.tensor.cell import placeholder
from glubina.tensor.outline import translated
from glubina.train.protocol import behaving, takes_labels

if TYPE_CHECKING:
    from glubina.nn.module import Module


ENGINE = 20 << 20
"""Bytes that a process takes when it runs its first programs: LLVM's target, code, tables."""


@dataclass(frozen=True)
class StepPlan:
    """A training step: forward, backward, update.

    flops: additions, multiplications and the like, as if every convolution were computed directly.
    working: bytes between its kernels. held: bytes of parameters, gradients that are kept, moments
    and the mini-batch. example: bytes of one example and its target. peak: working and held.
    """

    batch_size: int
    flops: int
    working: int
    held: int
    example: int

    @property
    def peak(self) -> int:
        """Bytes that the step takes in all."""
        return self.working + self.held

    def of_fit(self, examples: int) -> int:
        """Bytes by which making the model and `fit` over so many examples in memory grow a process.

        Working memory, parameters, moments, a copy of the examples with their order, and the
        engine; not the arrays that `fit` is given, nor what compiling takes where programs are new
        (about 50 MiB).
        """
        return self.peak + examples * (self.example + 8) + ENGINE


def plan_step(
    model: Module, batch_size: int, x: tuple[Shape, np.dtype[Any]], outputs: Shape
) -> StepPlan:
    """Plan a training step of a mini-batch; nothing is compiled or run.

    x: the shape of one input, and its dtype; outputs: the shape of one example's outputs. The
    loss and the optimizer are those that the model was compiled with; without them the step is
    forward and backward of the outputs' mean.
    """
    trainer = model._trainer
    loss = None if trainer is None else trainer.loss
    optimizer = None if trainer is None else trainer.optimizer
    inputs = wrap(placeholder((batch_size, *x[0]), x[1]))
    targets = _targets(model, loss, (batch_size, *outputs))

    def step(x: Tensor, y: Tensor) -> Tensor:
        model.zero_grad()
        made = model(x)
        first = made[0] if isinstance(made, (tuple, list)) else made
        value: Tensor = first.mean() if loss is None else loss(made, y)
        value.backward()
        if optimizer is not None:
            optimizer.step()
        return value.detach()

    with behaving(model, training=True):
        found = translated(step, inputs, targets)
    plan = found.laid.plan
    pairs = zip(plan.outputs, plan.donated, strict=True)
    held = sum(spec.nbytes for spec in plan.inputs)
    held += sum(spec.nbytes for spec, taken in pairs if taken < 0)
    example = sum(t.size * t.dtype.itemsize for t in (inputs, targets)) // batch_size
    return StepPlan(batch_size, flops_of(found.outputs), plan.arena_bytes, held, example)


def _targets(model: Module, loss: Any, outputs: Shape) -> Tensor:
    """Stand-ins for what the loss compares the outputs with."""
    if loss is not None and takes_labels(loss):
        return wrap(placeholder(outputs[:-1], np.dtype(np.int64)))
    dtype = next((p.dtype for p in model.parameters() if p.dtype.kind == "f"), np.dtype("f4"))
    return wrap(placeholder(outputs, dtype))
