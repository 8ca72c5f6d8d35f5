"""What losses share, and the losses of regression."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from glubina.graph import DTypeError, Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating
from glubina.nn.formula import apply, scaled, share
from glubina.nn.module import Module
from glubina.tensor import Tensor
from glubina.tensor.arguments import not_negative, real

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
    return scaled(total, share(losses.size)) if reduction == "mean" else total


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
        hint = ""
        if outputs.shape == (*given.shape, 1):
            hint = "; give targets[..., None], or outputs.squeeze(-1)"
        elif given.shape == (*outputs.shape, 1):
            hint = "; give targets.squeeze(-1)"
        raise ShapeError(
            f"expected targets of the outputs' shape {outputs.shape}, got {given.shape}{hint}"
        )
    return given if given.dtype == outputs.dtype else given.astype(outputs.dtype)


@Formula
def _mse(reduction: str, y: Node, t: Node) -> Node:
    error = ops.subtract(y, t)
    return reduced(ops.multiply(error, error), reduction)


@Formula
def _l1(reduction: str, y: Node, t: Node) -> Node:
    return reduced(ops.absolute(ops.subtract(y, t)), reduction)


@Formula
def _huber(reduction: str, bound: float, scale: float, y: Node, t: Node) -> Node:
    """Half the square within the bound, a straight line of the same slope beyond; times scale."""
    error = ops.subtract(y, t)
    distance = ops.absolute(error)
    limit = ops.full_like(distance, bound)
    inside = ops.less(distance, limit)
    # outside the square may be infinite, and so may be its derivative
    small = ops.where(inside, error, ops.full_like(error, 0))
    near = scaled(ops.multiply(small, small), 0.5 * scale)
    line = ops.subtract(distance, ops.full_like(distance, bound / 2))
    losses = ops.where(inside, near, scaled(line, bound * scale))
    return reduced(losses, reduction)


@Formula
def _poisson(reduction: str, log_input: bool, full: bool, eps: float, y: Node, t: Node) -> Node:
    if log_input:
        losses = ops.subtract(ops.exp(y), ops.multiply(t, y))
    else:
        logs = ops.log(ops.add(y, ops.full_like(y, eps)))
        losses = ops.subtract(y, ops.multiply(t, logs))
    if full:
        one = ops.full_like(t, 1)
        big = ops.where(ops.less(one, t), t, one)
        spread = scaled(ops.log(scaled(big, 2 * math.pi)), 0.5)
        stirling = ops.add(ops.subtract(ops.multiply(big, ops.log(big)), big), spread)
        losses = ops.add(losses, ops.where(ops.less(one, t), stirling, ops.full_like(t, 0)))
    return reduced(losses, reduction)


@Formula
def _gaussian(reduction: str, full: bool, eps: float, y: Node, t: Node, variance: Node) -> Node:
    least = ops.full_like(variance, eps)
    # the bound is no function of the variance: below it the derivative goes through (as PyTorch's)
    lift = ops.detach(ops.subtract(ops.maximum(variance, least), variance))
    safe = ops.add(variance, lift)
    error = ops.subtract(y, t)
    losses = ops.add(ops.log(safe), ops.divide(ops.multiply(error, error), safe))
    losses = scaled(losses, 0.5)
    if full:
        losses = ops.add(losses, ops.full_like(losses, 0.5 * math.log(2 * math.pi)))
    return reduced(losses, reduction)


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


def _positive(name: str, value: float) -> float:
    if real(name, value) <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return float(value)


def huber_loss(
    outputs: Tensor, targets: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """(y − t)² / 2 where |y − t| < δ, else δ (|y − t| − δ / 2). Source: Huber, 1964."""
    settings = checked_reduction(reduction), _positive("delta", delta), 1.0
    return apply(_huber, outputs, like(outputs, targets), settings=settings)


def smooth_l1_loss(
    outputs: Tensor, targets: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """(y − t)² / 2β where |y − t| < β, else |y − t| − β / 2; with β = 0 it is |y − t|.

    Source: Girshick, 2015, arXiv:1504.08083.
    """
    not_negative("beta", beta)
    if beta == 0:
        return l1_loss(outputs, targets, reduction)
    settings = checked_reduction(reduction), real("beta", beta), 1 / beta
    return apply(_huber, outputs, like(outputs, targets), settings=settings)


def poisson_nll_loss(
    outputs: Tensor,
    targets: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """−ln P(t) of a Poisson law: e^y − t y with y the log-rate, or y − t ln(y + ε) with the rate.

    full: Stirling's approximation of ln t! is added where t > 1.
    """
    settings = checked_reduction(reduction), bool(log_input), bool(full), real("eps", eps)
    return apply(_poisson, outputs, like(outputs, targets), settings=settings)


def gaussian_nll_loss(
    outputs: Tensor,
    targets: Tensor,
    variance: Tensor,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(ln v + (y − t)² / v) / 2, with the variance v at least ε, in the shape of the outputs.

    full: the constant ln 2π / 2 is added. Source: Nix and Weigend, 1994.
    """
    settings = checked_reduction(reduction), bool(full), _positive("eps", eps)
    pair = like(outputs, targets), like(outputs, variance)
    return apply(_gaussian, outputs, *pair, settings=settings)


class Loss(Module):
    """A loss: called with outputs and targets, gives a rank-0 tensor (unless reduction='none').

    `class_labels` tells training that targets are class numbers and outputs logits.
    """

    class_labels: ClassVar[bool] = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """TypeError for outputs and targets, which the loss is called with when it is made."""
        if len(args) > 1 and isinstance(args[0], Tensor) and isinstance(args[1], Tensor):
            raise TypeError(f"a loss is made, then called: {cls.__name__}()(outputs, targets)")
        return super().__new__(cls, *args, **kwargs)

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


@register
class HuberLoss(Loss):
    """Squared near the target, straight far from it. See `huber_loss`."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = _positive("delta", delta)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return huber_loss(outputs, targets, self.reduction, self.delta)


@register
class SmoothL1Loss(Loss):
    """Huber's loss divided by β: straight with slope 1 far off. See `smooth_l1_loss`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = not_negative("beta", beta)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return smooth_l1_loss(outputs, targets, self.reduction, self.beta)


@register
class PoissonNLLLoss(Loss):
    """For counts: −ln of Poisson's probability. See `poisson_nll_loss`."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, real("eps", eps)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return poisson_nll_loss(
            outputs, targets, self.log_input, self.full, self.eps, self.reduction
        )


@register
class GaussianNLLLoss(Loss):
    """For a network that gives mean and variance. See `gaussian_nll_loss`."""

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = full, _positive("eps", eps)

    def forward(self, outputs: Tensor, targets: Tensor, variance: Tensor) -> Tensor:
        """The loss."""
        return gaussian_nll_loss(outputs, targets, variance, self.full, self.eps, self.reduction)
