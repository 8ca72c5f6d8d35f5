"""Several arrays that belong together: the inputs or targets of networks with more than one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from glubina.tensor import Tensor


class Several(tuple[Any, ...]):
    """Arrays with the same examples along their first axes, given to `fit` in place of one array.

    A network with several inputs is called with the tuple of its mini-batch; one with several
    outputs returns a tuple or a list, and its loss compares that with the tuple of targets:
    `Several((images, ages))`.
    """


def each(function: Callable[[Any], Any], value: Any) -> Any:
    """The function of an array or tensor, or of each one of several."""
    if isinstance(value, (tuple, list)):
        return Several(function(part) for part in value)
    return function(value)


def outputs_of(model: Any, value: Any) -> Any:
    """What a model returned, if it is a tensor or several; TypeError says what it is instead."""
    for part in listed(value):
        if not isinstance(part, Tensor):
            kind = type(model).__name__
            shown, hint = f"{type(part).__name__} {part!r:.60}", ""
            if part is None:
                shown, hint = "None", ": is a `return` missing in its forward?"
            elif isinstance(part, np.ndarray):
                shown, hint = "a NumPy array", ", through which no gradient comes back"
            inside = "" if part is value else f" in a {type(value).__name__}"
            raise TypeError(
                f"{kind} must return a tensor, or a tuple or list of tensors; it returned "
                f"{shown}{inside}{hint}"
            )
    if isinstance(value, (tuple, list)) and not value:
        raise TypeError(f"{type(model).__name__} returned an empty {type(value).__name__}")
    return value


def first(value: Any) -> Any:
    """The array or tensor itself, or the first one of several: it tells their number of rows."""
    return value[0] if isinstance(value, (tuple, list)) else value


def listed(value: Any) -> list[Any]:
    """All of several, or the only one."""
    return list(value) if isinstance(value, (tuple, list)) else [value]
