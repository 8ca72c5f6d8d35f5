"""What losses share, and the losses of regression."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from glubina.graph import DTypeError, Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating
from glubina.nn.formula import apply, scaled
from glubina.nn.module import Module
from glubina.tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")


def checked_reduction(reduction: str) -> str:
    """The reduction, if there is one of this name."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction


def reduced(losses: Node, reduction: str) -> Node:
    """The mean or the sum of the losses, or all of them."""
    if reduction == "none":
        return losses
    total = ops.sum(losses, tuple(range(len(losses.shape))))
    return scaled(total, 1 / math.prod(losses.shape)) if reduction == "mean" else total


def as_targets(targets: Any) -> Tensor:
    """The targets, if they are a tensor."""
    if not isinstance(targets, Tensor):
        kind = type(targets).__name__
        raise DTypeError(f"expected targets as a tensor, got {kind}; gl.tensor(y) makes one")
    return targets


def like(outputs: Tensor, targets: Any) -> Tensor:
    """The targets, in the dtype of the outputs; ShapeError unless the shapes are equal."""
    floating(outputs)
    given = as_targets(targets)
    if given.shape != outputs.shape:
        raise ShapeError(
            f"expected targets of the outputs' shape {outputs.shape}, got {given.shape}"
        )
    return given if given.dtype == outputs.dtype else given.astype(outputs.dtype)


@Formula
def _mse(reduction: str, y: Node, t: Node) -> Node:
    error = ops.subtract(y, t)
    return reduced(ops.multiply(error, error), reduction)


@Formula
def _l1(reduction: str, y: Node, t: Node) -> Node:
    return reduced(ops.absolute(ops.subtract(y, t)), reduction)


def mse_loss(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """(y − t)², averaged over all elements ("mean"), summed ("sum"), or each ("none").

    The shapes are equal: nothing is broadcast, because (N,) against (N, 1) is nearly always a
    mistake.
    """
    reduction = checked_reduction(reduction)
    return apply(_mse, outputs, like(outputs, targets), settings=(reduction,))


def l1_loss(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """|y − t|, averaged over all elements ("mean"), summed ("sum"), or each ("none")."""
    reduction = checked_reduction(reduction)
    return apply(_l1, outputs, like(outputs, targets), settings=(reduction,))


class Loss(Module):
    """A loss: called with outputs and targets, gives a rank-0 tensor (unless reduction='none').

    `class_labels` tells training that targets are class numbers and outputs logits.
    """

    class_labels: ClassVar[bool] = False

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = checked_reduction(reduction)

    def extra_repr(self) -> str:
        """What is not the default."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


@register
class MSELoss(Loss):
    """The squared error (y − t)²; outputs and targets have one shape. See `mse_loss`."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return mse_loss(outputs, targets, self.reduction)


@register
class L1Loss(Loss):
    """The absolute error |y − t|; outputs and targets have one shape. See `l1_loss`."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return l1_loss(outputs, targets, self.reduction)
