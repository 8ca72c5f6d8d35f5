"""The long trial of `tests/soak.py`, for two minutes."""

from __future__ import annotations

import pytest
from soak import soak


@pytest.mark.long
def test_faults_lose_nothing() -> None:
    seconds = 120
    counts = soak(seconds, seed=1)
    assert counts["jobs"] >= 1
    assert sum(counts.values()) >= seconds // 12
