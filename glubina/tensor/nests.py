"""Tuples, lists and dicts of tensors and anything else: what functions take and return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def parts(value: Any) -> Iterator[Any]:
    """What is in a nest, in order; of what is no tuple, list or dict the value itself."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from parts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from parts(item)
    else:
        yield value


def rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same nest with `change(part)` in the place of each of its parts."""
    if isinstance(value, tuple):
        items = [rebuilt(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [rebuilt(item, change) for item in value]
    if isinstance(value, dict):
        return {key: rebuilt(item, change) for key, item in value.items()}
    return change(value)
