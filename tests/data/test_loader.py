"""Data sets and mini-batches: every example once, reproducible orders, clear refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina.data import DataError, DataLoader, DataTypeError, TensorDataset

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


def batches(loader: DataLoader) -> list[tuple[np.ndarray, ...]]:
    return [tuple(part.numpy() for part in batch) for batch in loader]


def test_a_data_set_of_arrays_and_tensors() -> None:
    dataset = TensorDataset(X, gl.tensor(Y))
    assert len(dataset) == 10
    x, y = dataset[3]
    np.testing.assert_array_equal(x.numpy(), [6, 7])
    assert y.item() == 3


def test_mini_batches_in_order() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=4)
    made = batches(loader)
    assert len(loader) == len(made) == 3
    assert [len(x) for x, _ in made] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in made]), X)
    assert made[0][0].dtype == np.float32
    assert made[0][1].dtype == np.int64


def test_drop_last() -> None:
    loader = DataLoader((X, Y), batch_size=4, drop_last=True)
    assert len(loader) == len(batches(loader)) == 2


def test_shuffling_keeps_pairs_and_changes_every_epoch() -> None:
    loader = DataLoader((X, Y), batch_size=3, shuffle=True, seed=5)
    first, second = batches(loader), batches(loader)
    for epoch in (first, second):
        y = np.concatenate([y for _, y in epoch])
        np.testing.assert_array_equal(np.sort(y), Y)
        np.testing.assert_array_equal(np.concatenate([x for x, _ in epoch]), X[y])
    assert any((a[1] != b[1]).any() for a, b in zip(first, second))
    again = DataLoader((X, Y), batch_size=3, shuffle=True, seed=5)
    for a, b in zip(first, batches(again)):
        np.testing.assert_array_equal(a[1], b[1])


def test_without_a_seed_manual_seed_rules() -> None:
    orders = []
    for seed in (1, 1, 2):
        gl.manual_seed(seed)
        loader = DataLoader((X, Y), batch_size=10, shuffle=True)
        orders.append(batches(loader)[0][1])
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()


class Squares:
    """A data set of one's own."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return np.float32(index), index * index


def test_a_data_set_of_one_s_own() -> None:
    made = batches(DataLoader(Squares(), batch_size=2))
    assert [y.tolist() for _, y in made] == [[0, 1], [4, 9], [16]]


def test_refusals() -> None:
    with pytest.raises(DataError, match="10 examples and array 1 has 9"):
        TensorDataset(X, Y[:-1])
    with pytest.raises(DataError, match="empty"):
        TensorDataset(X[:0])
    with pytest.raises(DataTypeError, match="dtype <U1"):
        TensorDataset(np.array(["a", "b"]))
    with pytest.raises(DataError, match="at least 1, got 0"):
        DataLoader((X, Y), batch_size=0)
    with pytest.raises(DataError, match="no mini-batch would be left"):
        DataLoader((X, Y), batch_size=11, drop_last=True)

    class Ragged(Squares):
        def __getitem__(self, index: int) -> Any:
            return np.zeros(index)

    with pytest.raises(DataError, match="different shapes"):
        list(DataLoader(Ragged(), batch_size=5))
