"""Whether what a program was recorded from is still the same, so that it may be kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter, is_
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from glubina.tensor import Generator, Tensor

_SIMPLE = (type(None), bool, int, float, complex, str, bytes, range, type, np.dtype, np.generic)
_SIMPLE_FUNCTIONS = (BuiltinFunctionType, np.ufunc, ModuleType, Generator)


_OTHER = ("_trainer", "_arguments")
_values = dict.values
_cell = attrgetter("_cell")
_kind = attrgetter("_cell.node.shape", "_cell.node.dtype", "_requires_grad")
_content = attrgetter("cell_contents")


class _UnknownError(Exception):
    """There is something that may change without being seen."""


class Structure:
    """The attributes of a model and of all that belongs to it, to be compared by identity.

    It sees every attribute set to another object, every change of a list or dict, and every
    tensor that gets another shape, dtype or cell; values of tensors are no structure. Raises no
    errors: where there are objects that it does not know, `known` is False.
    """

    def __init__(self, *roots: Any) -> None:
        self._dicts: list[dict[Any, Any]] = []
        self._lists: list[list[Any]] = []
        self._closures: list[CellType] = []
        self._tensors: list[Tensor] = []
        self._seen: set[int] = set()
        self._roots = roots  # so that what is compared by identity stays alive
        self.known = True
        try:
            self._all(roots)
        except _UnknownError:
            self.known = False
        self._seen.clear()
        self._lengths = self._count()
        self._held = tuple(self._parts())
        self._kinds = [*map(_kind, self._tensors)]

    def holds(self) -> bool:
        """Whether nothing has changed."""
        # without a loop in Python: a whole prediction takes some ten microseconds
        return (
            self._count() == self._lengths
            and all(map(is_, self._parts(), self._held))
            and [*map(_kind, self._tensors)] == self._kinds
        )

    def _count(self) -> list[int]:
        return [*map(len, self._dicts), *map(len, self._lists)]

    def _parts(self) -> Iterator[Any]:
        """All that is compared by identity; a key that is replaced has another value."""
        return chain(
            chain.from_iterable(map(_values, self._dicts)),
            chain.from_iterable(self._lists),
            map(_cell, self._tensors),
            map(_content, self._closures),
        )

    def _all(self, values: Iterable[Any]) -> None:
        for value in values:
            if not isinstance(value, _SIMPLE) and id(value) not in self._seen:
                self._seen.add(id(value))
                self._look(value)

    def _look(self, value: Any) -> None:
        if isinstance(value, Tensor):
            self._tensors.append(value)
        elif isinstance(value, (tuple, frozenset)):
            self._all(value)
        elif isinstance(value, list):
            self._lists.append(value)
            self._all(value)
        elif isinstance(value, dict):
            self._attributes(value)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, MethodType):
            self._all((value.__self__, value.__func__))
        elif isinstance(value, _SIMPLE_FUNCTIONS):
            pass
        elif _is_ours(value):
            self._attributes(vars(value))
        else:
            raise _UnknownError

    def _attributes(self, values: dict[Any, Any]) -> None:
        if values.get("_hooks"):  # what they do besides may be wanted each time
            raise _UnknownError
        self._dicts.append(values)
        # neither a module's trainer nor the arguments it was made with are what it computes
        self._all(
            value
            for name, value in values.items()
            if not (isinstance(name, str) and name in _OTHER)
        )

    def _function(self, function: FunctionType) -> None:
        for closed in function.__closure__ or ():
            try:
                value = closed.cell_contents
            except ValueError:
                raise _UnknownError from None
            self._closures.append(closed)
            self._all((value,))
        self._all(chain(function.__defaults__ or (), (function.__kwdefaults__ or {}).values()))


def _is_ours(value: Any) -> bool:
    """Whether an object is a module or of a class of ours, whose state is in its attributes."""
    if not hasattr(value, "__dict__") or any("__slots__" in vars(k) for k in type(value).__mro__):
        return False
    return any(k.__module__.startswith("glubina.") for k in type(value).__mro__)


class Kept:
    """What was made of a structure for some key, until one of the two is another.

    One thing for each name at a time, so that it takes no more memory than what is in use.
    """

    def __init__(self) -> None:
        self._things: dict[str, tuple[tuple[Any, ...], Structure, Any]] = {}

    def get(self, name: str, key: tuple[Any, ...]) -> Any:
        """What is kept under the name, or None if key or structure differ."""
        found = self._things.get(name)
        if found is None:
            return None
        if found[0] != key or not found[1].holds():
            self._things.pop(name, None)  # another thread may have been first
            return None
        return found[2]

    def take(self, name: str, key: tuple[Any, ...]) -> Any:
        """As `get`, and it is kept no longer: whoever fails with it keeps nothing half done."""
        found = self.get(name, key)
        self._things.pop(name, None)
        return found

    def put(self, name: str, key: tuple[Any, ...], structure: Structure, thing: Any) -> None:
        """Keep a thing, unless the structure could change unseen."""
        self._things.pop(name, None)
        if structure.known:
            self._things[name] = key, structure, thing
