"""History keeps the figures of the epochs and gives them back unchanged."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from glubina.train import History


def history() -> History:
    made = History()
    made.append(1, {"loss": 0.3, "val_loss": 0.5, "val_accuracy": 0.8})
    made.append(2, {"loss": 0.2, "val_loss": 0.4, "val_accuracy": 0.9})
    made.append(3, {"loss": 0.1, "val_loss": 0.4, "val_accuracy": 0.7})
    return made


def test_figures_by_name() -> None:
    made = history()
    assert made["loss"] == [0.3, 0.2, 0.1]
    assert made.names == ("loss", "val_loss", "val_accuracy")
    assert len(made) == 3
    assert list(made)[1] == {"loss": 0.2, "val_loss": 0.4, "val_accuracy": 0.9}
    with pytest.raises(KeyError, match="no figure 'acc'; there are loss, val_loss, val_accuracy"):
        made["acc"]


def test_the_best_epoch() -> None:
    made = history()
    assert made.best_epoch() == 2  # the first of equals
    assert made.best_epoch("val_accuracy") == 2
    assert made.best_epoch("loss") == 3
    made.append(4, {"loss": 0.1, "val_loss": math.nan, "val_accuracy": math.nan})
    assert made.best_epoch("val_accuracy") == 2
    with pytest.raises(ValueError, match="no epoch"):
        History().best_epoch()


def test_a_figure_that_comes_late() -> None:
    made = History()
    made.append(1, {"loss": 1.0})
    made.append(2, {"loss": 0.5, "extra": 2.0})
    made.append(3, {"loss": 0.4})
    assert math.isnan(made["extra"][0])
    assert made["extra"][1] == 2
    assert math.isnan(made["extra"][2])


def test_csv_reads_back_exactly(tmp_path: Path) -> None:
    made = History()
    made.append(1, {"loss": 0.1 + 0.2, "val_loss": 1e-300})
    made.append(2, {"loss": math.inf, "val_loss": 1 / 3})
    made.save(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert [float(row["loss"]) for row in rows] == [0.1 + 0.2, math.inf]
    assert [float(row["val_loss"]) for row in rows] == [1e-300, 1 / 3]
