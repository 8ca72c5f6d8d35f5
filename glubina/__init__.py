"""Glubina: deep learning that you can see through.

>>> import glubina as gl
>>> from glubina import nn, optim

The names of `glubina.tensor` are the names of `gl`. The rooms above it (`gl.nn`, `gl.optim`,
`gl.data`, ...) are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from glubina import _command as _command
from glubina.graph import tracebacks as _tracebacks
from glubina.graph.names import missing as _missing
from glubina.tensor import *  # noqa: F403 - these are the names of `gl`
from glubina.tensor import __all__ as _names

if TYPE_CHECKING:
    from glubina import data as data
    from glubina import metrics as metrics
    from glubina import models as models
    from glubina import nn as nn
    from glubina import optim as optim
    from glubina import recipes as recipes
    from glubina import train as train
    from glubina.explain.room import explain as explain
    from glubina.tensor.creation import tensor as tensor

__version__ = "0.1.0"

_ROOMS = frozenset(
    (
        *("cli", "codegen", "data", "explain", "files", "graph", "interop", "keras", "metrics"),
        *("models", "nn", "optim", "recipes", "runtime", "schedule", "studio", "torch", "train"),
    )
)

__all__ = [*_names, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        try:
            return importlib.import_module(f"glubina.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"glubina.{name}":
                raise
    raise _missing("glubina", name, __dir__())


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})


_tracebacks.install()
