"""Losses that ask for a margin: hinge, ranking, triplet, cosine."""

from __future__ import annotations

from typing import Any, ClassVar

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import axis_of, floating
from glubina.nn.cross_entropy import check_class_labels, one_hot, picked
from glubina.nn.formula import apply, number, scaled, zeros
from glubina.nn.loss import Loss, as_targets, checked_reduction, like, reduced
from glubina.tensor import Tensor
from glubina.tensor.arguments import above_zero, real


def _positive_part(x: Node) -> Node:
    return ops.relu(x)


def _from_zero(x: Node) -> Node:
    """max(0, x) whose derivative at 0 is 1, as of PyTorch's `clamp_min`: ties are pushed apart."""
    return ops.where(ops.less(x, number(x, 0)), number(x, 0), x)


def _less(margin: float, x: Node) -> Node:
    """margin − x."""
    return ops.subtract(number(x, margin), x)


def _is_positive(sign: Node) -> Node:
    return ops.less(number(sign, 0), sign)


@Formula
def _hinge(reduction: str, margin: float, y: Node, t: Node) -> Node:
    return reduced(_positive_part(_less(margin, ops.multiply(t, y))), reduction)


@Formula
def _hinge_embedding(reduction: str, margin: float, distance: Node, t: Node) -> Node:
    apart = _from_zero(_less(margin, distance))
    return reduced(ops.where(_is_positive(t), distance, apart), reduction)


@Formula
def _ranking(reduction: str, margin: float, a: Node, b: Node, t: Node) -> Node:
    return reduced(_from_zero(_less(margin, ops.multiply(t, ops.subtract(a, b)))), reduction)


@Formula
def _multi_margin(reduction: str, p: int, margin: float, z: Node, labels: Node, none: Node) -> Node:
    axis = len(z.shape) - 1
    right = ops.restored(picked(z, labels), (axis,), z.shape)
    excess = _positive_part(_less(margin, ops.subtract(right, z)))
    excess = excess if p == 1 else ops.multiply(excess, excess)
    excess = ops.where(one_hot(labels, z.shape), number(excess, 0), excess)
    losses = scaled(ops.sum(excess, (axis,)), 1 / z.shape[axis])
    return reduced(ops.add(losses, ops.take(none, labels, 0)), reduction)


def _root(x: Node) -> Node:
    """√x whose derivative at 0 is 0, not infinite."""
    none = ops.equal(x, number(x, 0))
    root = ops.sqrt(ops.where(none, number(x, 1), x))
    return ops.where(none, number(x, 0), root)


def _distance(p: float, eps: float, a: Node, b: Node) -> Node:
    """(Σ |a − b + ε|^p)^(1/p) along the last axis."""
    apart = ops.absolute(ops.add(ops.subtract(a, b), number(a, eps)))
    last = (len(a.shape) - 1,)
    if p == 1:
        return ops.sum(apart, last)
    if p == 2:
        return _root(ops.sum(ops.multiply(apart, apart), last))
    total = ops.sum(ops.power(apart, number(apart, p)), last)
    return ops.power(total, number(total, 1 / p))


@Formula
def _pairwise(p: float, eps: float, a: Node, b: Node) -> Node:
    return _distance(p, eps, a, b)


@Formula
def _triplet(
    reduction: str, margin: float, p: float, eps: float, swap: bool, a: Node, b: Node, c: Node
) -> Node:
    near, far = _distance(p, eps, a, b), _distance(p, eps, a, c)
    if swap:
        far = ops.minimum(far, _distance(p, eps, b, c))
    return reduced(_from_zero(_less(margin, ops.subtract(far, near))), reduction)


def _cosine(eps: float, axis: int, a: Node, b: Node) -> Node:
    """a·b / (max(‖a‖, ε) max(‖b‖, ε))."""

    def norm(x: Node) -> Node:
        length = _root(ops.sum(ops.multiply(x, x), (axis,)))
        return ops.maximum(length, number(length, eps))

    return ops.divide(ops.sum(ops.multiply(a, b), (axis,)), ops.multiply(norm(a), norm(b)))


@Formula
def _similarity(eps: float, axis: int, a: Node, b: Node) -> Node:
    return _cosine(eps, axis, a, b)


@Formula
def _cosine_embedding(reduction: str, margin: float, a: Node, b: Node, t: Node) -> Node:
    cosine = _cosine(1e-12, len(a.shape) - 1, a, b)
    apart = _from_zero(ops.subtract(cosine, number(cosine, margin)))
    return reduced(ops.where(_is_positive(t), _less(1.0, cosine), apart), reduction)


def hinge_loss(
    outputs: Tensor, targets: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """max(0, margin − t y), with targets t of ±1 in the shape of the outputs y.

    Source: Cortes and Vapnik, 1995.
    """
    settings = checked_reduction(reduction), real("margin", margin)
    return apply(_hinge, outputs, like(outputs, targets), settings=settings)


def hinge_embedding_loss(
    distances: Tensor, targets: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """The distance where t = 1, max(0, margin − distance) where t = −1."""
    settings = checked_reduction(reduction), real("margin", margin)
    return apply(_hinge_embedding, distances, like(distances, targets), settings=settings)


def margin_ranking_loss(
    first: Tensor, second: Tensor, targets: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """max(0, margin − t (a − b)): t = 1 asks that a be larger, t = −1 that b be."""
    settings = checked_reduction(reduction), real("margin", margin)
    pair = like(first, second), like(first, targets)
    return apply(_ranking, first, *pair, settings=settings)


def multi_margin_loss(
    logits: Tensor, targets: Tensor, p: int = 1, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Σ_{c ≠ label} max(0, margin − z_label + z_c)^p / classes; p is 1 or 2."""
    if p not in (1, 2):
        raise ValueError(f"p must be 1 or 2, got {p!r}")
    check_class_labels(logits, targets)
    settings = checked_reduction(reduction), p, real("margin", margin)
    none = zeros(logits.shape[-1], logits.dtype)
    return apply(_multi_margin, logits, targets, none, settings=settings)


def pairwise_distance(a: Tensor, b: Tensor, p: float = 2.0, eps: float = 1e-6) -> Tensor:
    """‖a − b + ε‖_p along the last axis, for two tensors of one shape."""
    return apply(_pairwise, a, _vectors(a, b), settings=(_norm(p), real("eps", eps)))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) − d(anchor, negative) + margin), d(a, b) = ‖a − b + ε‖_p.

    swap: the negative's distance from the positive counts if it is the smaller one (Balntas et
    al., 2016).
    """
    sizes = real("margin", margin), _norm(p), real("eps", eps)
    settings = checked_reduction(reduction), *sizes, bool(swap)
    pair = _vectors(anchor, positive), _vectors(anchor, negative)
    return apply(_triplet, anchor, *pair, settings=settings)


def cosine_similarity(a: Tensor, b: Tensor, axis: int = -1, eps: float = 1e-8) -> Tensor:
    """a·b / (‖a‖ ‖b‖) along an axis, for two tensors of one shape; norms are at least ε."""
    place = axis_of("cosine_similarity", floating(a), axis)
    return apply(_similarity, a, _vectors(a, b), settings=(real("eps", eps), place))


def cosine_embedding_loss(
    first: Tensor, second: Tensor, targets: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 − cos(a, b) where t = 1, max(0, cos(a, b) − margin) where t = −1.

    first, second: (..., features); targets: (...).
    """
    other = _vectors(first, second)
    signs = as_targets(targets)
    if signs.shape != first.shape[:-1]:
        raise ShapeError(
            f"expected targets of shape {first.shape[:-1]} for vectors {first.shape}, got "
            f"{signs.shape}"
        )
    signs = signs if signs.dtype == first.dtype else signs.astype(first.dtype)
    settings = checked_reduction(reduction), real("margin", margin)
    return apply(_cosine_embedding, first, other, signs, settings=settings)


def _norm(p: float) -> float:
    if real("p", p) < 1:
        raise ValueError(f"p must be at least 1, got {p!r}")
    return float(p)


def _vectors(a: Any, b: Any) -> Tensor:
    floating(a)
    floating(b)
    if not a.shape or a.shape != b.shape or a.dtype != b.dtype:
        raise ShapeError(
            f"expected two tensors of one shape and dtype, got {a.dtype} {a.shape} and "
            f"{b.dtype} {b.shape}"
        )
    return b  # type: ignore[no-any-return]


class _MarginLoss(Loss):
    """What they share: the margin, and how losses are reduced."""

    default: ClassVar[float] = 1.0

    def __init__(self, margin: float | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = self.default if margin is None else real("margin", margin)

    def extra_repr(self) -> str:
        """The margin, and what is not the default."""
        return f"margin={self.margin}" + (f", {more}" if (more := super().extra_repr()) else "")


@register
class HingeLoss(_MarginLoss):
    """max(0, margin − t y) for targets of ±1. See `hinge_loss`."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return hinge_loss(outputs, targets, self.margin, self.reduction)


@register
class HingeEmbeddingLoss(_MarginLoss):
    """For distances and targets of ±1. See `hinge_embedding_loss`."""

    def forward(self, distances: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return hinge_embedding_loss(distances, targets, self.margin, self.reduction)


@register
class MarginRankingLoss(_MarginLoss):
    """For pairs of scores and targets of ±1. See `margin_ranking_loss`."""

    default: ClassVar[float] = 0.0

    def forward(self, first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return margin_ranking_loss(first, second, targets, self.margin, self.reduction)


@register
class CosineEmbeddingLoss(_MarginLoss):
    """For pairs of vectors and targets of ±1. See `cosine_embedding_loss`."""

    default: ClassVar[float] = 0.0

    def forward(self, first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return cosine_embedding_loss(first, second, targets, self.margin, self.reduction)


@register
class MultiMarginLoss(Loss):
    """The hinge loss of many classes. See `multi_margin_loss`."""

    class_labels: ClassVar[bool] = True

    def __init__(self, p: int = 1, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if p not in (1, 2):
            raise ValueError(f"p must be 1 or 2, got {p!r}")
        self.p, self.margin = p, real("margin", margin)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss."""
        return multi_margin_loss(logits, targets, self.p, self.margin, self.reduction)


@register
class TripletMarginLoss(Loss):
    """Nearer to the positive than to the negative by a margin. See `triplet_margin_loss`.

    Source: Schroff et al., 2015, arXiv:1503.03832.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin, self.p = above_zero("margin", margin), _norm(p)
        self.eps, self.swap = real("eps", eps), swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        settings = self.margin, self.p, self.eps, self.swap, self.reduction
        return triplet_margin_loss(anchor, positive, negative, *settings)
