"""Bad data are refused with the place and the remedy."""

from __future__ import annotations

import numpy as np
import pytest

from glubina.data import DataError, DataTypeError
from glubina.data.checks import (
    as_array,
    require_examples,
    require_finite,
    require_labels,
    require_same_length,
)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_row_of_a_bad_value_is_named(bad: float) -> None:
    x = np.zeros((10_000, 3), np.float32)
    require_finite(x, "x")
    x[9000, 2] = bad
    x[9500, 0] = bad
    with pytest.raises(DataError, match=rf"x contains {bad} in row 9000 at position \(2,\); 2 of"):
        require_finite(x, "x")


def test_integers_are_always_finite() -> None:
    require_finite(np.arange(3), "x")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 10], "the label 10 in row 2; the network has 10 outputs, so labels go from 0 to 9"),
        ([0, -1, 1], "the label -1 in row 1"),
    ],
)
def test_labels_out_of_range(labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        require_labels(np.array(labels), 10, "y")


def test_labels_of_the_wrong_type() -> None:
    with pytest.raises(DataTypeError, match=r"dtype float64.*y\.astype\('int64'\)"):
        require_labels(np.array([0.0, 1.0]), 10, "y")
    require_labels(np.array([0, 9], np.uint8), 10, "y")


def test_what_cannot_be_an_array_of_numbers() -> None:
    for value in (["a"], [None], [1j], np.array(["2020-01-01"], "datetime64[D]")):
        with pytest.raises(DataTypeError, match="x has dtype"):
            as_array(value, "x")
    with pytest.raises(DataTypeError, match="x cannot be made an array"):
        as_array([[1, 2], [3]], "x")


def test_lengths() -> None:
    with pytest.raises(DataError, match="x is empty"):
        require_examples(np.zeros((0, 3)), "x")
    with pytest.raises(DataError, match="single number"):
        require_examples(np.float32(3).reshape(()), "x")
    with pytest.raises(DataError, match="x has 3 examples and y has 2"):
        require_same_length(np.zeros(3), np.zeros(2), ("x", "y"))
