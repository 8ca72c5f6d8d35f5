"""Losses of several labels at once, the soft margin, and triplets with a distance of one's own."""

from __future__ import annotations

from collections.abc import Callable

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import whole_numbers
from glubina.nn.formula import apply, number, scaled, share
from glubina.nn.loss import Loss, checked_reduction, like, reduced
from glubina.nn.margin import pairwise_distance
from glubina.nn.smooth import part_of, softplus_of
from glubina.tensor import Tensor, minimum


@Formula
def _soft_margin(reduction: str, y: Node, t: Node) -> Node:
    return reduced(softplus_of(ops.negative(ops.multiply(t, y))), reduction)


@Formula
def _multilabel_soft(reduction: str, y: Node, t: Node, *weight: Node) -> Node:
    yes = part_of(t, softplus_of(ops.negative(y)))
    no = part_of(ops.subtract(number(t, 1), t), softplus_of(y))
    losses = ops.add(yes, no)
    if weight:
        losses = ops.multiply(losses, ops.broadcast(weight[0], losses.shape))
    last = len(y.shape) - 1
    return reduced(scaled(ops.sum(losses, (last,)), share(y.shape[last])), reduction)


@Formula
def _multilabel_margin(reduction: str, y: Node, labels: Node) -> Node:
    """Each label's score against each score that is no label's; labels end at the first −1."""
    n, classes = y.shape
    none = ops.less(labels, ops.full_like(labels, 0))
    # a label counts if there is no −1 at it or before it: the largest index of a gap so far
    rank = ops.iota((n, classes, classes), 1, labels.dtype)
    before = ops.less_equal(ops.iota((n, classes, classes), 2, labels.dtype), rank)
    gap = ops.broadcast(ops.reshape(none, (n, 1, classes)), (n, classes, classes))
    ended = ops.max(ops.cast(ops.logical_and(gap, before), y.dtype), (2,))
    counts = ops.subtract(number(ended, 1), ended)
    safe = ops.where(none, ops.full_like(labels, 0), labels)
    place = ops.broadcast(ops.reshape(safe, (n, classes, 1)), (n, classes, classes))
    hot = ops.cast(ops.equal(place, ops.iota(place.shape, 2, labels.dtype)), y.dtype)
    hot = ops.multiply(hot, ops.restored(counts, (2,), hot.shape))
    chosen = ops.sum(hot, (1,))  # how often each class is a label: 0 where it is none
    other = ops.cast(ops.equal(chosen, number(chosen, 0)), y.dtype)
    score = ops.sum(ops.multiply(hot, ops.restored(y, (1,), hot.shape)), (2,))
    apart = ops.subtract(ops.restored(score, (2,), hot.shape), ops.restored(y, (1,), hot.shape))
    excess = ops.relu(ops.subtract(number(apart, 1), apart))
    excess = ops.multiply(excess, ops.restored(counts, (2,), hot.shape))
    excess = ops.multiply(excess, ops.restored(other, (1,), hot.shape))
    return reduced(scaled(ops.sum(excess, (1, 2)), 1 / classes), reduction)


def soft_margin_loss(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """ln(1 + e^(−t y)) for targets t of ±1 in the shape of the outputs y: logistic regression."""
    settings = (checked_reduction(reduction),)
    return apply(_soft_margin, outputs, like(outputs, targets), settings=settings)


def multilabel_soft_margin_loss(
    outputs: Tensor, targets: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The mean over the classes of −t ln σ(y) − (1 − t) ln(1 − σ(y)), targets t of 0 or 1.

    outputs and targets: (..., classes); weight: a factor per class.
    """
    given = (outputs, like(outputs, targets), *(() if weight is None else (weight,)))
    if weight is not None and weight.shape != outputs.shape[-1:]:
        raise ShapeError(
            f"expected a weight {outputs.shape[-1:]}, one per class, got {weight.shape}"
        )
    return apply(_multilabel_soft, *given, settings=(checked_reduction(reduction),))


def multilabel_margin_loss(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Σ max(0, 1 − (y_label − y_j)) / classes, over all labels and all classes j that are none.

    outputs: (N, classes) or (classes,); targets: class numbers in the same shape, of which those
    before the first −1 count.
    """
    whole_numbers(targets)
    if outputs.shape != targets.shape or len(outputs.shape) not in (1, 2):
        raise ShapeError(
            f"expected outputs and labels of one shape (N, classes), got {outputs.shape} and "
            f"{targets.shape}"
        )
    if len(outputs.shape) == 1:
        rows = outputs.reshape((1, -1)), targets.reshape((1, -1))
        found = multilabel_margin_loss(*rows, reduction=reduction)
        return found.reshape(()) if reduction == "none" else found
    return apply(_multilabel_margin, outputs, targets, settings=(checked_reduction(reduction),))


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) − d(anchor, negative) + margin) with a distance d of one's own.

    swap: the negative's distance from the positive counts if it is the smaller one.
    """
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    losses = apply(ops.relu, near - far + margin)
    reduction = checked_reduction(reduction)
    return apply(lambda node: reduced(node, reduction), losses)


@register
class SoftMarginLoss(Loss):
    """ln(1 + e^(−t y)) for targets of ±1. See `soft_margin_loss`."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return soft_margin_loss(outputs, targets, self.reduction)


@register
class MultiLabelMarginLoss(Loss):
    """The hinge loss of several labels. See `multilabel_margin_loss`."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return multilabel_margin_loss(outputs, targets, self.reduction)


@register
class MultiLabelSoftMarginLoss(Loss):
    """The logistic loss of several labels. See `multilabel_soft_margin_loss`."""

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        weight: Tensor | None = self.weight  # type: ignore[attr-defined]
        return multilabel_soft_margin_loss(outputs, targets, weight, self.reduction)


class TripletMarginWithDistanceLoss(Loss):
    """The triplet loss with a distance of one's own. See `triplet_margin_with_distance_loss`."""

    def __init__(
        self,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.distance_function, self.margin, self.swap = distance_function, float(margin), swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        given = self.distance_function, self.margin, self.swap, self.reduction
        return triplet_margin_with_distance_loss(anchor, positive, negative, *given)
