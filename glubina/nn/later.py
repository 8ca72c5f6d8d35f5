"""What of `glubina.nn` is loaded when it is first asked for, and from where."""

from __future__ import annotations

import importlib
from typing import Any

LAYERS = {
    **{f"MaxUnpool{n}d": "unpooling" for n in (1, 2, 3)},
}
"""The module of `glubina.nn` for each class that few networks need."""

FUNCTIONS = {
    **{f"max_unpool{n}d": "unpooling" for n in (1, 2, 3)},
}
"""The module of `glubina.nn` for each such function of `glubina.nn.functional`."""


def found(table: dict[str, str], name: str) -> Any:
    """The class or function of this name; KeyError where there is none."""
    return getattr(importlib.import_module(f"glubina.nn.{table[name]}"), name)
