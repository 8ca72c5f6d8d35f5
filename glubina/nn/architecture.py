"""A network as plain data and back: the architecture file holds what this module makes.

A module becomes `{"class": name, "arguments": {...}}`; modules among the arguments become the
same in their place. Only classes of this library can be named: nothing is imported and no code
is run because a file says so.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from glubina.nn import later
from glubina.nn.errors import ArchitectureError

Kind = TypeVar("Kind", bound=type)

CLASSES: dict[str, Any] = {}
"""The classes that an architecture file may name."""

LATER = ("glubina.nn.blocks", "glubina.models")
"""Modules with more such classes, which are loaded when a file names one that is not known yet.

They stand above this room, so they are names here; that a file is read is all they depend on.
"""


_NAMES: dict[Any, str] = {}


def register(kind: Kind, name: str | None = None) -> Kind:
    """Let architecture files name this class of the library (a decorator).

    name: under which they do so, where its own name is taken ("keras.Dropout").
    """
    known = kind.__name__ if name is None else name
    CLASSES[known], _NAMES[kind] = kind, known
    return kind


def rename(kind: Any, name: str, base: Any) -> None:
    """Let architecture files call a class that was made of a known one by a function's name."""
    if base in _NAMES:
        _NAMES[kind] = name


def describe(module: Any) -> dict[str, Any]:
    """The module as data that JSON can hold; ArchitectureError where it is not possible."""
    kind = type(module)
    if kind not in _NAMES:
        raise ArchitectureError(
            f"{kind.__name__} is not a class of glubina, so its architecture cannot be written "
            "to a file: save the weights (state_dict) and build the network in code"
        )
    return {
        "class": _NAMES[kind],
        "arguments": {
            name: _plain(value, f"{kind.__name__}'s argument {name}")
            for name, value in module.config().items()
        },
    }


def build(description: Any, where: str = "the architecture") -> Any:
    """The module that a description means, with fresh weights.

    ArchitectureError names the place in the description where a class or an argument is unknown,
    or where the class refuses its arguments.
    """
    try:
        return _built(description, where)
    except RecursionError as error:
        raise ArchitectureError(f"{where}: it is nested too deeply") from error


def _built(description: Any, where: str) -> Any:
    if not isinstance(description, Mapping) or "class" not in description:
        raise ArchitectureError(
            f"{where}: expected an object with 'class', got {description!r:.80}"
        )
    name = description["class"]
    if isinstance(name, str) and name not in CLASSES:
        if name in later.LAYERS:
            later.found(later.LAYERS, name)
        else:
            for module in LATER:
                importlib.import_module(module)
    kind = CLASSES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ArchitectureError(f"{where}: unknown class {name!r:.80}{_suggestion(name)}")
    arguments = description.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise ArchitectureError(f"{where}: the arguments of {name} are not an object")
    make = getattr(kind, "from_config", kind)
    values = {k: _value(v, f"{where}, {name}.{k}") for k, v in arguments.items()}
    return _call(make, values, f"{where}: {name}")


def _suggestion(name: object) -> str:
    """The names of the library that come near; nothing else can be named by a file."""
    near = difflib.get_close_matches(str(name)[:80], CLASSES, n=3)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are {len(CLASSES)}, those of glubina.nn"


def _call(make: Any, values: dict[str, Any], where: str) -> Any:
    signature = inspect.signature(make)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    unknown = [k for k in values if k not in signature.parameters]
    if unknown and not takes_any:
        known = ", ".join(signature.parameters)
        given = ", ".join(unknown)
        raise ArchitectureError(f"{where} has no argument {given:.200}; it takes {known}")
    positional: list[Any] = []
    try:
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL and parameter.name in values:
                positional = list(values.pop(parameter.name))
        signature.bind(*positional, **values)
        return make(*positional, **values)
    except (ArchitectureError, RecursionError):
        raise
    except Exception as error:
        # whatever a class says of arguments that a file gives it: the file is to blame
        problem = str(error) if isinstance(error, (TypeError, ValueError)) else repr(error)
        if isinstance(error, KeyError) and " " in problem:  # a sentence, and not only the key
            problem = str(error.args[0])
        raise ArchitectureError(f"{where} cannot be made: {problem:.500}") from error


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v, where) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v, where) for k, v in value.items()}
    if hasattr(value, "named_parameters"):
        return describe(value)
    raise ArchitectureError(f"{where}: {value!r} cannot be written to a file")


def _value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if "class" in value and set(value) <= {"class", "arguments"}:
            return _built(value, where)
        return {k: _value(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_value(v, f"{where}[{i}]") for i, v in enumerate(value))
    return value
