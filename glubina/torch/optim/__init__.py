"""`torch.optim`: the optimizers of `glubina.optim`, which have PyTorch's names and arguments."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from glubina import optim as plain
from glubina.graph.names import check_arguments
from glubina.optim import *  # noqa: F403 - the same names, lr_scheduler among them
from glubina.optim.optimizer import RENAMED

__all__ = [*plain.__all__]

# of PyTorch's, about how a step is computed: here it is always one program
_IGNORED = ("foreach", "fused", "capturable", "differentiable")


def _rule(kind: type[plain.Optimizer]) -> type[plain.Optimizer]:
    """The rule, which takes and ignores what PyTorch's is told about how steps are computed."""

    def begin(self: Any, params: Iterable[Any], *args: Any, **kwargs: Any) -> None:
        given = {name: value for name, value in kwargs.items() if name not in _IGNORED}
        check_arguments(kind, given, RENAMED)
        kind.__init__(self, params, *args, **given)

    members = {"__init__": begin, "__doc__": kind.__doc__, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), members)


globals().update({kind.__name__: _rule(kind) for kind in plain.RULES.values()})  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    if name == "swa_utils":  # it knows modules, which know optimizers
        return importlib.import_module("glubina.torch.optim.swa_utils")
    known = ", ".join(n for n in plain.__all__ if n[0].isupper())
    raise AttributeError(f"glubina.torch.optim has no {name!r}; there are {known}")
