"""Things by name, as Keras takes them: 'relu', 'adam', {"class_name": ..., "config": ...}."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def unknown(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that there is not, with those that come near."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {names}"
    return ValueError(f"unknown {kind} {name!r}; {hint}")


class Described:
    """An object that remembers the arguments it was made with, so that a file can hold it."""

    _given: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Remember the arguments."""
        self = super().__new__(cls)
        self._given = (args, kwargs)
        return self

    def get_config(self) -> dict[str, Any]:
        """The arguments by name; defaults are left out."""
        args, kwargs = self._given
        bound = inspect.signature(type(self)).bind(*args, **kwargs)
        config: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            named = bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            config.update(value if named else {name: value})
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The opposite of `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def described(value: Any) -> Any:
    """The value as plain data, where it is one of this room's objects or named functions."""
    if isinstance(value, Described):
        config = {name: described(part) for name, part in value.get_config().items()}
        return {"class_name": type(value).__name__, "config": config}
    return getattr(value, "keras_name", value)


def found(kind: str, given: Any, known: Mapping[str, Any], base: type) -> Any:
    """An object of `base` from an object, a class, a name, or a description."""
    if isinstance(given, base):
        return given
    if isinstance(given, type) and issubclass(given, base):
        return given()
    if isinstance(given, Mapping) and "class_name" in given:
        return named(kind, given["class_name"], known)(**given.get("config", {}))
    if isinstance(given, str):
        return named(kind, given, known)()
    raise TypeError(f"{kind} must be a name or a {base.__name__}, got {given!r}")


def named(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """What has this name, in the spelling of classes or of functions."""
    table = {plain(key): value for key, value in known.items()}
    if plain(name) not in table:
        raise unknown(kind, name, known)
    return table[plain(name)]


def plain(name: str) -> str:
    """A name without case and underscores: 'GlorotUniform' is 'glorot_uniform'."""
    return name.replace("_", "").lower()


def check_names(given: Any, find: Callable[[str], object]) -> None:
    """ValueError for a name that there is not, in a list or dict of them too."""
    if isinstance(given, str):
        find(given)
    elif isinstance(given, (list, tuple)):
        for part in given:
            check_names(part, find)
    elif isinstance(given, Mapping):
        for part in given.values():
            check_names(part, find)
