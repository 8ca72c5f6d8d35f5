"""Runs that are killed at any moment, and go on, end as a run that was never stopped."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from faults import COUNTED, Ended, Nursery

from glubina.cli.interrupts import stoppable
from glubina.cli.plan import Options, Plan
from glubina.cli.train import _version
from glubina.cli.version import installed_version
from glubina.files import DamagedFileError, locked, sha256
from glubina.recipes import find
from glubina.train import RunFolder

PLAN = ("--epochs", 4, "--seed", 5, "--patience", 2, "--augment", "shift:1", "--ema", 0.9)
OPTIONS = (*PLAN, "--save-steps", 20, "--quiet")


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as made:
        yield made


@pytest.fixture(scope="module")
def whole(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A run that is never stopped; what it did to files, when its kernels were there already."""
    runs = tmp_path_factory.mktemp("runs")
    for name in ("whole", "again"):
        ended = nursery.run("train", "digits", *OPTIONS, "--output", runs / name)
        assert ended.code == 0, ended.text
    same(runs / "again", runs / "whole")
    return runs / "whole", ended


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


def go_on(nursery: Nursery, folder: Path, fault: str = "", threads: int = 2) -> Ended:
    options = *OPTIONS, "--threads", threads, "--resume", folder
    return nursery.run("train", "digits", *options, fault=fault)


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
    for number, moment in enumerate(moments[1:]):
        assert ended.code in (-9, 0), ended.text
        ended = go_on(nursery, folder, moment, threads=1 + number % 2)
    ended = go_on(nursery, folder)
    assert ended.code == 0, ended.text


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments(
    nursery: Nursery, whole: tuple[Path, Ended], tmp_path: Path, seed: int
) -> None:
    folder, ended = whole
    chain(nursery, tmp_path / "run", faults(ended, seed, 6))
    same(tmp_path / "run", folder)


def test_a_full_disk_is_told_and_nothing_is_lost(
    nursery: Nursery, whole: tuple[Path, Ended], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = nursery.run("train", "digits", *OPTIONS, "--output", run, fault="full:4-9")
    assert ended.code == 0
    assert "note: the checkpoint was not written" in ended.text
    assert "no space left on device" in ended.text
    same(run, whole[0])
    shutil.rmtree(run)
    ended = nursery.run("train", "digits", *OPTIONS, "--output", run, fault="full:7-9999")
    assert ended.code == 2
    assert ended.text.splitlines()[-1].endswith("cannot be written: no space left on device")
    assert go_on(nursery, run).code == 0
    same(run, whole[0])


def test_signals_save_and_say_how_to_go_on(
    nursery: Nursery, whole: tuple[Path, Ended], tmp_path: Path
) -> None:
    long = ("train", "digits", "--epochs", 500, "--quiet")
    nursery.run(*long, "--output", tmp_path / "first", fault="stop:2")
    for fault, code in (("stop", 130), ("term", 143)):
        run = tmp_path / fault
        ended = nursery.run(*long, "--output", run, fault=f"{fault}:2")
        assert ended.code == code, ended.text
        name = {"stop": "SIGINT", "term": "SIGTERM"}[fault]
        last = ended.text.splitlines()[-1]
        assert last.startswith(f"training was interrupted by {name} in epoch "), ended.text
        assert last.endswith(f"To go on: glubina train digits --resume {run}")
        assert f"saved in {run}/checkpoints/epoch-" in last


def test_two_trainers_in_one_folder(nursery: Nursery, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with locked(run, "training"):
        for option in ("--output", "--resume"):
            ended = nursery.run("train", "digits", *OPTIONS, option, run)
            assert ended.code == 2
            assert f"process ({os.getpid()} on " in ended.text
            assert "is training in this folder; wait for its end, or name another" in ended.text
    assert not list(run.iterdir())


def test_what_cannot_go_on(nursery: Nursery, whole: tuple[Path, Ended], tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        ended = nursery.run("train", *arguments)
        assert ended.code == 2, ended.text
        return ended.text.splitlines()[-1]

    run = tmp_path / "run"
    moment = f"renamed:{whole[1].counts['renamed'] // 2}"
    assert nursery.run("train", *OPTIONS, "--output", run, fault=moment).code == -9
    line = refused("--resume", run, "--batch-size", 64, "--seed", 6)
    assert "--batch-size 64 was given, and it has 32; --seed 6 was given, and it has 5" in line
    assert "is a run of the recipe 'digits', not of 'fashion-mnist'" in refused(
        "fashion-mnist", "--resume", run
    )
    assert "is not finished; go on with --resume" in refused("--output", run)
    assert "leave out --output" in refused("--resume", run, "--output", tmp_path / "other")
    assert "there is no run folder of this name" in refused("--resume", tmp_path / "missing")
    settings = json.loads((run / "settings.json").read_text())
    del settings["sha256"]
    (run / "settings.json").write_text(json.dumps({**settings, "batch_size": 16}))
    assert "is of a training with batch_size 32, not 16" in refused("--resume", run)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("recipe", [3, None]),
        ("epochs", ["3", 0, -1, 1.5, True, 2**63]),
        ("batch_size", [0, None, [8]]),
        ("learning_rate", ["x", -1, 0, None]),
        ("patience", ["a", 0]),
        ("augment", [5, None]),
        ("ema", ["a", 3, -0.5]),
        ("seed", [-1, "1", 2**70, None]),
    ],
)
def test_settings_that_no_run_begins_with(tmp_path: Path, name: str, values: list[Any]) -> None:
    plan = Plan.of(find("digits"), Options())
    known, folder = asdict(plan), RunFolder(tmp_path)
    assert plan.resumed(folder, known, Options()) == plan
    for value in values:
        with pytest.raises(DamagedFileError, match=rf"settings.json: is damaged: '{name}' is "):
            plan.resumed(folder, {**known, name: value}, Options())


@pytest.mark.parametrize("versions", [None, 3, {}, {"glubina": [1]}, {"glubina": "\x1b[2J"}])
def test_a_version_that_is_none_is_not_told(versions: Any) -> None:
    assert _version({"versions": versions}) == installed_version()
    assert _version({"versions": {"glubina": "0.0.7"}}) == "0.0.7"


def test_sigterm_is_told_once_and_stays_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised, stoppable("do it again"):
        signal.raise_signal(signal.SIGTERM)
    assert raised.value.code == 143
    assert capsys.readouterr().err == "interrupted by SIGTERM. To go on: do it again\n"
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stoppable("do it again"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        assert signal.signal(signal.SIGTERM, before) is signal.SIG_IGN


def test_a_damaged_checkpoint_falls_back(
    nursery: Nursery, whole: tuple[Path, Ended], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    moment = f"renamed:{whole[1].counts['renamed'] - 5}"
    assert nursery.run("train", *OPTIONS, "--output", run, fault=moment).code == -9
    first, last = sorted((run / "checkpoints").glob("epoch-*"))
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    ended = go_on(nursery, run, "rename:2")
    assert f"{last}: is damaged" in ended.text
    assert f"{first.name} before it is taken" in ended.text
    assert last.with_name(last.name + ".damaged").exists()
    assert go_on(nursery, run).code == 0
    same(run, whole[0])


def test_a_folder_without_a_run(
    nursery: Nursery, whole: tuple[Path, Ended], tmp_path: Path
) -> None:
    """Of a run that was killed before it had written anything: the command says what it was."""
    (tmp_path / "empty").mkdir()
    ended = nursery.run("train", "--resume", tmp_path / "empty")
    assert ended.code == 2
    assert "nothing is known of the run; name its recipe as well" in ended.text
    for name in ("empty", "missing"):
        ended = go_on(nursery, tmp_path / name)
        assert ended.code == 0
        assert "note:" in ended.text
        same(tmp_path / name, whole[0])


def test_a_finished_run_says_so(nursery: Nursery, whole: tuple[Path, Ended]) -> None:
    ended = go_on(nursery, whole[0])
    assert ended.code == 0
    assert "is finished: there is nothing to go on with" in ended.text


def test_an_interrupt_before_the_command_begins(nursery: Nursery, tmp_path: Path) -> None:
    ended = nursery.run("train", *OPTIONS, "--output", tmp_path / "run", fault="stop:0.0")
    assert ended.code in (130, -2), ended.text
    assert "Traceback" not in ended.text
