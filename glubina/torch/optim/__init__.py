"""`torch.optim`: the optimizers of `glubina.optim`, which have PyTorch's names and arguments."""

from __future__ import annotations

import importlib
from typing import Any

from glubina import optim as plain
from glubina.optim import *  # noqa: F403 - the same names, lr_scheduler among them

__all__ = [*plain.__all__]


def __getattr__(name: str) -> Any:
    if name == "swa_utils":  # it knows modules, which know optimizers
        return importlib.import_module("glubina.torch.optim.swa_utils")
    known = ", ".join(n for n in plain.__all__ if n[0].isupper())
    raise AttributeError(f"glubina.torch.optim has no {name!r}; there are {known}")
