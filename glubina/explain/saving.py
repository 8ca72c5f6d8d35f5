"""Writes explanations to files: drawing, page or text, by the ending of the name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from glubina.explain.errors import ExplainError
from glubina.files import write_text

if TYPE_CHECKING:
    from glubina.explain.computation import Explanation


def save(explanation: Explanation, path: str | os.PathLike[str], depth: int | None = None) -> Path:
    """Write `explanation` to `path` (.svg, .html or .txt), whole or not at all; returns the path.

    ExplainError for any other ending.
    """
    target = Path(path)
    if target.suffix == ".svg":
        write_text(target, explanation.svg(depth))
    elif target.suffix == ".html":
        from glubina.explain.page import page

        write_text(target, page(explanation))
    elif target.suffix == ".txt":
        write_text(target, explanation.text(depth) + "\n")
    else:
        raise ExplainError(
            f"{target.name}: an explanation is written as .svg, .html or .txt, "
            f"not as {target.suffix or 'a file without an ending'}"
        )
    return target
