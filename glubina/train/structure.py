"""Whether what a program was recorded from is still the same, so that it may be kept."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from operator import is_
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from glubina.graph.node import DType, Shape
from glubina.tensor import Generator, Tensor
from glubina.tensor.cell import Cell

_SIMPLE = (type(None), bool, int, float, complex, str, bytes, range, type, np.dtype, np.generic)
_SIMPLE_FUNCTIONS = (BuiltinFunctionType, np.ufunc, ModuleType, Generator)


_TRAINER = sys.intern("_trainer")


class _UnknownError(Exception):
    """There is something that may change without being seen."""


class Structure:
    """The attributes of a model and of all that belongs to it, to be compared by identity.

    It sees every attribute set to another object, every change of a list or dict, and every
    tensor that gets another shape, dtype or cell; values of tensors are no structure. Raises no
    errors: where there are objects that it does not know, `known` is False.
    """

    def __init__(self, *roots: Any) -> None:
        self._dicts: list[tuple[dict[Any, Any], tuple[Any, ...]]] = []
        self._lists: list[tuple[list[Any], tuple[Any, ...]]] = []
        self._closures: list[tuple[Any, Any]] = []
        self._tensors: list[tuple[Tensor, Cell, Shape, DType, bool]] = []
        self._seen: set[int] = set()
        self._roots = roots  # so that what is compared by identity stays alive
        self.known = True
        try:
            self._all(roots)
        except _UnknownError:
            self.known = False
        self._seen.clear()

    def holds(self) -> bool:
        """Whether nothing has changed."""
        for owned, values in self._dicts:
            # the keys keep their order, and a key that is replaced by another has another value
            if len(owned) != len(values) or not all(map(is_, owned.values(), values)):
                return False
        for listed, values in self._lists:
            if len(listed) != len(values) or not all(map(is_, listed, values)):
                return False
        for tensor, cell, shape, dtype, trained in self._tensors:
            node = cell.node
            if (
                tensor._cell is not cell
                or node.shape != shape
                or node.dtype != dtype
                or tensor._requires_grad is not trained
            ):
                return False
        return all(closed.cell_contents is value for closed, value in self._closures)

    def _all(self, values: Iterable[Any]) -> None:
        for value in values:
            if not isinstance(value, _SIMPLE) and id(value) not in self._seen:
                self._seen.add(id(value))
                self._look(value)

    def _look(self, value: Any) -> None:
        if isinstance(value, Tensor):
            cell = value._cell
            kind = cell.node.shape, cell.node.dtype
            self._tensors.append((value, cell, *kind, value._requires_grad))
        elif isinstance(value, (tuple, frozenset)):
            self._all(value)
        elif isinstance(value, list):
            self._lists.append((value, tuple(value)))
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
        self._dicts.append((values, tuple(values.values())))
        # a trainer is no part of what its model computes
        self._all(value for name, value in values.items() if name is not _TRAINER)

    def _function(self, function: FunctionType) -> None:
        for closed in function.__closure__ or ():
            try:
                value = closed.cell_contents
            except ValueError:
                raise _UnknownError from None
            self._closures.append((closed, value))
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
            del self._things[name]
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
