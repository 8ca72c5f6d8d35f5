"""Writes explanations to files, by the ending of the name: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from glubina.explain.errors import ExplainError
from glubina.files import write_text


def write(path: str | os.PathLike[str], kinds: Mapping[str, Callable[[], str]]) -> Path:
    """Write what the kind of the path's ending makes; returns the path.

    ExplainError for an ending that there is no kind for.
    """
    target = Path(path)
    make = kinds.get(target.suffix)
    if make is None:
        known = ", ".join(kinds)
        raise ExplainError(
            f"{target.name}: this is written as one of {known}, "
            f"not as {target.suffix or 'a file without an ending'}"
        )
    text = make()
    write_text(target, text if text.endswith("\n") else text + "\n")
    return target
