"""Metrics against hand-counted cases and against their definitions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glubina import metrics
from glubina.tensor import Tensor, tensor

TRUE = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 1])


def test_accuracy_and_confusion() -> None:
    assert metrics.accuracy(TRUE, PREDICTED) == 0.5
    matrix = metrics.confusion_matrix(TRUE, PREDICTED)
    assert matrix.tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert metrics.confusion_matrix(TRUE, PREDICTED, classes=4).shape == (4, 4)


def test_report() -> None:
    report = metrics.classification_report(TRUE, PREDICTED, ["cat", "dog", "owl"])
    np.testing.assert_allclose(report.precision, [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(report.recall, [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(report.f1, [2 / 3, 0.4, 0])
    assert report.support.tolist() == [3, 2, 1]
    assert report.macro()["f1"] == pytest.approx((2 / 3 + 0.4) / 3)
    assert report.weighted()["recall"] == pytest.approx(report.accuracy)
    assert report.weighted()["precision"] == pytest.approx((3 * 2 / 3 + 2 / 3) / 6)
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["classes"][1] == {
        "name": "dog",
        "precision": 1 / 3,
        "recall": 0.5,
        "f1": 0.4,
        "support": 2,
    }
    text = str(report)
    assert "owl" in text
    assert "0.4000" in text


def test_division_by_zero_is_defined() -> None:
    report = metrics.classification_report([0, 0, 1], [0, 0, 0], ["a", "b", "c"])
    assert report.precision.tolist() == [2 / 3, 0, 0]
    report = metrics.classification_report([0, 0, 1], [0, 0, 0], ["a", "b", "c"], zero_division=1)
    assert report.precision.tolist() == [2 / 3, 1, 1]  # b and c were never predicted
    assert report.recall.tolist() == [1, 0, 1]  # c never occurs
    assert report.f1.tolist() == [0.8, 0, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_report_follows_the_definitions(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    report = metrics.classification_report(true, predicted, list("abcde"))
    for label in range(5):
        hits = np.sum((true == label) & (predicted == label))
        precision = hits / max(1, np.sum(predicted == label))
        recall = hits / max(1, np.sum(true == label))
        assert report.precision[label] == pytest.approx(precision)
        assert report.recall[label] == pytest.approx(recall)
        f1 = 2 * precision * recall / (precision + recall) if hits else 0
        assert report.f1[label] == pytest.approx(f1)
    assert metrics.confusion_matrix(true, predicted).sum() == len(pairs)


def test_errors_of_numbers() -> None:
    assert metrics.mean_squared_error([1, 2, 4], [1, 0, 1]) == pytest.approx(13 / 3)
    assert metrics.mean_absolute_error([1, 2, 4], [1, 0, 1]) == pytest.approx(5 / 3)
    # In float32 the sum of squares would lose these small differences.
    true = np.full(1000, 1e4, np.float32)
    assert metrics.mean_squared_error(true, true + np.float32(0.125)) == pytest.approx(0.125**2)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        metrics.accuracy([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="n > 0"):
        metrics.accuracy([], [])
    with pytest.raises(TypeError, match="predicted labels must be integers, got dtype float64"):
        metrics.accuracy([1, 2], [0.5, 2])
    with pytest.raises(ValueError, match="labels must go from 0 to 2; found 0 to 3"):
        metrics.confusion_matrix([0, 1], [1, 3], classes=3)
    with pytest.raises(ValueError, match=r"\(3,\) and \(3, 1\)"):
        metrics.mean_squared_error(np.ones(3), np.ones((3, 1)))
    with pytest.raises(ValueError, match="unknown metric 'acuracy'; did you mean 'accuracy' "):
        metrics.resolve("acuracy")
    with pytest.raises(TypeError, match="a metric is a name"):
        metrics.resolve(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outputs", "targets", "hits", "examples"),
    [
        ([[0.1, 0.9, 0], [2, 1, 0], [0, 0, 1]], [1, 0, 1], 2, 3),  # logits and class numbers
        ([[0.1, 0.9, 0], [2, 1, 0]], [[0, 1, 0], [0, 0, 1]], 1, 2),  # and one-hot targets
        ([[0.2], [0.7], [0.9]], [[0.0], [1.0], [0.0]], 2, 3),  # probabilities of one class
        ([[0.2], [0.7], [0.9]], [0, 1, 0], 2, 3),
        ([0.2, 0.7], [0, 0], 1, 2),
        ([[[0.1, 0.9], [2, 1]], [[2, 1], [2, 1]]], [[1, 1], [0, 0]], 3, 4),  # a class per position
    ],
)
def test_running_accuracy(
    outputs: list[object], targets: list[object], hits: int, examples: int
) -> None:
    total, count = metrics.resolve("accuracy").total(tensor(outputs), tensor(targets))
    assert total.item() == hits
    assert count == np.size(targets) // (
        3 if np.shape(outputs) == np.shape(targets) == (2, 3) else 1
    )


def test_running_errors() -> None:
    outputs, targets = tensor([[1.0, 2.0], [3.0, 5.0]]), tensor([[1.0, 0.0], [0.0, 1.0]])
    total, count = metrics.resolve("mse").total(outputs, targets)
    assert (total.item(), count) == (29.0, 4)
    total, count = metrics.resolve("mae").total(outputs, targets)
    assert (total.item(), count) == (9.0, 4)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) and the targets \(2,\)"):
        metrics.resolve("mae").total(outputs, tensor([1.0, 2.0]))


def test_a_metric_of_one_s_own() -> None:
    def bias(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
        return (outputs - targets).sum(), outputs.shape[0]

    metric = metrics.resolve(bias)
    assert metric.name == "bias"
    assert metric.total(tensor([1.0, 2.0]), tensor([0.0, 0.0]))[0].item() == 3
    assert metrics.resolve(metric) is metric
