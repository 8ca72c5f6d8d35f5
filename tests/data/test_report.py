"""The report on a data set: every figure against NumPy, every note where it belongs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glubina.data import Opened, open_data, report

RANDOM = np.random.default_rng(0)


def test_images() -> None:
    x = RANDOM.integers(0, 256, (5000, 6, 7, 3)).astype(np.uint8)  # more than are read at a time
    y = RANDOM.integers(0, 3, 5000)
    test = x[:40].copy()
    test[10:] = RANDOM.integers(0, 256, (30, 6, 7, 3))
    x[4999], y[4999] = x[0], (y[0] + 1) % 3
    x[4998], y[4998] = x[1], y[1]
    made = report(Opened("some", {"train": (x, y), "test": (test, y[:40])}, ("a", "b", "c")))
    assert made["kind"] == "images"
    part = made["parts"]["train"]
    assert (part["examples"], part["shape"], part["dtype"]) == (5000, [6, 7, 3], "uint8")
    assert part["mean"] == pytest.approx(x.mean())
    assert part["std"] == pytest.approx(x.std())
    assert (part["min"], part["max"], part["missing"]) == (0, 255, 0)
    for channel in range(3):
        assert part["channels"][channel]["mean"] == pytest.approx(x[..., channel].mean())
        assert part["channels"][channel]["std"] == pytest.approx(x[..., channel].std())
    counts = np.bincount(y)
    assert [entry["count"] for entry in part["classes"]] == counts.tolist()
    np.testing.assert_allclose(
        [entry["weight"] for entry in part["classes"]], 5000 / 3 / counts, rtol=1e-4
    )
    double = made["duplicates"]
    assert double["within"] == {"train": 2, "test": 0}
    assert double["across"] == {"train, test": 10}
    assert double["conflicting"] == 3  # both in train, and the same in test
    notes = "\n".join(made["notes"])
    assert "2 examples of train occur twice" in notes
    assert "10 examples of test are also in train: a leak" in notes
    assert "3 examples occur with different targets" in notes
    json.dumps(made)


def test_a_table_with_everything_wrong() -> None:
    x = RANDOM.normal(size=(100, 3))
    x[:, 1] = 7
    x[3, 0], x[4, 2], x[5, 2] = np.nan, np.nan, np.inf
    y = np.repeat([0, 1, -1], [90, 8, 2])
    made = report(Opened("t", {"all": (x, y)}, ("yes", "no"), ("a", "b", "c")))
    assert made["kind"] == "table"
    column = made["columns"][0]
    assert column["mean"] == pytest.approx(np.nanmean(x[:, 0]))
    assert column["std"] == pytest.approx(np.nanstd(x[:, 0]))
    assert [c["missing"] for c in made["columns"]] == [1, 0, 1]
    assert [c["constant"] for c in made["columns"]] == [False, True, False]
    assert made["parts"]["all"]["infinite"] == 1
    assert [c["count"] for c in made["parts"]["all"]["classes"]] == [90, 8]
    notes = "\n".join(made["notes"])
    for text in (
        "2 missing values",
        "1 infinite values",
        "2 examples without a target",
        "the classes are unbalanced (8 to 90 examples)",
        "nothing can be learnt from them: b",
    ):
        assert text in notes


def test_targets_of_a_regression() -> None:
    y = RANDOM.normal(size=50)
    made = report(Opened("r", {"all": (RANDOM.normal(size=(50, 2)), y)}))
    target = made["parts"]["all"]["target"]
    assert target["mean"] == pytest.approx(y.mean())
    assert target["std"] == pytest.approx(y.std())
    assert "classes" not in made["parts"]["all"]
    many = report(Opened("r", {"all": (np.ones((500, 2)), np.arange(500))}))
    assert "target" in many["parts"]["all"], "whole numbers, but not classes"
    assert many["duplicates"] == {"within": {"all": 499}, "across": {}, "conflicting": 500}


def test_digits_are_clean() -> None:
    made = report(open_data("digits"))
    assert made["notes"] == []
    assert sum(entry["count"] for entry in made["parts"]["all"]["classes"]) == 1797
