"""Nested states (dicts, lists, numbers, texts, arrays) as JSON and arrays by name, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What JSON cannot say is an object with this key; a dict that has such a key itself is "pairs".
KIND = "$"
DEEPEST = 16  # levels of lists and dicts; JSON has up to three for each, and is read up to 64
LONG = 16  # from so many numbers on a list of floats is stored as an array
_ARRAYS = "biuf"


class UnstorableError(TypeError):
    """A value that no file of ours can hold; the message says where it is."""


def pack(value: Any) -> tuple[Any, dict[str, NDArray[Any]]]:
    """The value as JSON, and the arrays in it by name.

    Numbers (NaN and the infinities too), texts, None, lists, tuples, dicts, arrays, NumPy's
    scalars and whatever has a method `numpy()` come back from `unpack` with the same bits and
    types; a tensor comes back as an array. Arrays are named by where they stand: "model/0.weight".
    UnstorableError names the place of anything else.
    """
    arrays: dict[str, NDArray[Any]] = {}
    return _packed(value, (), arrays), arrays


def _packed(value: Any, place: tuple[str, ...], arrays: dict[str, NDArray[Any]]) -> Any:
    if len(place) > DEEPEST:
        where = "/".join(place[:4])
        raise UnstorableError(f"{where}/...: it nests deeper than {DEEPEST} levels")
    if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, float) and not isinstance(value, np.generic):
        return value if math.isfinite(value) else {KIND: "float", "is": repr(value)}
    if type(value) is list and len(value) >= LONG and set(map(type, value)) == {float}:
        return {KIND: "floats", "name": _added(np.array(value, np.float64), place, arrays)}
    if isinstance(value, (list, tuple)):
        parts = [_packed(part, (*place, str(i)), arrays) for i, part in enumerate(value)]
        return parts if isinstance(value, list) else {KIND: "tuple", "of": parts}
    if isinstance(value, Mapping):
        return _mapping(value, place, arrays)
    kind = "scalar" if isinstance(value, np.generic) else "array"
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if array.dtype.kind not in _ARRAYS:
        where = "/".join(place)
        raise UnstorableError(f"{where}: a {type(value).__name__} cannot be stored in a file")
    return {KIND: kind, "name": _added(array, place, arrays)}


def _added(array: NDArray[Any], place: tuple[str, ...], arrays: dict[str, NDArray[Any]]) -> str:
    """The name under which the array is among the others now."""
    name = "/".join(place) or "value"
    while name in arrays:  # names with slashes of their own
        name += "+"
    arrays[name] = array
    return name


def _mapping(
    value: Mapping[Any, Any], place: tuple[str, ...], arrays: dict[str, NDArray[Any]]
) -> Any:
    parts = {key: _packed(part, (*place, str(key)), arrays) for key, part in value.items()}
    if all(type(key) is str and key != KIND for key in parts):
        return parts
    return {KIND: "pairs", "of": [[_packed(k, place, arrays), v] for k, v in parts.items()]}


def unpack(packed: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The value again. ValueError for what `pack` would not have written."""
    if isinstance(packed, list):
        return [unpack(part, arrays) for part in packed]
    if not isinstance(packed, dict):
        return packed
    if KIND not in packed:
        return {key: unpack(part, arrays) for key, part in packed.items()}
    try:
        return _UNPACK[packed[KIND]](packed, arrays)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{str(packed)[:80]} is not part of a stored state ({error!r})") from error


def _tuple(packed: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    return tuple(unpack(list(packed["of"]), arrays))


def _pairs(packed: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    return {unpack(key, arrays): unpack(part, arrays) for key, part in packed["of"]}


_UNPACK: dict[str, Any] = {
    "float": lambda packed, arrays: float(packed["is"]),
    "tuple": _tuple,
    "pairs": _pairs,
    "floats": lambda packed, arrays: arrays[packed["name"]].tolist(),
    "array": lambda packed, arrays: arrays[packed["name"]],
    "scalar": lambda packed, arrays: arrays[packed["name"]][()],
}
