"""Scores against their definitions, counted by hand or pair by pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glubina as gl
from glubina import metrics, nn, optim

TRUE = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 1])


def test_precision_recall_and_f() -> None:
    np.testing.assert_allclose(metrics.precision_score(TRUE, PREDICTED, None), [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(metrics.recall_score(TRUE, PREDICTED, None), [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(metrics.f1_score(TRUE, PREDICTED, None), [2 / 3, 2 / 5, 0])
    assert metrics.f1_score(TRUE, PREDICTED) == pytest.approx((2 / 3 + 2 / 5) / 3)
    assert metrics.f1_score(TRUE, PREDICTED, "micro") == pytest.approx(0.5)
    weighted = (3 * 2 / 3 + 2 * 2 / 5) / 6
    assert metrics.f1_score(TRUE, PREDICTED, "weighted") == pytest.approx(weighted)
    p, r = 1 / 3, 1 / 2
    f2 = metrics.fbeta_score(TRUE, PREDICTED, 2.0, None)
    assert f2[1] == pytest.approx(5 * p * r / (4 * p + r))  # type: ignore[index]
    assert metrics.f1_score([0, 1, 1], [1, 1, 0], "binary") == pytest.approx(0.5)


def test_classes_that_do_not_occur_do_not_count() -> None:
    assert metrics.f1_score([0, 3], [0, 3]) == 1.0
    assert metrics.f1_score([0, 3], [0, 3], None, zero_division=7).tolist() == [1, 7, 7, 1]  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_roc_auc_is_the_chance_of_the_right_order(pairs: list[tuple[bool, int]]) -> None:
    true, scores = np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs], float)
    if true.min() == true.max():
        with pytest.raises(ValueError, match="needs examples of both classes"):
            metrics.roc_auc_score(true, scores)
        return
    won = [
        (a > b) + (a == b) / 2 for a, b in itertools.product(scores[true == 1], scores[true == 0])
    ]
    assert metrics.roc_auc_score(true, scores) == pytest.approx(np.mean(won))


def test_roc_auc_of_many_classes() -> None:
    rng = np.random.default_rng(0)
    true, scores = rng.integers(0, 3, 60), rng.random((60, 3))
    each = [metrics.roc_auc_score((true == c).astype(int), scores[:, c]) for c in range(3)]
    assert metrics.roc_auc_score(true, scores) == pytest.approx(np.mean(each))
    weights = np.bincount(true)
    expected = np.average(each, weights=weights)
    assert metrics.roc_auc_score(true, scores, "weighted") == pytest.approx(expected)


def test_top_k_and_log_loss() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.35, 0.25]])
    assert metrics.top_k_accuracy([0, 1, 2], scores, 1) == pytest.approx(1 / 3)
    assert metrics.top_k_accuracy([0, 1, 2], scores, 2) == pytest.approx(2 / 3)
    expected = -np.mean(np.log([0.5, 0.2, 0.25]))
    assert metrics.log_loss([0, 1, 2], scores) == pytest.approx(expected)
    assert metrics.log_loss([1, 0], [1.0, 1.0]) == pytest.approx(-math.log(np.finfo(float).eps) / 2)


def test_regression_scores() -> None:
    true, found = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 6])
    assert metrics.r2_score(true, found) == pytest.approx(1 - 4 / 5)
    assert metrics.root_mean_squared_error(true, found) == pytest.approx(1.0)
    assert metrics.r2_score([2, 2], [2, 2]) == 1.0
    assert metrics.r2_score([2, 2], [2, 3]) == 0.0


def test_fit_counts_over_the_whole_set() -> None:
    """Not the mean over mini-batches, whose F1 and R² are other numbers."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((250, 4)).astype(np.float32)
    y = rng.integers(0, 3, 250)
    model = nn.Linear(4, 3)
    names = ["accuracy", "f1", "f1_weighted", "f1_micro", "precision", "recall", "top5_accuracy"]
    model.compile(optim.SGD(model.parameters(), lr=0.1), "cross_entropy", names)
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    found = model.evaluate(x, y, batch_size=64)
    guess = model.predict(x).argmax(-1)
    for name, expected in (
        ("accuracy", metrics.accuracy(y, guess)),
        ("f1", metrics.f1_score(y, guess)),
        ("f1_weighted", metrics.f1_score(y, guess, "weighted")),
        ("f1_micro", metrics.f1_score(y, guess, "micro")),
        ("precision", metrics.precision_score(y, guess)),
        ("recall", metrics.recall_score(y, guess)),
        ("top5_accuracy", 1.0),
    ):
        assert found[name] == pytest.approx(expected), name


def test_regression_in_fit() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((130, 3)).astype(np.float32)
    y = (x @ [[1.0], [2], [-1]] + 3).astype(np.float32)
    model = nn.Linear(3, 1)
    model.compile(optim.SGD(model.parameters(), lr=0.01), "mse", ["rmse", "r2"])
    history = model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    assert history.history["r2"][1] > history.history["r2"][0]
    found, y_found = model.evaluate(x, y, batch_size=50), model.predict(x)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, y_found), rel=1e-5)
    assert found["r2"] == pytest.approx(metrics.r2_score(y, y_found), rel=1e-5)


def test_ones_own_metric_with_a_finish() -> None:
    largest = metrics.Metric(
        "spread",
        lambda outputs, targets: ((outputs * outputs).sum(axis=0), len(targets)),
        lambda sums, count: float(np.sqrt(sums / count).max()),
    )
    x, y = np.ones((10, 2), np.float32), np.zeros((10, 2), np.float32)
    model = nn.Identity()
    trainer = gl.train.Trainer(model, None, nn.MSELoss(), [largest])
    assert trainer.evaluate(x * [[2, 3]], y)["spread"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: metrics.f1_score([0], [0], "mean"), "average is one of 'macro', 'micro',"),
        (lambda: metrics.f1_score([0, 2], [0, 1], "binary"), "is for two classes, there are 3"),
        (lambda: metrics.fbeta_score([0], [0], 0), "beta must be positive, got 0"),
        (lambda: metrics.top_k_accuracy([0], [[1.0, 2]], 3), "between 1 and 2 classes, got 3"),
        (lambda: metrics.top_k_accuracy([2], [[1.0, 2]], 1), "labels must go from 0 to 1"),
        (lambda: metrics.log_loss([0, 1], [[0.5, 0.5]]), r"got \(2,\) and \(1, 2\)"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
