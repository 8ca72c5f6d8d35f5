"""Loading saved values into a module: compares everything first, then copies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glubina.nn.errors import StateError
from glubina.nn.parameter import Parameter, put
from glubina.tensor import Tensor


class Differences(NamedTuple):
    """The names that a state lacks, and those that the module does not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load(module: Any, values: Any, strict: bool) -> Differences:
    """Copy values into the module's parameters and buffers; StateError lists what does not fit."""
    if not isinstance(values, Mapping):
        hint = ""
        if isinstance(values, (str, Path)):
            hint = "; glubina.files.read_tensors(path) reads a file of them"
        elif hasattr(values, "state_dict"):
            hint = ": give its state_dict()"
        raise TypeError(
            "load_state_dict takes tensors or arrays by dotted name, got "
            f"{type(values).__name__}{hint}"
        )
    targets: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    missing = [name for name in targets if name not in values]
    unexpected = [name for name in values if name not in targets]
    wrong = [
        fault
        for name, value in values.items()
        if name in targets and (fault := _fault(name, targets[name], value))
    ]
    lines = [*wrong]
    if strict:
        lines += [f"missing: {name} {_typed(targets[name])}" for name in missing]
        lines += [f"unexpected: {name} {_typed(values[name])}" for name in unexpected]
    if lines:
        listed = "\n  ".join(lines)
        raise StateError(
            f"the state does not fit {type(module).__name__}; nothing was loaded:\n  {listed}"
        )
    for name, target in targets.items():
        if name in values:
            _assign(target, values[name])
    for part in module.modules():
        part.loaded()
    return Differences(missing, unexpected)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def _dtype(value: Any) -> np.dtype[Any]:
    return np.dtype(value.dtype) if hasattr(value, "dtype") else np.asarray(value).dtype


def _typed(value: Any) -> str:
    if getattr(value, "is_uninitialised", False):
        return "(shape not known yet)"
    return f"{_dtype(value)} {_shape(value)}"


def _fault(name: str, target: Tensor, value: Any) -> str | None:
    if getattr(target, "is_uninitialised", False):
        return None
    if _shape(value) != target.shape:
        return f"shape: {name} is {target.shape} in the module, {_shape(value)} in the state"
    if _dtype(value).kind not in "fiub" or (_dtype(value).kind == "f") != (
        target.dtype.kind == "f"
    ):
        return f"dtype: {name} is {target.dtype} in the module, {_dtype(value)} in the state"
    return None


def _assign(target: Tensor, value: Any) -> None:
    array = value.numpy() if isinstance(value, Tensor) else np.array(value)
    put(target, array.astype(target.dtype, copy=False))
    if isinstance(target, Parameter):
        target.is_uninitialised = False
