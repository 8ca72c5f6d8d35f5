"""Chance: the states of all random generators that a training may draw from, and back."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from glubina.tensor import Generator, Tensor
from glubina.tensor.random import default_generator, manual_seed

_KINDS = (Generator, np.random.Generator, np.random.RandomState, random.Random)
_WITHOUT = (int, float, str, bytes, type, ModuleType, Tensor, np.ndarray, random.SystemRandom)
_LONG = 10_000  # lists and dicts with more parts are data


def own_generators(roots: Iterable[Any]) -> list[Any]:
    """The generators in these objects and what they hold, in order, each once.

    Ours, NumPy's and Python's; not those that all programs share, whose states are kept anyway.
    """
    found: list[Any] = []
    seen: set[int] = set()
    waiting = [*roots][::-1]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _WITHOUT) or id(thing) in seen or thing is default_generator:
            continue
        seen.add(id(thing))
        if isinstance(thing, _KINDS):
            found.append(thing)
        else:
            waiting += _parts(thing)[::-1]
    return found


def _parts(thing: Any) -> list[Any]:
    """What an object holds."""
    if isinstance(thing, (dict, list, tuple)):
        if len(thing) > _LONG:
            return []
        return [*thing.values()] if isinstance(thing, dict) else [*thing]
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if hasattr(thing, "__closure__"):
        closed = [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
        defaults = [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
        return [getattr(thing, "__self__", None), *closed, *defaults]
    if hasattr(thing, "__self__"):  # a method of a class that is not written in Python
        return [thing.__self__]
    held: Mapping[str, Any] = getattr(thing, "__dict__", {})
    return [value for name, value in held.items() if name != "_trainer"]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def states(own: Sequence[Any]) -> dict[str, Any]:
    """The states of the generators that all share (ours, NumPy's, Python's), and of one's own."""
    return {
        "glubina": default_generator.get_state(),
        "own": [_state(one) for one in own],
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - the one that others draw from
        "python": _of_python(random.getstate()),
    }


def restore(state: Mapping[str, Any], own: Sequence[Any]) -> None:
    """Give the generators these states; ValueError where they are not as many."""
    manual_seed(state["glubina"][0])  # a thread that resumes has numbers of its own from now on
    default_generator.set_state(state["glubina"])
    if len(own) != len(state["own"]):
        raise ValueError(f"it has {len(state['own'])} generators of its own, this one {len(own)}")
    for one, values in zip(own, state["own"]):
        _set(one, values)
    np.random.set_state(state["numpy"])  # noqa: NPY002
    random.setstate(_for_python(state["python"]))


def _state(one: Any) -> Any:
    if isinstance(one, np.random.Generator):
        return one.bit_generator.state
    if isinstance(one, np.random.RandomState):
        return one.get_state(legacy=False)
    return _of_python(one.getstate()) if isinstance(one, random.Random) else one.get_state()


def _set(one: Any, values: Any) -> None:
    if isinstance(one, np.random.Generator):
        one.bit_generator.state = values
    elif isinstance(one, random.Random):
        one.setstate(_for_python(values))
    else:
        one.set_state(values)


def _of_python(state: tuple[Any, ...]) -> dict[str, Any]:
    version, words, gauss = state
    return {"version": version, "words": np.array(words, np.uint64), "gauss": gauss}


def _for_python(values: Mapping[str, Any]) -> tuple[Any, ...]:
    words = tuple(int(word) for word in values["words"])
    return values["version"], words, values["gauss"]
