"""What a training must have in common with the one whose checkpoint it goes on from."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.train.inputs import Batches
from glubina.train.several import listed

if TYPE_CHECKING:
    from glubina.train.state import Parts

_HASHED = 2**28  # bytes of an array; of a larger one some rows, evenly spread
_LATER = ("frozen",)  # what the first checkpoints did not tell


def settings_of(parts: Parts, more: Mapping[str, Any]) -> dict[str, Any]:
    """What a training must have in common with one that goes on from its checkpoint.

    more: further settings by name.
    """
    validation = parts.validation
    session = parts.session
    optimizer: Any = session.optimizer
    defaults = getattr(optimizer, "defaults", {})
    objects = parts.objects.items()
    return {
        "batch_size": session.batch_size,
        "accumulate": parts.training.source.accumulate,
        "steps in an epoch": session.steps,
        "examples": session.examples,
        **more,
        "data": _print_of(parts.training.source),
        "validation data": None if validation is None else _print_of(validation),
        "figures": list(session.figures),
        "model": _digest(printed(session.model).encode()),
        "frozen": _frozen(session.model),
        "parameters": {n: [str(v.dtype), *v.shape] for n, v in session.model.state_dict().items()},
        "optimizer": printed((type(optimizer).__name__, defaults)),
        **{name: None if thing is None else described(thing) for name, thing in objects},
    }


def differences(saved: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What differs, one line each."""
    found = []
    for name in {**saved, **asked}:
        before, now = saved.get(name), asked.get(name)
        if before == now or (name in _LATER and name not in saved):
            continue
        if name == "optimizer":
            before, now = _apart(before, now)
        if name in ("data", "validation data", "model", "parameters"):
            found.append(f"another {name}" if name == "model" else f"other {name}")
        else:
            found.append(f"{name} {before}, not {now}")
    return found


def described(thing: Any) -> str:
    """How a loss or an augmentation prints, with the arguments that it was made with."""
    text, given = printed(thing), _arguments(thing)
    return f"{text} with {given}" if given else text


def printed(thing: Any) -> str:
    """How a thing prints, without the addresses of objects; functions by their names."""
    if callable(thing) and hasattr(thing, "__qualname__"):
        return str(thing.__qualname__)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))


def _arguments(thing: Any) -> str:
    """The arguments that a module was made with; a loss does not print them."""
    config = getattr(thing, "config", None)
    if not callable(config) or isinstance(thing, type):
        return ""
    known = inspect.signature(type(thing).__init__).parameters
    told = []
    for name, value in dict(config()).items():
        usual = known[name].default if name in known else inspect.Parameter.empty
        if type(value) is not type(usual) or value != usual:
            told.append(f"{name}={_value(value)}")
    return ", ".join(told)


def _value(value: Any) -> str:
    array = value.numpy() if hasattr(value, "numpy") else value
    if not isinstance(array, np.ndarray):
        return described(value)
    return f"{array.dtype} {array.shape} {_digest(array.tobytes())[:16]}"


def _frozen(model: Any) -> list[str]:
    """The names of the parameters that are not trained."""
    named = getattr(model, "named_parameters", None)
    return [] if named is None else sorted(name for name, p in named() if not p.requires_grad)


def _apart(before: Any, now: Any) -> tuple[Any, Any]:
    """Of two optimizers of one kind only the settings that differ."""
    try:
        (kind, was), (other, has) = ast.literal_eval(before), ast.literal_eval(now)
        names = [n for n in {**was, **has} if was.get(n) != has.get(n)]
    except (ValueError, SyntaxError, TypeError, AttributeError):
        return before, now
    if kind != other:
        return kind, other
    told = [f"{kind}({', '.join(f'{n}={part.get(n)}' for n in names)})" for part in (was, has)]
    return told[0], told[1]


def _print_of(source: Batches) -> str:
    """A fingerprint of the examples; of a loader's their number, as reading them takes time."""
    if source.examples is None:
        assert source.loader is not None
        return f"{type(source.loader.dataset).__name__} of {len(source.loader.dataset)}"
    found = hashlib.sha256()
    for array in (*listed(source.examples.x), *listed(source.examples.y)):
        found.update(f"{array.dtype.str} {array.shape}\n".encode())
        found.update(_some(array).tobytes())
    return found.hexdigest()


def _some(array: NDArray[Any]) -> NDArray[Any]:
    stride = -(-array.nbytes // _HASHED) or 1
    return array[::stride]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
