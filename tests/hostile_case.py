"""What the tables of hostile files share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = tuple[str, str, Callable[[Path], Any], Callable[[Path], Any]]
CASES: list[Case] = []
"""Name, what the error says, what makes the file at a path, what reads it."""


def case(name: str, says: str, read: Callable[[Path], Any]) -> Any:
    """A decorator: the function makes the file (returned bytes are written to the path)."""

    def entered(make: Callable[[Path], Any]) -> Callable[[Path], Any]:
        CASES.append((name, says, make, read))
        return make

    return entered


class Runs:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return (os.system, ("echo owned > owned",))
