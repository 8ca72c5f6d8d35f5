"""What all tests share: a cache of their own, the folder of real data, a fixed state of chance."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

# Compiled programs of a test session go into a folder of its own: no test can pass thanks to an
# old entry, and none can harm the user's cache. Set before anything imports glubina.
_CACHE = Path(tempfile.mkdtemp(prefix="glubina-tests-"))
os.environ["GLUBINA_CACHE"] = str(_CACHE)
os.environ["GLUBINA_VERIFY"] = "1"  # the graph is checked between the passes of the compiler
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
# A shell that starts the tests in the background has Ctrl-C ignored, by what they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: several processes end together only if none begins with one late."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """The folder that holds this session's compiled programs."""
    return _CACHE


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets that GLUBINA_DATA names; without it the test is skipped."""
    named = os.environ.get("GLUBINA_DATA")
    if not named:
        pytest.skip("GLUBINA_DATA is not set: it names the folder of the larger real data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"GLUBINA_DATA names {named}, which is not a folder")
    return folder
