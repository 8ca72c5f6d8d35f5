"""The recipes: their networks, and a run of each on a small set made for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import glubina as gl
from glubina import models
from glubina.cli.app import app
from glubina.recipes import RECIPES, fashion_mnist

PARAMETERS = {
    "digits": 38_282,
    "fashion-mnist": 1_199_882,
    "fashion-mnist-inception": 383_466,
    "fashion-mnist-best": 1_645_536,
}


@pytest.fixture
def clothes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of Fashion-MNIST: a bright square in one of ten places, and noise."""

    def some(count: int) -> tuple[Any, Any]:
        random = np.random.default_rng(count)
        y = np.arange(count) % 10
        x = random.integers(0, 60, (count, 28, 28))
        for image, label in zip(x, y):
            row, column = 14 * (label // 5), 5 * (label % 5)
            image[row + 4 : row + 9, column + 1 : column + 5] += 190
        return x.astype(np.uint8), y.astype(np.int64)

    monkeypatch.setattr(fashion_mnist, "fashion_mnist", lambda: (some(400), some(100)))


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_networks(name: str) -> None:
    net = RECIPES[name].model()
    net.eval()
    shape = (2, 8, 8, 1) if name == "digits" else (2, 28, 28, 1)
    assert net(gl.zeros(shape)).shape == (2, 10)
    assert models.count(net) == PARAMETERS[name]


@pytest.mark.filterwarnings("ignore:.*different programs")
@pytest.mark.parametrize("name", ["fashion-mnist-inception", "fashion-mnist-best"])
def test_a_run_of_the_homework(
    name: str, clothes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = RECIPES[name]
    monkeypatch.setitem(RECIPES, name, replace(whole, batch_size=38, augment="shift:1,cutout:4"))
    options = ["--epochs", "2", "--ema", "0.7", "--quiet", "--output", str(tmp_path)]
    result = CliRunner().invoke(app, ["train", name, *options])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert np.sum(figures["confusion"]) == figures["examples"] == 100
    assert len(figures["classes"]) == 10
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["views"] == ["same", "mirrored"]
    head, *epochs = (tmp_path / "history.csv").read_text().splitlines()
    names = head.split(",")
    assert {"val_accuracy", "val_f1"} < set(names)
    first, last = (float(line.split(",")[names.index("loss")]) for line in epochs)
    assert last < first
    again = CliRunner().invoke(app, ["evaluate", str(tmp_path)])
    assert "The figures are those in" in again.output
    x = np.zeros((1, 28, 28), np.uint8)
    np.save(tmp_path / "black.npy", x)
    answer = CliRunner().invoke(app, ["predict", str(tmp_path), str(tmp_path / "black.npy")])
    assert answer.exit_code == 0, answer.output


def test_the_validation_part_is_held_back(clothes: None) -> None:
    parts = fashion_mnist.data(0)
    assert (len(parts.train[1]), len(parts.validation[1]), len(parts.test[1])) == (380, 20, 100)
    assert np.bincount(parts.validation[1]).tolist() == [2] * 10


def test_the_schedule_rises_and_falls() -> None:
    from glubina.recipes.plans import nesterov, one_cycle

    w = gl.tensor(np.zeros((2, 2), np.float32), requires_grad=True)
    b = gl.tensor(np.zeros(2, np.float32), requires_grad=True)
    rule = nesterov(iter([w, b]), 0.2)
    assert [group["weight_decay"] for group in rule.param_groups] == [5e-4, 0.0]
    plan, rates = one_cycle(rule, 100), []
    for _ in range(99):
        rates.append(rule.param_groups[1]["lr"])
        plan.step()
    assert rates[0] == pytest.approx(0.01)
    assert np.argmax(rates) == 19
    assert max(rates) == pytest.approx(0.2)
    assert rule.param_groups[0]["lr"] < 0.001
