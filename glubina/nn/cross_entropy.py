"""The losses of classification: cross-entropy from logits, from log-probabilities, binary."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from glubina.graph import DTypeError, Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating, probability
from glubina.nn.formula import apply, check_labels, largest, scaled, share, zeros
from glubina.nn.loss import Loss, as_targets, checked_reduction, like, reduced
from glubina.tensor import Tensor
from glubina.tensor.arguments import real

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
def _by_class(
    reduction: str,
    smoothing: float,
    ignored: int | None,
    z: Node,
    labels: Node,
    none: Node,
    weight: Node | None = None,
) -> Node:
    """Each loss times the weight of its class, none for the ignored label; a weighted mean.

    With smoothing ε: (1 − ε) w_label (−ln p_label) + ε / classes · Σ_c w_c (−ln p_c).
    """
    kept = ops.full_like(ops.cast(labels, z.dtype), 1)
    if ignored is not None:
        there = ops.not_equal(labels, ops.full_like(labels, ignored))
        kept = ops.cast(there, z.dtype)
        labels = ops.where(there, labels, ops.full_like(labels, 0))
    factors = kept if weight is None else ops.multiply(kept, ops.take(weight, labels, 0))
    losses = ops.multiply(_losses(0.0, z, labels, none), factors)
    if smoothing:
        axis = len(z.shape) - 1
        shifted, total = _parts(z)
        each = ops.subtract(ops.restored(total, (axis,), z.shape), shifted)
        if weight is not None:
            each = ops.multiply(each, ops.broadcast(weight, z.shape))
        even = ops.multiply(ops.sum(each, (axis,)), kept)
        losses = ops.add(scaled(losses, 1 - smoothing), scaled(even, smoothing / z.shape[axis]))
    if reduction != "mean":
        return reduced(losses, reduction)
    return ops.divide(reduced(losses, "sum"), reduced(factors, "sum"))


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
def _by_probability(
    reduction: str, smoothing: float, z: Node, probabilities: Node, weight: Node | None = None
) -> Node:
    """Σ_c w_c q_c (ln Σ e^z − z_c); with smoothing ε, q is (1 − ε) q + ε / classes."""
    shifted, total = _parts(z)
    axis = len(z.shape) - 1
    losses = ops.subtract(ops.restored(total, (axis,), z.shape), shifted)
    if smoothing:
        even = ops.full_like(probabilities, smoothing / z.shape[axis])
        probabilities = ops.add(scaled(probabilities, 1 - smoothing), even)
    if weight is not None:
        losses = ops.multiply(losses, ops.broadcast(weight, z.shape))
    count = math.prod(z.shape[:axis])
    if reduction == "mean":
        total_loss = reduced(ops.multiply(probabilities, losses), "sum")
        return scaled(total_loss, share(count))
    return reduced(ops.sum(ops.multiply(probabilities, losses), (axis,)), reduction)


@Formula
def _negative(
    reduction: str,
    ignored: int | None,
    log_probabilities: Node,
    labels: Node,
    none: Node,
    weight: Node | None = None,
) -> Node:
    there = None
    if ignored is not None:
        there = ops.not_equal(labels, ops.full_like(labels, ignored))
        labels = ops.where(there, labels, ops.full_like(labels, 0))
    losses = ops.subtract(ops.take(none, labels, 0), picked(log_probabilities, labels))
    factors = ops.full_like(losses, 1) if weight is None else ops.take(weight, labels, 0)
    if there is not None:
        factors = ops.where(there, factors, ops.full_like(factors, 0))
    if weight is None and there is None:
        return reduced(losses, reduction)
    losses = ops.multiply(losses, factors)
    if reduction != "mean":
        return reduced(losses, reduction)
    return ops.divide(reduced(losses, "sum"), reduced(factors, "sum"))


for _formula in (_by_label, _by_class, _negative):
    _formula.indices = "label", "classes"


def checked_index(ignore_index: Any) -> int | None:
    """A label that does not count, a whole number of any sign; None for none."""
    if ignore_index is None or float(real("ignore_index", ignore_index)).is_integer():
        return None if ignore_index is None else int(ignore_index)
    raise ValueError(f"ignore_index must be a whole number or None, got {ignore_index!r}")


def check_class_labels(logits: Any, targets: Any, ignored: int | None = None) -> None:
    """ShapeError, DTypeError or IndexRangeError unless the targets are labels for the logits."""
    floating(logits)
    as_targets(targets)
    if targets.dtype.kind not in "iu":
        raise DTypeError(
            "expected class numbers (integers), or probabilities in the logits' shape; got "
            f"targets {targets.dtype} {targets.shape} for logits {logits.shape}"
        )
    if not logits.shape or targets.shape != logits.shape[:-1]:
        hint = ""
        if targets.shape == logits.shape:
            hint = "; of one-hot rows give targets.argmax(axis=-1)"
        elif targets.shape == (*logits.shape[:-1], 1):
            hint = "; give labels.squeeze(-1)"
        raise ShapeError(
            f"expected logits (..., classes) and labels (...), got logits {logits.shape} and "
            f"labels {targets.shape}{hint}"
        )
    if ignored is None:
        check_labels(targets, logits.shape[-1])


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Tensor:
    """−ln softmax(z)_label = ln Σ_c e^{z_c} − z_label, stable for logits of any size.

    logits: (..., classes); targets: class numbers (...) of an integer dtype, or probabilities
    (..., classes). weight: (classes,), a factor per class; for class numbers the mean is then over
    the weights. label_smoothing ε: the target is 1 − ε for the label plus ε / classes for every
    class (Szegedy et al., 2016, arXiv:1512.00567). ignore_index: a label whose examples do not
    count. Any other label outside 0 to classes − 1 is an IndexRangeError.
    """
    reduction, smoothing = (
        checked_reduction(reduction),
        probability("label_smoothing", label_smoothing),
    )
    if weight is not None:
        _check_weight(weight, logits)
    given = () if weight is None else (weight,)
    if as_targets(targets).dtype.kind == "f":
        if ignore_index is not None:
            raise ValueError("ignore_index is for targets that are class numbers")
        _check_soft(logits, targets)
        soft = like(logits, targets)
        return apply(_by_probability, logits, soft, *given, settings=(reduction, smoothing))
    check_class_labels(logits, targets, ignore_index)
    none = zeros(logits.shape[-1], logits.dtype)
    if weight is None and ignore_index is None:
        return apply(_by_label, logits, targets, none, settings=(reduction, smoothing))
    settings = reduction, smoothing, ignore_index
    return apply(_by_class, logits, targets, none, *given, settings=settings)


def _check_soft(logits: Any, targets: Tensor) -> None:
    """Errors for real targets where class numbers were meant."""
    if not isinstance(logits, Tensor):
        return
    if logits.dtype.kind in "iu":
        raise DTypeError(
            f"expected outputs of floating numbers, then targets; got {logits.dtype} "
            f"{logits.shape} and {targets.dtype} {targets.shape}: are they the wrong way round?"
        )
    if targets.shape == logits.shape[:-1] and targets.shape != logits.shape:
        raise ShapeError(
            f"expected targets of the outputs' shape {logits.shape}, got {targets.shape}; class "
            "numbers are integers: give targets.long()"
        )


def _check_weight(weight: Any, logits: Any) -> None:
    floating(logits)
    if not isinstance(weight, Tensor):
        raise DTypeError(
            f"expected weight as a tensor, one number per class; got {type(weight).__name__}; "
            "gl.tensor(weight) makes one"
        )
    if weight.shape != logits.shape[-1:] or weight.dtype != logits.dtype:
        raise ShapeError(
            f"expected weight {logits.dtype} {logits.shape[-1:]}, one number per class; got "
            f"{weight.dtype} {weight.shape}"
        )


def nll_loss(
    log_probabilities: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
) -> Tensor:
    """−ln p_label from log-probabilities (..., classes), as `log_softmax` gives them.

    weight and ignore_index are as in `cross_entropy`.
    """
    reduction = checked_reduction(reduction)
    if weight is not None:
        _check_weight(weight, log_probabilities)
    given = () if weight is None else (weight,)
    check_class_labels(log_probabilities, targets, ignore_index)
    none = zeros(log_probabilities.shape[-1], log_probabilities.dtype)
    settings = reduction, ignore_index
    return apply(_negative, log_probabilities, targets, none, *given, settings=settings)


@register
class CrossEntropyLoss(Loss):
    """Cross-entropy from logits (..., classes) and class numbers (...). See `cross_entropy`."""

    class_labels: ClassVar[bool] = True

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.register_buffer("weight", weight)
        self.label_smoothing = probability("label_smoothing", label_smoothing)
        self.ignore_index = checked_index(ignore_index)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        settings = self.reduction, self.label_smoothing, self.ignore_index
        return cross_entropy(logits, targets, self.weight, *settings)


@register
class NLLLoss(Loss):
    """−ln p_label from log-probabilities (..., classes) and class numbers (...)."""

    class_labels: ClassVar[bool] = True

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.register_buffer("weight", weight)
        self.ignore_index = checked_index(ignore_index)

    def forward(self, log_probabilities: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return nll_loss(log_probabilities, targets, self.weight, self.reduction, self.ignore_index)
