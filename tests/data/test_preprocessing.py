"""Preprocessing is fitted on the training part and comes back from its description."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glubina.data import DataError, Preprocessing, Rescale, Reshape, Standardize

RANDOM = np.random.default_rng(0)


def test_standardize_uses_the_training_part_only() -> None:
    train, test = RANDOM.normal(5, 3, (200, 4)), RANDOM.normal(50, 1, (20, 4))
    step = Standardize().fit(train)
    made = step.transform(train)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(made.std(axis=0), 1, atol=1e-6)
    expected = (test - train.mean(axis=0)) / train.std(axis=0)
    np.testing.assert_allclose(step.transform(test), expected, rtol=1e-6)
    np.testing.assert_allclose(step.inverse(step.transform(test)), test, rtol=1e-5)


def test_a_constant_feature_is_only_shifted() -> None:
    x = np.array([[0.1, 1.0, 0.0], [0.1, 2.0, 0.0], [0.1, 3.0, 0.0]])
    made = Standardize().fit(x).transform(np.array([[0.6, 2.0, 1.0]]))
    np.testing.assert_allclose(made, [[0.5, 0.0, 1.0]], atol=1e-6)


def test_standardize_all_values_together() -> None:
    images = RANDOM.normal(3, 2, (50, 4, 4)).astype(np.float32)
    step = Standardize(axis=None).fit(images)
    made = step.transform(images)
    assert made.dtype == np.float32
    np.testing.assert_allclose([made.mean(), made.std()], [0, 1], atol=1e-5)
    assert np.ptp(made.mean(axis=0)) > 0.1  # the pixels keep their differences
    again = Standardize(**json.loads(json.dumps(step.arguments())))
    np.testing.assert_array_equal(again.transform(images), made)
    with pytest.raises(DataError, match="axis=0 or axis=None, got 2"):
        Standardize(axis=2)


def test_standardize_says_what_is_missing() -> None:
    with pytest.raises(DataError, match="has not been fitted"):
        Standardize().transform(np.ones((2, 2)))
    with pytest.raises(DataError, match=r"fitted on examples of shape \(2,\).*\(3,\)"):
        Standardize().fit(np.ones((2, 2))).transform(np.ones((2, 3)))
    with pytest.raises(DataError, match="empty"):
        Standardize().fit(np.ones((0, 2)))


def test_steps_come_back_from_json() -> None:
    images = RANDOM.integers(0, 256, (10, 4, 4)).astype(np.uint8)
    made = Preprocessing(Rescale(1 / 255, -0.5), Reshape((4, 4, 1)), Standardize()).fit(images)
    again = Preprocessing.from_config(json.loads(json.dumps(made.config())))
    x = made.transform(images)
    assert x.shape == (10, 4, 4, 1)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(again.transform(images), x)
    scaled = images[..., None] / np.float64(255) - 0.5
    np.testing.assert_allclose(
        x, (scaled - scaled.mean(axis=0)) / scaled.std(axis=0), rtol=1e-4, atol=1e-5
    )


def test_foreign_descriptions_and_shapes_are_refused() -> None:
    with pytest.raises(DataError, match=r"unknown preprocessing 'os\.system'"):
        Preprocessing.from_config([{"type": "os.system", "arguments": {}}])
    for entry in (3, {"type": ["Rescale"]}):
        with pytest.raises(DataError, match="unknown preprocessing"):
            Preprocessing.from_config([entry])
    for arguments in ({}, {"scale": "x"}, {"scale": 1, "more": 2}, None):
        with pytest.raises(DataError, match="the arguments of Rescale are not as they must be"):
            Preprocessing.from_config([{"type": "Rescale", "arguments": arguments}])
    with pytest.raises(DataError, match=r"shape \(3, 3\) cannot be given the shape \(4, 4, 1\)"):
        Reshape((4, 4, 1)).transform(np.ones((2, 3, 3)))
