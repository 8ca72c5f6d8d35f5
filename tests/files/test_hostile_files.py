"""Hostile files, each read in a process with little memory: one clear error, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SLOWEST = 10.0  # seconds, on a busy machine; most take milliseconds
MOST = 256 * 2**20  # bytes that the process may grow by

KINDS = {"FileError", "DataError"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What came of each file: see tests/hostile_files.py."""
    pytest.importorskip("PIL")
    folder = tmp_path_factory.mktemp("hostile")
    found = subprocess.run(
        [sys.executable, "-W", "ignore", ROOT / "tests" / "hostile_files.py", folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    assert not list(folder.rglob("owned"))
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_each_gives_one_clear_error(outcomes: list[dict[str, Any]]) -> None:
    assert len(outcomes) > 150
    for found in outcomes:
        told = f"{found['name']}: {found['kinds'][:1]} {found['text'][:500]}"
        assert re.search(found["says"], found["text"]), told
        allowed = KINDS | ({"ValueError"} if "is a pickle" in found["text"] else set())
        assert allowed & set(found["kinds"]), told
        assert found["path"] in found["text"] or found["name"].startswith("name: "), told
        assert len(found["text"]) < 3000 + len(found["path"]), told
        assert "\n" not in found["text"] or "read as" in found["name"], told


def test_nothing_is_run_written_or_unpickled(outcomes: list[dict[str, Any]]) -> None:
    assert [found for found in outcomes if found["started"]] == []


def test_nothing_takes_long_or_much(outcomes: list[dict[str, Any]]) -> None:
    for found in outcomes:
        assert found["seconds"] < SLOWEST, found
        assert found["grown"] < MOST, found
