"""Losses between probabilities: binary cross-entropy, divergence, focal loss."""

from __future__ import annotations

from typing import ClassVar

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating
from glubina.nn.cross_entropy import check_class_labels, picked
from glubina.nn.formula import apply, largest, number, scaled, share, spread, zeros
from glubina.nn.loss import Loss, checked_reduction, like, reduced
from glubina.nn.smooth import part_of, softplus_of
from glubina.tensor import Tensor
from glubina.tensor.arguments import not_negative, real


def _from_logits(z: Node, t: Node) -> Node:
    """−t ln σ(z) − (1 − t) ln(1 − σ(z)) = ln(1 + e^−|z|) + |z| w, w = 1 − t above 0, t below.

    What is added is never negative: where z is infinite the loss is, or 0 where t agrees.
    """
    below = ops.less(z, number(z, 0))
    distance = ops.where(below, ops.negative(z), z)
    wrong = ops.where(below, t, ops.subtract(number(t, 1), t))
    tail = ops.log1p(ops.exp(ops.negative(distance)))
    return ops.add(part_of(wrong, distance), tail)


@Formula
def _binary(reduction: str, z: Node, t: Node, *factors: Node) -> Node:
    losses = _from_logits(z, t)
    for factor in factors:
        losses = ops.multiply(losses, ops.broadcast(factor, z.shape))
    return reduced(losses, reduction)


@Formula
def _balanced(reduction: str, z: Node, t: Node, positive: Node, *factors: Node) -> Node:
    """−w t ln σ(z) − (1 − t) ln(1 − σ(z)), w the weight of positive examples."""
    weighted = ops.multiply(t, ops.broadcast(positive, z.shape))
    yes = part_of(weighted, softplus_of(ops.negative(z)))
    no = part_of(ops.subtract(number(t, 1), t), softplus_of(z))
    losses = ops.add(yes, no)
    for factor in factors:
        losses = ops.multiply(losses, ops.broadcast(factor, z.shape))
    return reduced(losses, reduction)


@Formula
def _from_probabilities(reduction: str, p: Node, t: Node, *factors: Node) -> Node:
    one, least, nearest = number(p, 1), number(p, -100), number(p, 1e-12)
    slope = number(p, 1e12)

    def log(x: Node) -> Node:
        """The logarithm, at least −100, its derivative at most 10¹², so that p = 0 gives numbers.

        Below 10⁻¹² it is what `log` gives plus 0 = x − x, of which only the derivative is felt:
        that of the logarithm itself would be 1/0 there, and 0 · 1/0 behind a sigmoid.
        """
        near = ops.less(x, nearest)
        fixed = ops.detach(ops.maximum(ops.log(x), least))
        line = ops.add(fixed, ops.multiply(slope, ops.subtract(x, ops.detach(x))))
        return ops.where(near, line, ops.log(ops.where(near, one, x)))

    yes = ops.multiply(t, log(p))
    no = ops.multiply(ops.subtract(one, t), log(ops.subtract(one, p)))
    losses = ops.negative(ops.add(yes, no))
    for factor in factors:
        losses = ops.multiply(losses, ops.broadcast(factor, p.shape))
    return reduced(losses, reduction)


@Formula
def _divergence(reduction: str, log_target: bool, y: Node, t: Node) -> Node:
    if log_target:
        losses = ops.multiply(ops.exp(t), ops.subtract(t, y))
    else:
        positive = ops.less(number(t, 0), t)
        logs = ops.log(ops.where(positive, t, number(t, 1)))
        losses = ops.multiply(t, ops.subtract(logs, y))
    if reduction == "batchmean":
        return scaled(reduced(losses, "sum"), share(y.shape[0]))
    return reduced(losses, reduction)


@Formula
def _focal(gamma: float, reduction: str, z: Node, labels: Node, none: Node, *weight: Node) -> Node:
    axis = len(z.shape) - 1
    shifted = ops.subtract(z, largest(z, axis))
    total = ops.log(ops.sum(ops.exp(shifted), (axis,)))
    log_p = picked(ops.subtract(shifted, spread(total, axis, z.shape)), labels)
    losses = ops.negative(ops.multiply(_modulated(gamma, log_p), log_p))
    losses = ops.add(losses, ops.take(none, labels, 0))
    if weight:
        losses = ops.multiply(losses, ops.take(weight[0], labels, 0))
    return reduced(losses, reduction)


def _modulated(gamma: float, log_p: Node) -> Node:
    """(1 − p)^γ; 1 − p = −expm1(ln p) keeps its digits where p is near 1."""
    if gamma == 0:
        return number(log_p, 1)
    rest = ops.negative(ops.expm1(log_p))
    if gamma == 1:
        return rest
    if gamma == 2:
        return ops.multiply(rest, rest)
    # the derivative of a power at 0 is infinite below 1 and 0 above: p = 1 is kept away from it
    inside = ops.less(number(rest, 0), rest)
    safe = ops.where(inside, rest, number(rest, 1))
    return ops.where(inside, ops.power(safe, number(safe, gamma)), number(rest, 0))


@Formula
def _sigmoid_focal(alpha: float | None, gamma: float, reduction: str, z: Node, t: Node) -> Node:
    one = number(t, 1)
    yes = _focal_side(gamma, ops.negative(softplus_of(ops.negative(z))))
    no = _focal_side(gamma, ops.negative(softplus_of(z)))
    yes, no = ops.multiply(t, yes), ops.multiply(ops.subtract(one, t), no)
    if alpha is not None:
        yes, no = scaled(yes, alpha), scaled(no, 1 - alpha)
    return reduced(ops.add(yes, no), reduction)


def _focal_side(gamma: float, log_p: Node) -> Node:
    return ops.negative(ops.multiply(_modulated(gamma, log_p), log_p))


def _broadcastable(name: str, factor: Tensor, outputs: Tensor) -> Tensor:
    """The factor, if it fits the last axes of the outputs."""
    floating(outputs)
    ours = outputs.shape[len(outputs.shape) - len(factor.shape) :]
    fits = len(factor.shape) <= len(outputs.shape) and all(
        a in (1, b) for a, b in zip(factor.shape, ours, strict=True)
    )
    if not fits:
        raise ShapeError(
            f"{name} of shape {factor.shape} does not fit outputs of shape {outputs.shape}"
        )
    return factor if factor.dtype == outputs.dtype else factor.astype(outputs.dtype)


def binary_cross_entropy(
    probabilities: Tensor, targets: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """−t ln p − (1 − t) ln(1 − p); the logarithms are at least −100.

    From logits `binary_cross_entropy_with_logits` is more exact. weight: a factor for each loss.
    """
    factors = () if weight is None else (_broadcastable("weight", weight, probabilities),)
    targets = like(probabilities, targets)
    settings = (checked_reduction(reduction),)
    return apply(_from_probabilities, probabilities, targets, *factors, settings=settings)


def binary_cross_entropy_with_logits(
    logits: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """−t ln σ(z) − (1 − t) ln(1 − σ(z)) = max(z, 0) − z t + ln(1 + e^−|z|).

    Targets are probabilities (0 or 1 as a rule) in the shape of the logits: one question for each
    element, so several may be true at once (multi-label). weight: a factor for each loss.
    pos_weight: a factor for the first term only, for instance one per class.
    """
    settings = (checked_reduction(reduction),)
    targets = like(logits, targets)
    factors = () if weight is None else (_broadcastable("weight", weight, logits),)
    if pos_weight is None:
        return apply(_binary, logits, targets, *factors, settings=settings)
    positive = _broadcastable("pos_weight", pos_weight, logits)
    return apply(_balanced, logits, targets, positive, *factors, settings=settings)


def kl_div(
    outputs: Tensor, targets: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """t (ln t − y) for log-probabilities y: Kullback and Leibler's divergence of y from t.

    targets: probabilities, or log-probabilities with log_target. "batchmean" divides the sum by
    the first extent, as the definition has it; "mean" by the number of elements.
    """
    if reduction != "batchmean":
        checked_reduction(reduction)
    settings = reduction, bool(log_target)
    return apply(_divergence, outputs, like(outputs, targets), settings=settings)


def focal_loss(
    logits: Tensor,
    targets: Tensor,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """−(1 − p)^γ ln p, p the probability of the label: what is easy counts little.

    logits: (..., classes); targets: class numbers (...); weight: a factor per class.
    Source: Lin et al., 2017, arXiv:1708.02002.
    """
    check_class_labels(logits, targets)
    none = zeros(logits.shape[-1], logits.dtype)
    factors = () if weight is None else (_broadcastable("weight", weight, logits),)
    settings = not_negative("gamma", gamma), checked_reduction(reduction)
    return apply(_focal, logits, targets, none, *factors, settings=settings)


def sigmoid_focal_loss(
    logits: Tensor,
    targets: Tensor,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: str = "none",
) -> Tensor:
    """The focal loss of a yes-or-no question per element, α the share of the positive ones."""
    if alpha is not None and not 0 <= real("alpha", alpha) <= 1:
        raise ValueError(f"alpha must be between 0 and 1, or None, got {alpha!r}")
    settings = alpha, not_negative("gamma", gamma), checked_reduction(reduction)
    return apply(_sigmoid_focal, logits, like(logits, targets), settings=settings)


class _Weighted(Loss):
    """What they share: a buffer of weights."""

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight
        self.register_buffer("weight", weight)


@register
class BCELoss(_Weighted):
    """Binary cross-entropy from probabilities. See `binary_cross_entropy`."""

    def forward(self, probabilities: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return binary_cross_entropy(probabilities, targets, self.weight, self.reduction)


@register
class BCEWithLogitsLoss(_Weighted):
    """Binary cross-entropy from logits. See `binary_cross_entropy_with_logits`."""

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, reduction)
        self.pos_weight = pos_weight
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return binary_cross_entropy_with_logits(
            logits, targets, self.weight, self.reduction, self.pos_weight
        )


@register
class KLDivLoss(Loss):
    """Kullback and Leibler's divergence, from log-probabilities. See `kl_div`."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__("mean" if reduction == "batchmean" else reduction)
        self.reduction, self.log_target = reduction, log_target

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return kl_div(outputs, targets, self.reduction, self.log_target)


@register
class FocalLoss(Loss):
    """Cross-entropy in which easy examples count little. See `focal_loss`."""

    class_labels: ClassVar[bool] = True

    def __init__(
        self, gamma: float = 2.0, weight: Tensor | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.gamma = not_negative("gamma", gamma)
        self.weight = weight
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return focal_loss(logits, targets, self.gamma, self.weight, self.reduction)
