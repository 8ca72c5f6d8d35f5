"""The losses of classification: cross-entropy from logits, from log-probabilities, binary."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from glubina.graph import DTypeError, Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating, probability
from glubina.nn.formula import apply, check_labels, largest, scaled, zeros
from glubina.nn.loss import Loss, as_targets, checked_reduction, like, reduced
from glubina.tensor import Tensor

INDEX = np.dtype(np.int32)


def one_hot(labels: Node, shape: tuple[int, ...]) -> Node:
    """Where the last axis's index is the label: by comparing, which fuses where a gather cannot."""
    axis = len(shape) - 1
    wanted = ops.restored(ops.cast(labels, INDEX), (axis,), shape)
    return ops.equal(ops.iota(shape, axis, INDEX), wanted)


def picked(values: Node, labels: Node) -> Node:
    """The element of the last axis that each label names."""
    axis = len(values.shape) - 1
    there = one_hot(labels, values.shape)
    return ops.sum(ops.where(there, values, ops.full_like(values, 0)), (axis,))


def _parts(z: Node) -> tuple[Node, Node]:
    """The logits less their largest, and ln Σ e^ of those, along the last axis."""
    axis = len(z.shape) - 1
    shifted = ops.subtract(z, largest(z, axis))
    return shifted, ops.log(ops.sum(ops.exp(shifted), (axis,)))


@Formula
def _by_label(reduction: str, smoothing: float, z: Node, labels: Node, none: Node) -> Node:
    return reduced(_losses(smoothing, z, labels, none), reduction)


@Formula
def _by_class(reduction: str, z: Node, labels: Node, none: Node, weight: Node) -> Node:
    """Each loss times the weight of its class; the mean is over the weights."""
    factors = ops.take(weight, labels, 0)
    weighted = ops.multiply(_losses(0.0, z, labels, none), factors)
    if reduction != "mean":
        return reduced(weighted, reduction)
    return ops.divide(reduced(weighted, "sum"), reduced(factors, "sum"))


def _losses(smoothing: float, z: Node, labels: Node, none: Node) -> Node:
    """ln Σ e^z − z_label, or with ε (1 − ε) times that plus ε times the mean over all classes.

    `none` is zero for each class: taking from it makes the program check the labels.
    """
    shifted, total = _parts(z)
    axis = len(z.shape) - 1
    label = picked(shifted, labels)
    if smoothing:
        mean = scaled(ops.sum(shifted, (axis,)), smoothing / z.shape[axis])
        label = ops.add(scaled(label, 1 - smoothing), mean)
    return ops.add(ops.subtract(total, label), ops.take(none, labels, 0))


@Formula
def _by_probability(reduction: str, z: Node, probabilities: Node) -> Node:
    """Σ_c q_c (ln Σ e^z − z_c)."""
    shifted, total = _parts(z)
    axis = len(z.shape) - 1
    losses = ops.subtract(ops.restored(total, (axis,), z.shape), shifted)
    return reduced(ops.sum(ops.multiply(probabilities, losses), (axis,)), reduction)


@Formula
def _negative(reduction: str, log_probabilities: Node, labels: Node, none: Node) -> Node:
    losses = ops.subtract(ops.take(none, labels, 0), picked(log_probabilities, labels))
    return reduced(losses, reduction)


@Formula
def _binary(reduction: str, z: Node, t: Node) -> Node:
    # By comparing, not by relu and |z|, so that the derivative is σ(z) − t at 0 as well.
    zero = ops.full_like(z, 0)
    below = ops.less(z, zero)
    distance = ops.where(below, ops.negative(z), z)
    tail = ops.log1p(ops.exp(ops.negative(distance)))
    above = ops.where(below, zero, z)
    return reduced(ops.add(ops.subtract(above, ops.multiply(z, t)), tail), reduction)


def _check(logits: Any, targets: Any) -> None:
    """ShapeError, DTypeError or IndexRangeError unless the targets are labels for the logits."""
    floating(logits)
    as_targets(targets)
    if targets.dtype.kind not in "iu":
        raise DTypeError(
            "expected class numbers (integers), or probabilities in the logits' shape; got "
            f"targets {targets.dtype} {targets.shape} for logits {logits.shape}"
        )
    if not logits.shape or targets.shape != logits.shape[:-1]:
        raise ShapeError(
            f"expected logits (..., classes) and labels (...), got logits {logits.shape} and "
            f"labels {targets.shape}"
        )
    check_labels(targets, logits.shape[-1])


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−ln softmax(z)_label = ln Σ_c e^{z_c} − z_label, stable for logits of any size.

    logits: (..., classes); targets: class numbers (...) of an integer dtype, or probabilities
    (..., classes). weight: (classes,), a factor per class; the mean is then over the weights.
    label_smoothing ε: the target is 1 − ε for the label plus ε / classes for every class
    (Szegedy et al., 2016, arXiv:1512.00567). A label outside 0 to classes − 1 is an
    IndexRangeError.
    """
    reduction = checked_reduction(reduction)
    if as_targets(targets).dtype.kind == "f":
        if weight is not None or label_smoothing:
            raise ValueError("weight and label_smoothing are for targets that are class numbers")
        return apply(_by_probability, logits, like(logits, targets), settings=(reduction,))
    _check(logits, targets)
    none = zeros(logits.shape[-1], logits.dtype)
    if weight is None:
        return apply(_by_label, logits, targets, none, settings=(reduction, label_smoothing))
    _check_weight(weight, logits, label_smoothing)
    return apply(_by_class, logits, targets, none, weight, settings=(reduction,))


def _check_weight(weight: Tensor, logits: Tensor, label_smoothing: float) -> None:
    if label_smoothing:
        raise ValueError("weight together with label_smoothing is not offered")
    if weight.shape != logits.shape[-1:] or weight.dtype != logits.dtype:
        raise ShapeError(
            f"expected weight {logits.dtype} {logits.shape[-1:]}, one number per class; got "
            f"{weight.dtype} {weight.shape}"
        )


def nll_loss(log_probabilities: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """−ln p_label from log-probabilities (..., classes), as `log_softmax` gives them."""
    reduction = checked_reduction(reduction)
    _check(log_probabilities, targets)
    none = zeros(log_probabilities.shape[-1], log_probabilities.dtype)
    return apply(_negative, log_probabilities, targets, none, settings=(reduction,))


def binary_cross_entropy_with_logits(
    logits: Tensor, targets: Tensor, reduction: str = "mean"
) -> Tensor:
    """−t ln σ(z) − (1 − t) ln(1 − σ(z)) = max(z, 0) − z t + ln(1 + e^−|z|).

    Targets are probabilities (0 or 1 as a rule) in the shape of the logits.
    """
    reduction = checked_reduction(reduction)
    return apply(_binary, logits, like(logits, targets), settings=(reduction,))


@register
class CrossEntropyLoss(Loss):
    """Cross-entropy from logits (..., classes) and class numbers (...). See `cross_entropy`."""

    class_labels: ClassVar[bool] = True

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.register_buffer("weight", weight)
        self.label_smoothing = probability("label_smoothing", label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return cross_entropy(logits, targets, self.weight, self.reduction, self.label_smoothing)


@register
class NLLLoss(Loss):
    """−ln p_label from log-probabilities (..., classes) and class numbers (...)."""

    class_labels: ClassVar[bool] = True

    def forward(self, log_probabilities: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return nll_loss(log_probabilities, targets, self.reduction)


@register
class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy from logits. See `binary_cross_entropy_with_logits`."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return binary_cross_entropy_with_logits(logits, targets, self.reduction)
