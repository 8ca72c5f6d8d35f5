"""The version of the package that is installed."""

from __future__ import annotations

import sys


def installed_version() -> str:
    """The version of the package, which is imported already when one of its rooms is."""
    return str(sys.modules["glubina"].__version__)
