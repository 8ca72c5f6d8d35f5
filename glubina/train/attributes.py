"""The plain attributes of an object as its state: what callbacks remember unless they say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_SIMPLE = (type(None), bool, int, float, str, np.generic)


def plain_attributes(thing: object) -> dict[str, Any]:
    """The attributes that are numbers, texts, arrays, or lists, tuples and dicts of them."""
    return {
        name: value
        for name, value in vars(thing).items()
        if name != "session" and _is_plain(value, ())
    }


def take_attributes(thing: object, values: Mapping[str, Any]) -> None:
    """Set the attributes again; lists and dicts keep their identity, as others may hold them."""
    for name, value in values.items():
        if name.startswith("__") or callable(getattr(type(thing), name, None)):
            raise ValueError(f"{name!r} is no plain attribute of {type(thing).__name__}")
        held = getattr(thing, name, None)
        if isinstance(held, list) and isinstance(value, list):
            held[:] = value
        elif isinstance(held, dict) and isinstance(value, dict):
            held.clear()
            held.update(value)
        else:
            setattr(thing, name, value)


def _is_plain(value: Any, inside: tuple[int, ...]) -> bool:
    if type(value) in (list, tuple, dict):
        if id(value) in inside:  # a circle
            return False
        inside = (*inside, id(value))
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return all(_is_plain(part, inside) for part in parts)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "biuf"
    return type(value) in _SIMPLE
