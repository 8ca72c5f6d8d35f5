"""The long trial of `tests/soak.py`, for a minute; with the slow tests, for two."""

from __future__ import annotations

import pytest
from soak import soak


@pytest.mark.parametrize("seconds", [60, pytest.param(120, marks=pytest.mark.slow)])
def test_faults_lose_nothing(seconds: int) -> None:
    counts = soak(seconds, seed=1)
    assert counts["jobs"] >= 1
    assert sum(counts.values()) >= seconds // 12
