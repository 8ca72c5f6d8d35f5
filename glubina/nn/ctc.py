"""The loss of sequences without alignment: connectionist temporal classification."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from glubina.graph import DTypeError, Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating
from glubina.nn.formula import apply, check_labels, number, scaled, share
from glubina.nn.loss import Loss, as_targets, checked_reduction
from glubina.tensor import Tensor
from glubina.tensor.arguments import whole
from glubina.tensor.creation import tensor as held

NEVER = -1e30
"""Stands for ln 0: derivatives through it are numbers."""

_int64 = np.dtype(np.int64)


def _row(x: Node, start: int, length: int) -> Node:
    """Columns of a matrix."""
    return ops.slice(x, (0, start), (x.shape[0], length), (1, 1))


def _later(a: Node, by: int) -> Node:
    """The columns moved to the right; what comes in is impossible."""
    first = ops.broadcast(ops.constant(NEVER, a.dtype), (a.shape[0], by))
    return ops.concat([first, _row(a, 0, a.shape[1] - by)], 1)


def _log_sum(parts: Sequence[Node]) -> Node:
    """ln Σ exp of several nodes, element by element."""
    most = parts[0]
    for part in parts[1:]:
        most = ops.maximum(most, part)
    most = ops.detach(most)
    total = ops.exp(ops.subtract(parts[0], most))
    for part in parts[1:]:
        total = ops.add(total, ops.exp(ops.subtract(part, most)))
    return ops.add(most, ops.log(total))


def _with_blanks(labels: Node, blank: int) -> Node:
    """b l₁ b l₂ b ... b: [N, S] -> [N, 2 S + 1]."""
    rows, count = labels.shape
    blanks = ops.broadcast(ops.constant(blank, labels.dtype), (rows, count, 1))
    pairs = ops.concat([blanks, ops.reshape(labels, (rows, count, 1))], 2)
    last = ops.broadcast(ops.constant(blank, labels.dtype), (rows, 1))
    return ops.concat([ops.reshape(pairs, (rows, 2 * count)), last], 1)


def _emitted(log_p: Node, states: Node) -> Node:
    """The log-probability of each state's label at each step: [T, N, C] -> [T, N, L]."""
    steps, rows, classes = log_p.shape
    first = ops.multiply(ops.iota(states.shape, 0, _int64), number(states, classes))
    places = ops.reshape(ops.add(first, states), (states.size,))
    flat = ops.take(ops.reshape(log_p, (steps, rows * classes)), places, 1)
    return ops.reshape(flat, (steps, *states.shape))


def _column(x: Node, shape: tuple[int, ...]) -> Node:
    return ops.broadcast(ops.reshape(x, (shape[0], 1)), shape)


def _skips(states: Node, blank: int) -> Node:
    """Where a label can follow the label before it at once: unless they are the same."""
    count = min(2, states.shape[1])
    before = ops.concat([_row(states, 0, count), _row(states, 0, states.shape[1] - count)], 1)
    different = ops.not_equal(states, before)
    return ops.logical_and(different, ops.not_equal(states, number(states, blank)))


@Formula
def _ctc(
    blank: int, reduction: str, zero_infinity: bool, log_p: Node, labels: Node, n: Node, s: Node
) -> Node:
    """log_p [T, N, C], labels [N, S], the lengths n of the inputs and s of the labels [N]."""
    states = _with_blanks(labels, blank)
    shape = states.shape
    place = ops.iota(shape, 1, _int64)
    skips = _skips(states, blank)
    emitted = _emitted(log_p, states)
    steps = ops.iota((log_p.shape[0], shape[0], 1), 0, _int64)
    there = ops.less(steps, ops.broadcast(ops.reshape(n, (shape[0], 1)), steps.shape))

    def body(
        before: Sequence[Node], slices: Sequence[Node], fixed: Sequence[Node]
    ) -> tuple[Sequence[Node], Sequence[Node]]:
        (a,), (emission, valid) = before, slices
        parts = [a, _later(a, 1)] if shape[1] > 1 else [a]
        if shape[1] > 2:
            parts.append(ops.where(fixed[0], _later(a, 2), number(a, NEVER)))
        after = ops.add(_log_sum(parts), emission)
        return [ops.where(ops.broadcast(valid, shape), after, a)], []

    never = ops.broadcast(ops.constant(NEVER, log_p.dtype), shape)
    start = ops.where(ops.equal(place, number(place, 0)), number(never, 0), never)
    (last,), _ = ops.scan(body, [start], [emitted, there], [skips])
    end = _column(ops.multiply(s, number(s, 2)), shape)
    ends = ops.logical_or(
        ops.equal(place, end), ops.equal(place, ops.subtract(end, number(end, 1)))
    )
    finals = ops.where(ends, last, number(last, NEVER))
    most = ops.detach(ops.max(finals, (1,)))
    raised = ops.exp(ops.subtract(finals, _column(most, shape)))
    losses = ops.negative(ops.add(most, ops.log(ops.sum(raised, (1,)))))
    possible = ops.less(losses, number(losses, -NEVER / 2))
    other = number(losses, 0.0 if zero_infinity else math.inf)
    losses = ops.where(possible, losses, other)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum(losses, (0,))
    lengths = ops.maximum(ops.cast(s, losses.dtype), number(losses, 1))
    return scaled(ops.sum(ops.divide(losses, lengths), (0,)), share(shape[0]))


def _lengths(name: str, given: Any, count: int) -> Tensor:
    t: Tensor = given if isinstance(given, Tensor) else held(np.asarray(given, np.int64))
    t = t.reshape((1,)) if t.shape == () else t
    if t.dtype.kind not in "iu":
        raise DTypeError(f"{name} must be integers, got {t.dtype}")
    if t.shape != (count,):
        raise ShapeError(f"{name} must have the shape ({count},), one per sequence; got {t.shape}")
    return t.astype(_int64)


def _check_range(name: str, lengths: Tensor, most: int) -> None:
    """ValueError for a length that cannot be, where the lengths are there already."""
    leaf = lengths._cell.value()
    if leaf is None or leaf.buffer is None:
        return
    values = leaf.buffer.array(leaf.shape, leaf.dtype)
    if values.size and not (values.min() >= 0 and values.max() <= most):
        raise ValueError(f"{name} must be from 0 to {most}, got {values.tolist()}")


def _padded(targets: Tensor, lengths: Tensor, rows: int) -> Tensor:
    """The labels as [N, S], from a vector of all of them one after another."""
    counts = lengths.numpy()
    if counts.sum() != targets.shape[0]:
        raise ShapeError(
            f"targets of {targets.shape[0]} labels in all, but target_lengths sum to {counts.sum()}"
        )
    starts = np.cumsum(counts) - counts
    columns = np.arange(max(int(counts.max(initial=0)), 1))
    places = np.where(columns < counts[:, None], starts[:, None] + columns, 0)
    if not targets.shape[0]:
        return held(np.zeros((rows, 0), np.int64))
    return targets[held(places.astype(np.int64))]


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    batch_first: bool = False,
) -> Tensor:
    """−ln Σ over all alignments of the labels of Π_t p_t: what a recogniser is trained with.

    An alignment has one class per step; repeated classes count once, and `blank`s are left out.

    log_probs: (T, N, C) log-probabilities, as `log_softmax` gives them; (T, C) for one sequence;
    (N, T, C) with batch_first. targets: (N, S), padded with anything in range, or all labels one
    after another (Σ target_lengths,). input_lengths, target_lengths: (N,), tensors or numbers.
    reduction "mean" divides each loss by its target's length and takes the mean. A target that no
    alignment gives has the loss ∞; with zero_infinity it is 0, and so is its gradient.

    Source: Graves et al., ICML 2006. The loop over the steps is native (`scan`).
    """
    floating(log_probs)
    settings = int(blank), checked_reduction(reduction), bool(zero_infinity)
    labels = as_targets(targets)
    single = log_probs.ndim == 2
    if single:
        log_probs = log_probs.reshape((log_probs.shape[0], 1, log_probs.shape[1]))
        labels = labels.reshape((1, labels.size))
    elif batch_first and log_probs.ndim == 3:
        log_probs = log_probs.swapaxes(0, 1)
    if log_probs.ndim != 3:
        raise ShapeError(f"expected log_probs (T, N, C) or (T, C), got {log_probs.shape}")
    steps, rows, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise ValueError(f"blank must be a class from 0 to {classes - 1}, got {blank}")
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"targets must be class numbers (integers), got {labels.dtype}")
    check_labels(labels, classes)
    given = _lengths("input_lengths", input_lengths, rows)
    wanted = _lengths("target_lengths", target_lengths, rows)
    _check_range("input_lengths", given, steps)
    if labels.ndim == 1:
        labels = _padded(labels, wanted, rows)
    if labels.ndim != 2 or labels.shape[0] != rows:
        raise ShapeError(
            f"expected targets ({rows}, S), or one vector of all labels, got {labels.shape}"
        )
    _check_range("target_lengths", wanted, labels.shape[1])
    loss = apply(_ctc, log_probs, labels.astype(_int64), given, wanted, settings=settings)
    return loss.reshape(()) if single and reduction == "none" else loss


@register
class CTCLoss(Loss):
    """Connectionist temporal classification. See `ctc_loss`."""

    def __init__(
        self,
        blank: int = 0,
        reduction: str = "mean",
        zero_infinity: bool = False,
        batch_first: bool = False,
    ) -> None:
        super().__init__(reduction)
        self.blank = whole("blank", blank, 0)
        self.zero_infinity, self.batch_first = zero_infinity, batch_first

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        """The loss."""
        return ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
            self.batch_first,
        )
