"""Checks of numbers that a user gave: each error names the argument, what is allowed, what came."""

from __future__ import annotations

import math
from typing import Any


def real(name: str, value: Any) -> float:
    """The value as a number that is neither NaN nor infinite."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(found):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return found


def not_negative(name: str, value: Any) -> float:
    """The value as a number of at least 0."""
    found = real(name, value)
    if found < 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")
    return found


def above_zero(name: str, value: Any) -> float:
    """The value as a number above 0."""
    found = real(name, value)
    if found <= 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return found


def between(name: str, value: Any, low: float, high: float) -> float:
    """The value as a number from low to high."""
    found = real(name, value)
    if not low <= found <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value!r}")
    return found


def function_of(name: str, value: Any) -> Any:
    """The value, if it can be called."""
    if not callable(value):
        raise TypeError(
            f"{name} takes a function or a module, got {type(value).__name__} {value!r:.60}"
        )
    return value


def whole(name: str, value: Any, least: int = 1, most: float = math.inf) -> int:
    """The value as a whole number of at least `least` and at most `most`."""
    try:
        found = -math.inf if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = -math.inf
    if not (math.isfinite(found) and found == int(found) and least <= found <= most):
        end = "" if most == math.inf else f" and at most {most}"
        raise ValueError(f"{name} must be a whole number of at least {least}{end}, got {value!r}")
    return int(found)


def flag(name: str, value: Any) -> bool:
    """The value, if it is True or False (or 1 or 0)."""
    if isinstance(value, (str, bytes)) or value not in (True, False):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def choice(name: str, value: Any, *allowed: Any) -> Any:
    """The value, if it is one of those allowed."""
    if not any(value is one or (type(value) is type(one) and value == one) for one in allowed):
        known = ", ".join(repr(one) for one in allowed[:-1]) + f" or {allowed[-1]!r}"
        raise ValueError(f"{name} must be {known}, got {value!r}")
    return value
