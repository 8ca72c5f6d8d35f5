"""Metrics as objects, in loops of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from glubina import keras
from glubina.keras import metrics


def test_a_metric_adds_up_mini_batches_and_begins_anew() -> None:
    metric = metrics.SparseCategoricalAccuracy()
    assert float(metric.result()) == 0
    metric.update_state([0, 1], np.array([[0.9, 0.1], [0.8, 0.2]]))
    metric.update_state([1], np.array([[0.1, 0.9]]))
    assert float(metric.result()) == pytest.approx(2 / 3)
    metric.reset_state()
    assert float(metric([1, 1], np.array([[0.1, 0.9], [0.2, 0.8]]))) == 1
    metric.reset_states()
    assert float(metric.result()) == 0


def test_weights_of_examples() -> None:
    metric = metrics.MeanSquaredError()
    metric.update_state([[1.0], [2.0]], [[2.0], [4.0]], sample_weight=[3.0, 1.0])
    assert float(metric.result()) == pytest.approx((3 * 1 + 1 * 4) / 4)
    with pytest.raises(ValueError, match="precision takes no sample_weight"):
        metrics.Precision().update_state([1.0], [1.0], sample_weight=[1.0])
    with pytest.raises(ValueError, match=r"sample_weight has the shape \(3,\)"):
        metric.update_state([[1.0], [2.0]], [[2.0], [4.0]], sample_weight=[1.0, 1.0, 1.0])


def test_mean_and_sum_of_values() -> None:
    mean, total = metrics.Mean(name="loss"), metrics.Sum()
    for values in ([1.0, 2.0], [6.0]):
        mean.update_state(values)
        total.update_state(values)
    assert float(mean.result()) == 3
    assert float(total.result()) == 9
    assert mean.name == "loss"
    mean.reset_state()
    mean.update_state([1.0, 3.0], sample_weight=[1.0, 3.0])
    assert float(mean.result()) == 2.5


@pytest.mark.parametrize("make", [metrics.Precision, metrics.Recall, metrics.AUC])
def test_counting_metrics_are_those_of_the_whole(make: type[metrics.Metric]) -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 40).astype(np.float32), rng.random(40).astype(np.float32)
    whole, parts = make(), make()
    whole.update_state(y, p)
    for start in range(0, 40, 10):
        parts.update_state(y[start : start + 10], p[start : start + 10])
    assert float(whole.result()) == pytest.approx(float(parts.result()))
    assert 0 < float(whole.result()) < 1


def test_objects_still_go_into_compile() -> None:
    model = keras.Sequential([keras.layers.Dense(2, activation="softmax", input_shape=(3,))])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[
        metrics.SparseCategoricalAccuracy(name="hit"),
    ])  # fmt: skip
    found = model.evaluate(np.ones((4, 3)), np.zeros(4), verbose=0, return_dict=True)
    assert "hit" in found
