"""What fit is given is checked, and targets are fitted to the outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glubina.data import DataError, DataLoader, DataTypeError, TensorDataset
from glubina.train.inputs import batches, examples_of, fit_targets, inputs_of

FLOAT = np.dtype(np.float32)
X, Y = np.ones((6, 2)), np.array([0, 1, 2, 0, 1, 2])


def fitted(y: Any, outputs: tuple[int, ...], labels: bool) -> np.ndarray:
    return fit_targets(np.asarray(y), outputs, labels, FLOAT, "y")


def test_forms_of_data() -> None:
    for made in (
        batches(X, Y, 4, FLOAT),
        batches((X, Y), None, 4, FLOAT),
        batches(TensorDataset(X, Y), None, 4, FLOAT),
        batches(DataLoader((X, Y), batch_size=4), None, 32, FLOAT),
        batches(X.tolist(), Y.tolist(), 4, FLOAT),
    ):
        assert made.examples is not None
        assert made.examples.x.dtype == np.float32
        assert made.examples.y.dtype == np.int64
        assert (made.count, made.steps, made.batch_size) == (6, 2, 4)
    dropped = batches(DataLoader((X, Y), batch_size=4, drop_last=True), None, 32, FLOAT)
    assert (dropped.count, dropped.steps) == (4, 1)


def test_pictures_stay_bytes() -> None:
    assert inputs_of(np.zeros((2, 4, 4), np.uint8), FLOAT).dtype == np.uint8
    assert batches(np.zeros((6, 4, 4), np.uint8), Y, 2, FLOAT).unit == "images"
    assert inputs_of(np.zeros((2, 4), bool), FLOAT).dtype == np.float32


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (X[:0], Y[:0], DataError, "x is empty"),
        (X, Y[:-1], DataError, "x has 6 examples and y has 5"),
        (X, None, DataError, "y is missing"),
        (np.full((6, 2), np.nan), Y, DataError, r"x contains nan in row 0 at position \(0,\)"),
        (np.full((6, 2), 1e300), Y, DataError, "x contains inf"),  # too large for float32
        (X, np.full(6, np.inf), DataError, "y contains inf in row 0"),
        (X.astype(str), Y, DataTypeError, "x has dtype <U"),
        (X, Y.astype(object), DataTypeError, "y has dtype object"),
        (DataLoader((X, Y)), Y, DataError, "leave y out"),
        (TensorDataset(X), None, DataTypeError, "training takes two"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_data_that_cannot_be_used(x: Any, y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        batches(x, y, 2, FLOAT)


def test_a_batch_size_of_nothing() -> None:
    with pytest.raises(DataError, match="batch_size must be a whole number of at least 1, got 0"):
        batches(X, Y, 0, FLOAT)


def test_labels() -> None:
    assert fitted(Y.astype(np.uint8), (1, 3), True).dtype == np.int64
    assert fitted(Y[:, None], (1, 3), True).shape == (6,)
    assert fitted(np.zeros((6, 5), int), (1, 5, 3), True).shape == (6, 5)
    soft = np.full((6, 3), 1 / 3)
    assert fitted(soft, (1, 3), True).dtype == np.float32


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([0, 3], DataError, "the label 3 in row 1; the network has 3 outputs"),
        ([0, -1], DataError, "the label -1 in row 1"),
        ([0.0, 1.0], DataTypeError, r"dtype float64.*y\.astype\('int64'\)"),
        (np.zeros((2, 2), int), DataError, r"expects one class number per example: shape \(2,\)"),
        (np.eye(3, dtype=int), DataError, r"y\.argmax\(-1\)"),
    ],
)
def test_labels_that_cannot_be_used(y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fitted(y, (1, 3), True)


def test_numbers() -> None:
    assert fitted(np.arange(4), (1, 1), False).shape == (4, 1)
    assert fitted(np.arange(4), (1, 1), False).dtype == np.float32
    with pytest.raises(DataError, match=r"y has examples of shape \(2,\).*outputs.*\(3,\)"):
        fitted(np.zeros((4, 2)), (1, 3), False)


def test_validation_data_are_named() -> None:
    with pytest.raises(DataError, match="validation x has 6 examples and validation y has 5"):
        examples_of(X, Y[:-1], FLOAT, "validation ")
