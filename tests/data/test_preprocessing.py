"""Preprocessing is fitted on the training part and comes back from its description."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glubina.data import DataError, MinMax, OneHot, Preprocessing, Rescale, Reshape, Standardize

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
    with pytest.raises(DataError, match=r"axis=0 \(each feature\).*got 2"):
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


def test_each_channel_has_its_own_statistics() -> None:
    images = RANDOM.normal([1, 20, -5], [1, 4, 9], (50, 4, 5, 3))
    step = Standardize(axis=(0, 1, 2)).fit(images)
    made = step.transform(images)
    np.testing.assert_allclose(made.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(made.std(axis=(0, 1, 2)), 1, atol=1e-6)
    other = step.transform(RANDOM.normal(size=(2, 9, 9, 3)))  # the size may be another
    assert other.shape == (2, 9, 9, 3)
    again = Standardize(**json.loads(json.dumps(step.arguments())))
    np.testing.assert_array_equal(again.transform(images), made)
    with pytest.raises(DataError, match=r"shape \(1, 1, 3\).*\(4, 5, 4\)"):
        step.transform(np.ones((2, 4, 5, 4)))
    with pytest.raises(DataError, match="no axis 2"):
        Standardize(axis=(0, 2)).fit(np.ones((3, 3)))


@pytest.mark.parametrize("axis", [0, None, (0, 1)])
def test_min_max(axis: int | tuple[int, ...] | None) -> None:
    x = RANDOM.normal(size=(30, 4, 3))
    step = MinMax(-1, 2, axis=axis).fit(x)
    made = step.transform(x)
    least, largest = x.min(axis=axis, keepdims=True), x.max(axis=axis, keepdims=True)
    np.testing.assert_allclose(made, -1 + 3 * (x - least) / (largest - least), atol=1e-5)
    np.testing.assert_allclose(step.inverse(made), x, atol=1e-5)
    again = Preprocessing.from_config(json.loads(json.dumps(Preprocessing(step).config())))
    np.testing.assert_array_equal(again.transform(x), made)


def test_min_max_at_its_edges() -> None:
    made = MinMax().fit(np.array([[3.0], [3.0]])).transform(np.array([[3.0], [4.0]]))
    np.testing.assert_array_equal(made, [[0], [1]])
    with pytest.raises(DataError, match="low < high"):
        MinMax(1, 1)
    with pytest.raises(DataError, match="MinMax has not been fitted"):
        MinMax().transform(np.ones((2, 2)))


def test_one_hot_columns() -> None:
    x = np.array([[0.5, 2, 7], [1.5, 4, 7], [2.5, 2, 8]])
    step = OneHot([1, 2]).fit(x)
    made = step.transform(x)
    np.testing.assert_array_equal(made, [[0.5, 1, 0, 1, 0], [1.5, 0, 1, 1, 0], [2.5, 1, 0, 0, 1]])
    again = Preprocessing.from_config(json.loads(json.dumps(Preprocessing(step).config())))
    np.testing.assert_array_equal(again.transform(np.array([[1, 3, 8]])), [[1, 0, 0, 0, 1]])
    assert OneHot().fit(x).transform(x).shape == (3, 7)
    with pytest.raises(DataError, match="columns 0 to 2"):
        OneHot([3]).fit(x)
    with pytest.raises(DataError, match="fitted on 3 columns and is given 2"):
        OneHot().fit(x).transform(x[:, :2])
