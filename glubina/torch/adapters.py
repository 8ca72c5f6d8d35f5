"""How a function of Glubina gets PyTorch's argument names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glubina.torch.device import on_cpu
from glubina.torch.tensor import faced

_SYNONYMS = {"axis": "dim", "keepdims": "keepdim", "other": "y", "x": "input"}


def adapted(
    function: Callable[..., Any], *required: str, name: str = "", **renamed: str | None
) -> Callable[..., Any]:
    """`function` under PyTorch's argument names, in PyTorch's order, with PyTorch's results.

    required: the names of the first arguments, which go on by position. renamed: the further
    arguments in their order, with the names that the function has for them; None leaves an
    argument out, because it asks for nothing (`inplace`, `out_dtype`). `axis` and `keepdims` are
    understood as well, and `device` is checked.
    """
    name = name or function.__name__
    order = (*required, *renamed)
    count = len(required)

    def call(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and len(args) <= count:
            return faced(function(*args))
        if len(args) > len(order):
            raise TypeError(f"{name}: takes {len(order)} arguments ({', '.join(order)}), "
                            f"got {len(args)}")  # fmt: skip
        given: dict[str, Any] = dict(zip(order, args))
        for key, value in kwargs.items():
            if key == "device":
                on_cpu(value)
                continue
            key = key if key in order else _SYNONYMS.get(key, key)
            if key not in order or key in given:
                fault = "was given twice" if key in given else "is unknown"
                raise TypeError(f"{name}: {key!r} {fault}; it takes {', '.join(order)}")
            given[key] = value
        first = [given.pop(key) for key in required if key in given]
        return faced(function(*first, **_named(given, renamed)))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{function.__doc__}\n\nTakes ({', '.join(order)}), as in PyTorch."
    return call


def _named(given: dict[str, Any], renamed: dict[str, str | None]) -> dict[str, Any]:
    """The arguments by the names of the function; a missing required one is its own error."""
    named = {}
    for key, value in given.items():
        to = renamed.get(key, key)
        if to is not None:
            named[to] = value
    return named
