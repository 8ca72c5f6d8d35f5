"""Runs that are killed at any moment, and go on, end as a run that was never stopped."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import COUNTED, Ended, Nursery

from glubina.files import locked, sha256

PLAN = ("--epochs", 4, "--seed", 5, "--patience", 2, "--augment", "shift:1", "--ema", 0.9)
OPTIONS = (*PLAN, "--save-steps", 20, "--quiet")


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as made:
        yield made


@pytest.fixture(scope="module")
def whole(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A run that is never stopped."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    ended = nursery.run("train", "digits", *OPTIONS, "--output", folder)
    assert ended.code == 0, ended.text
    return folder, ended


def same(folder: Path, whole: Path) -> None:
    """The weights, the figures and the pictures are the same, bit for bit; so is the history."""
    for name in ("model.safetensors", "model.json", "metrics.json", "curves.png", "confusion.png"):
        if (whole / name).exists():
            assert sha256(folder / name) == sha256(whole / name), name
    first, second = (without_seconds(path) for path in (folder, whole))
    assert first == second
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in whole.iterdir()}


def without_seconds(folder: Path) -> list[list[str]]:
    lines = (folder / "history.csv").read_text().splitlines()
    assert lines[0].endswith(",seconds")
    return [line.split(",")[:-1] for line in lines]


def go_on(nursery: Nursery, folder: Path, fault: str = "") -> Ended:
    return nursery.run("train", "digits", *OPTIONS, "--resume", folder, fault=fault)


def faults(whole: Ended, seed: int, number: int) -> list[str]:
    """Moments at random: of each kind of work on files, and by the clock."""
    chance = random.Random(seed)
    kinds = [*COUNTED, "time", "time"]
    found = []
    for i in range(number):
        kind = kinds[i % len(kinds)]
        at: Any = round(chance.uniform(0.0, 1.2), 3)
        if kind in COUNTED:
            at = chance.randint(1, whole.counts[kind])
        found.append(f"{kind}:{at}")
    return found


def chain(nursery: Nursery, folder: Path, moments: list[str]) -> None:
    """Kill a run and what goes on with it again and again; at the end let it come through."""
    ended = nursery.run("train", "digits", *OPTIONS, "--output", folder, fault=moments[0])
    for moment in moments[1:]:
        assert ended.code in (-9, 0), ended.text
        ended = go_on(nursery, folder, moment)
    ended = go_on(nursery, folder)
    assert ended.code == 0, ended.text


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments(
    nursery: Nursery, whole: tuple[Path, Ended], tmp_path: Path, seed: int
) -> None:
    folder, ended = whole
    chain(nursery, tmp_path / "run", faults(ended, seed, 6))
    same(tmp_path / "run", folder)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 22))
def test_killed_at_many_random_moments(
    nursery: Nursery, whole: tuple[Path, Ended], tmp_path: Path, seed: int
) -> None:
    folder, ended = whole
    chain(nursery, tmp_path / "run", faults(ended, seed, 10))
    same(tmp_path / "run", folder)
