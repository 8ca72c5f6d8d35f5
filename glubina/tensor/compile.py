"""`compile`: a function of tensors, recorded once and then run as one native program."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Hashable
from types import FunctionType, MethodType
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

import numpy as np

from glubina.tensor import locks, programs
from glubina.tensor.base import TensorBase
from glubina.tensor.cell import Cell
from glubina.tensor.convert import as_tensor
from glubina.tensor.errors import TraceError
from glubina.tensor.mode import mode
from glubina.tensor.recent import Recent
from glubina.tensor.record import Recording, record

P = ParamSpec("P")
R = TypeVar("R")

_MANY_RECORDINGS = 8
_MOST_ALIKE = 16  # recordings of one signature, which Python values told apart


def _weight(key: Hashable, recordings: tuple[Recording, ...]) -> int:
    return programs.key_bytes(key) + recordings[0].program.weight


def remembered() -> Recent[tuple[Recording, ...]]:
    """An empty table of a function's recordings by signature."""
    return Recent(programs.MOST_BYTES, _weight)


class Compiled(Generic[P, R]):
    """A function that is recorded on its first call and replayed on the others.

    The Python code runs once for each combination of argument shapes, dtypes and Python values;
    after that a call is one native program. What the function reads from outside (parameters) and
    changes (updates, running statistics, `grad`) is part of the program: each call reads and
    writes the current values. Prints, appends and other Python effects happen only when it is
    recorded.
    """

    def __init__(self, function: Callable[P, R], keep_gradients: bool = False) -> None:
        if isinstance(function, (FunctionType, MethodType)):
            functools.update_wrapper(self, function)
        self._function = function
        self._keep = keep_gradients
        self._recordings = remembered()
        self._count = 0

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function."""
        if mode.trace is not None:
            return self._function(*args, **kwargs)
        cells: list[Cell] = []
        key = _signature((args, kwargs) if kwargs else args, cells)
        if len(set(cells)) < len(cells):
            key = key, tuple([cells.index(cell) for cell in cells])
        recording = self._find(key, args, kwargs)
        return cast(R, recording.replay(cells))

    def run_many(self, steps: int) -> R:
        """Run a function without arguments `steps` times, in native code where that can be.

        Returns what the last run returns. Signals (Ctrl-C) are handled every 50 ms or so.
        """
        if steps < 1:
            raise ValueError(f"run_many: the number of steps should be at least 1, it is {steps}")
        nothing: Any = ()
        return cast(R, self._find((), nothing, {}).replay_many(steps))

    def _find(self, key: Hashable, args: Any, kwargs: Any) -> Recording:
        known = self._recordings
        if mode.detector is not None:  # which needs to know where the nodes come from
            known = mode.detector.recordings.setdefault(self, remembered())
        for recording in known.young.get(key, ()):
            if recording.holds():
                return recording
        with locks.work:
            recordings = known.get(key) or ()
            for recording in recordings:
                if recording.holds():  # it was forgotten almost, or another thread has made it
                    return recording
            recording = record(self._function, args, kwargs, self._keep)
            known.put(key, (recording, *recordings[: _MOST_ALIKE - 1]))
        self._count += 1
        if self._count % _MANY_RECORDINGS == 0:
            warnings.warn(
                f"{getattr(self, '__qualname__', self._function)} has been recorded "
                f"{self._count} times: its argument shapes or Python arguments change from call "
                "to call (pass changing numbers as tensors)",
                RuntimeWarning,
                stacklevel=3,
            )
        return recording

    @property
    def function(self) -> Callable[P, R]:
        """The function as it was written."""
        return self._function

    def anew(self) -> Compiled[P, R]:
        """The same function, to be recorded anew."""
        return Compiled(self._function, self._keep)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)


@overload
def compile(function: Callable[P, R], *, keep_gradients: bool = False) -> Compiled[P, R]: ...


@overload
def compile(
    function: None = None, *, keep_gradients: bool = False
) -> Callable[[Callable[P, R]], Compiled[P, R]]: ...


def compile(function: Any = None, *, keep_gradients: bool = False) -> Any:
    """Make one native program of a function: of a whole training step, or of a forward pass.

    Use it as a decorator, or on a function or module. `grad` of parameters that the function
    itself updates is None afterwards, unless `keep_gradients` asks for it.

    >>> @gl.compile
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = loss_function(net(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    """
    if function is None:
        return functools.partial(compile, keep_gradients=keep_gradients)
    if not callable(function):
        raise TypeError(f"compile takes a function or a module, got {type(function).__name__}")
    return Compiled(function, keep_gradients)


def _signature(value: Any, cells: list[Cell]) -> Hashable:
    """What a recording depends on in the arguments; their cells are collected in order."""
    if isinstance(value, TensorBase):
        cell = value._cell
        cells.append(cell)
        node = cell.node
        return (node.shape, node.dtype, value._requires_grad)
    if isinstance(value, tuple):
        return tuple([_signature(v, cells) for v in value])
    if isinstance(value, list):
        return ("list", *[_signature(v, cells) for v in value])
    if isinstance(value, dict):
        return ("dict", *[(k, _signature(v, cells)) for k, v in value.items()])
    if isinstance(value, np.ndarray):
        return _signature(as_tensor(value), cells)
    if isinstance(value, float):
        return ("float", value.hex())
    try:
        hash(value)
    except TypeError:
        raise TraceError(
            f"a compiled function takes tensors, arrays, numbers, texts, and lists, tuples and "
            f"dicts of them; {type(value).__name__} is none of these"
        ) from None
    return (type(value), value)
