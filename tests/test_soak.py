"""Two minutes of the long trial of `tests/soak.py`."""

from __future__ import annotations

from soak import soak


def test_two_minutes_of_faults_lose_nothing() -> None:
    counts = soak(120, seed=1)
    assert counts["jobs"] >= 1
    assert sum(counts.values()) >= 10
