"""Orders and splits are permutations, follow their seed, and keep the classes' shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glubina.data import (
    DataError,
    class_weights,
    epoch_order,
    k_fold,
    split_order,
    train_test_split,
    train_validation_test_split,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**63), st.integers(0, 1000))
def test_an_epoch_s_order_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(count))
    np.testing.assert_array_equal(order, epoch_order(count, seed, epoch))


def test_epochs_and_seeds_differ() -> None:
    first = epoch_order(100, 1, 0)
    assert (first != epoch_order(100, 1, 1)).any()
    assert (first != epoch_order(100, 2, 0)).any()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=8),
    st.floats(0.05, 0.95),
    st.integers(0, 1000),
)
def test_a_stratified_split_keeps_the_shares(sizes: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    count = len(labels)
    if not 0 < round(count * share) < count:
        return
    train, test = split_order(count, share, seed, labels)
    assert len(test) == round(count * share)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(count))
    held = np.bincount(labels[test], minlength=len(sizes))
    assert (np.abs(held - np.array(sizes) * len(test) / count) <= 1).all()


def test_train_test_split() -> None:
    x, y = np.arange(20).reshape(10, 2), np.arange(10) % 2
    x_train, x_test, y_train, y_test = train_test_split(x, y, 0.4, stratify=True, seed=3)
    assert len(x_train) == len(y_train) == 6
    assert y_test.tolist().count(0) == 2
    np.testing.assert_array_equal(x_train[:, 0] // 2 % 2, y_train)
    np.testing.assert_array_equal(x_test[:, 0] // 2 % 2, y_test)
    assert y_train.tolist() != sorted(y_train.tolist())  # shuffled


@pytest.mark.parametrize(
    ("count", "share", "labels", "message"),
    [
        (10, 0.0, None, "between 0 and 1"),
        (10, 1.5, None, "between 0 and 1"),
        (3, 0.1, None, "leave 3 for training and 0 for testing"),
        (4, 0.5, [0, 0, 0, 1], "the class 1 has one example"),
        (4, 0.5, [0, 0, 1], "3 labels for 4 examples"),
    ],
)
def test_splits_that_cannot_be(
    count: int, share: float, labels: list[int] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        split_order(count, share, 0, None if labels is None else np.array(labels))


def test_three_parts() -> None:
    x, y = np.arange(200), np.repeat([0, 1], [160, 40])
    parts = train_validation_test_split(x, y, 0.1, 0.25, stratify=True, seed=3)
    assert [len(part[0]) for part in parts] == [130, 20, 50]
    assert [int(part[1].sum()) for part in parts] == [26, 4, 10]
    assert sorted(np.concatenate([part[0] for part in parts])) == list(range(200))
    for inputs, labels in parts:
        np.testing.assert_array_equal(y[inputs], labels)
    with pytest.raises(DataError, match="sum below 1"):
        train_validation_test_split(x, y, 0.5, 0.5)


@pytest.mark.parametrize("stratify", [False, True])
def test_folds(stratify: bool) -> None:
    y = np.repeat([0, 1, 2], [50, 30, 23])
    found = k_fold(103, 5, seed=1, stratify=y if stratify else None)
    assert sorted(np.concatenate([held for _, held in found])) == list(range(103))
    for train, held in found:
        assert len(held) in (20, 21)
        assert sorted(np.concatenate([train, held])) == list(range(103))
        if stratify:
            np.testing.assert_allclose(np.bincount(y[held]), [10, 6, 4.6], atol=1)
    with pytest.raises(DataError, match="folds must lie between 2"):
        k_fold(3, 4)


def test_class_weights_make_classes_count_alike() -> None:
    y = np.array([0, 0, 0, 2, 2, 0])
    np.testing.assert_allclose(class_weights(y), [0.5, 0, 1])
    assert class_weights(y, 4).shape == (4,)
    balanced = np.array([0, 1, 1, 1])
    weights = class_weights(balanced)
    assert weights[balanced].mean() == pytest.approx(1)
    assert weights[0] == pytest.approx(3 * weights[1])
    for wrong in (np.array([0.5]), np.array([-1, 0]), np.zeros((2, 2), int)):
        with pytest.raises(DataError):
            class_weights(wrong)
