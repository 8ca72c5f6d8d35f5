"""Scores of classifiers over whole arrays: F-beta and its parts, top-k, ROC AUC, log-loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glubina.metrics.classification import confusion_matrix

AVERAGES = ("macro", "micro", "weighted", "binary", None)

Figures = NDArray[np.float64]


def fbeta_score(
    y_true: ArrayLike,
    y_predicted: ArrayLike,
    beta: float = 1.0,
    average: str | None = "macro",
    zero_division: float = 0.0,
) -> float | Figures:
    """(1 + β²) precision · recall / (β² precision + recall), from class numbers (n,).

    average: "macro" (the mean over the classes that occur, in either), "micro" (from the counts of
    all classes together), "weighted" (by the classes' true examples), "binary" (of class 1), None
    (one for each class). zero_division: what a class gets that neither occurs nor is predicted.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta!r}")
    hits, taken, there = _counts(y_true, y_predicted)
    square = beta * beta
    return _averaged(
        lambda h, p, t: _share((1 + square) * h, p + square * t, zero_division),
        (hits, taken, there),
        average,
    )


def f1_score(
    y_true: ArrayLike,
    y_predicted: ArrayLike,
    average: str | None = "macro",
    zero_division: float = 0.0,
) -> float | Figures:
    """The harmonic mean of precision and recall; see `fbeta_score`."""
    return fbeta_score(y_true, y_predicted, 1.0, average, zero_division)


def precision_score(
    y_true: ArrayLike,
    y_predicted: ArrayLike,
    average: str | None = "macro",
    zero_division: float = 0.0,
) -> float | Figures:
    """Of the examples taken for a class the share that is of it; averages as in `fbeta_score`."""
    counts = _counts(y_true, y_predicted)
    return _averaged(lambda h, p, t: _share(h, p, zero_division), counts, average)


def recall_score(
    y_true: ArrayLike,
    y_predicted: ArrayLike,
    average: str | None = "macro",
    zero_division: float = 0.0,
) -> float | Figures:
    """Of the examples of a class the share that was found; averages as in `fbeta_score`."""
    counts = _counts(y_true, y_predicted)
    return _averaged(lambda h, p, t: _share(h, t, zero_division), counts, average)


def top_k_accuracy(y_true: ArrayLike, scores: ArrayLike, k: int = 5) -> float:
    """The share of examples whose class is among the k largest scores; scores: (n, classes)."""
    true, given = np.asarray(y_true), np.asarray(scores)
    _check_scores(true, given)
    if not 1 <= k <= given.shape[1]:
        raise ValueError(f"k must be between 1 and {given.shape[1]} classes, got {k}")
    own = np.take_along_axis(given, true[:, None], 1)
    return float(np.mean((given > own).sum(1) < k))


def roc_auc_score(
    y_true: ArrayLike, scores: ArrayLike, average: str = "macro", multi_class: str = "ovr"
) -> float:
    """The area under the ROC curve: the chance that a positive scores above a negative.

    Ties count half. scores: (n,) for two classes; (n, classes) of probabilities for more, of each
    class against the rest ("ovr") and averaged over the classes ("macro", or "weighted" by their
    examples), or of each pair of classes ("ovo").
    """
    true, given = np.asarray(y_true), np.asarray(scores, np.float64)
    if given.ndim == 1:
        if true.shape != given.shape:
            raise ValueError(f"labels {true.shape} and scores {given.shape} differ in shape")
        return _area(true == 1, given)
    _check_scores(true, given)
    if average not in ("macro", "weighted") or multi_class not in ("ovr", "ovo"):
        raise ValueError(
            "average is 'macro' or 'weighted' and multi_class 'ovr' or 'ovo', got "
            f"{average!r} and {multi_class!r}"
        )
    classes = range(given.shape[1])
    if multi_class == "ovr":
        areas = [_area(true == c, given[:, c]) for c in classes]
        weights = np.array([np.mean(true == c) for c in classes])
    else:
        pairs = [(a, b) for a in classes for b in classes if a < b]
        areas = [_pair_area(true, given, a, b) for a, b in pairs]
        weights = np.array([np.mean((true == a) | (true == b)) for a, b in pairs])
    return float(np.average(areas, weights=None if average == "macro" else weights))


def log_loss(y_true: ArrayLike, probabilities: ArrayLike, eps: float | None = None) -> float:
    """The mean of −ln p of the true class; probabilities: (n, classes), or (n,) of class 1.

    Probabilities are kept from 0 and 1 by eps (of their dtype unless given), rows made to sum to 1.
    """
    true, given = np.asarray(y_true), np.asarray(probabilities)
    given = given if given.dtype.kind == "f" else given.astype(np.float64)
    small = float(np.finfo(given.dtype).eps) if eps is None else eps
    if given.ndim == 1:
        given = np.stack([1 - given, given], 1)
    _check_scores(true, given)
    safe = np.clip(given.astype(np.float64), small, 1 - small)
    safe /= safe.sum(1, keepdims=True)
    return float(-np.mean(np.log(np.take_along_axis(safe, true[:, None], 1))))


def _check_scores(true: NDArray[np.generic], scores: NDArray[np.generic]) -> None:
    if scores.ndim != 2 or true.shape != scores.shape[:1] or not len(true):
        raise ValueError(
            f"expected labels (n,) and scores (n, classes), got {true.shape} and {scores.shape}"
        )
    if true.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got dtype {true.dtype}")
    if true.min() < 0 or true.max() >= scores.shape[1]:
        raise ValueError(
            f"labels must go from 0 to {scores.shape[1] - 1}; found {true.min()} to {true.max()}"
        )


def _counts(y_true: ArrayLike, y_predicted: ArrayLike) -> tuple[Figures, Figures, Figures]:
    """By class: found, predicted, there."""
    matrix = confusion_matrix(y_true, y_predicted).astype(np.float64)
    return np.diag(matrix).copy(), matrix.sum(0), matrix.sum(1)


def _share(part: Figures, whole: Figures, otherwise: float) -> Figures:
    share = np.full(part.shape, otherwise, np.float64)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _averaged(
    measure: Callable[[Figures, Figures, Figures], Figures],
    counts: tuple[Figures, Figures, Figures],
    average: str | None,
) -> float | Figures:
    if average not in AVERAGES:
        raise ValueError(f"average is one of {', '.join(map(repr, AVERAGES))}, got {average!r}")
    if average == "micro":
        found, taken, there = (count.sum(keepdims=True) for count in counts)
        return float(measure(found, taken, there)[0])
    each = measure(*counts)
    if average is None:
        return each
    if average == "binary":
        if len(each) > 2:
            raise ValueError(f"average='binary' is for two classes, there are {len(each)}")
        return float(each[1]) if len(each) == 2 else 0.0
    _, taken, there = counts
    occurs = taken + there > 0
    weights = there if average == "weighted" else occurs.astype(np.float64)
    return float(np.average(each, weights=weights))


def _area(positive: NDArray[np.bool_], scores: Figures) -> float:
    """By ranks: (Σ ranks of the positives − P (P + 1) / 2) / (P N), ties with their mean rank."""
    yes, no = int(positive.sum()), int((~positive).sum())
    if not yes or not no:
        raise ValueError("ROC AUC needs examples of both classes, one of them is missing")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks = (last - (count - 1) / 2)[place]
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def _pair_area(true: NDArray[np.generic], scores: Figures, a: int, b: int) -> float:
    chosen = (true == a) | (true == b)
    first = _area(true[chosen] == a, scores[chosen, a])
    return (first + _area(true[chosen] == b, scores[chosen, b])) / 2
