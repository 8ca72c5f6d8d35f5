"""Checks of arguments that many layers share; each error says what came and what was expected."""

from __future__ import annotations

import math
from typing import Any

from glubina.graph import DTypeError, ShapeError
from glubina.tensor import Tensor
from glubina.tensor.arguments import between, whole

MANY = 10_000  # more layers of a kind than any network has
DOUBLED = 40  # more levels than any network has, where each doubles something


def positive(name: str, value: Any, most: float = math.inf) -> int:
    """The value as an int of at least 1, and at most `most`."""
    return whole(name, value, 1, most)


def extents(name: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """One whole number per spatial axis, from a number for all or a sequence."""
    try:
        numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
        if len(numbers) == rank:
            return tuple(whole(name, number, least) for number in numbers)
    except ValueError:
        pass
    raise ValueError(
        f"{name} must be a whole number of at least {least} or {rank} of them, got {value!r}"
    )


def probability(name: str, value: float) -> float:
    """The value, if it lies in 0 to 1."""
    return between(name, value, 0, 1)


def axis_of(name: str, x: Tensor, axis: int) -> int:
    """The axis counted from the front; ShapeError where there is none such."""
    rank = len(x.shape)
    if not -rank <= axis < rank:
        raise ShapeError(f"{name}: axis {axis} is not an axis of shape {x.shape}")
    return axis % rank


def floating(x: Any) -> Tensor:
    """The input, if it is a tensor of floating numbers."""
    if not isinstance(x, Tensor):
        hint = "gl.tensor(x) makes one"
        if isinstance(x, tuple) and any(isinstance(part, Tensor) for part in x):
            hint = "take one of its parts, such as x[0] (recurrent layers give outputs and state)"
        raise DTypeError(f"expected a tensor, got {type(x).__name__}; {hint}")
    if x.dtype.kind != "f":
        scaled = " / 255" if x.dtype.name == "uint8" else ""
        raise DTypeError(
            f"expected floating numbers, got {x.dtype} {x.shape}; x.float(){scaled} converts them"
        )
    return x


def whole_numbers(x: Any) -> None:
    """DTypeError unless the input is a tensor of whole numbers."""
    if not isinstance(x, Tensor) or x.dtype.kind not in "iu":
        what = f"{x.dtype} {x.shape}" if isinstance(x, Tensor) else type(x).__name__
        raise DTypeError(f"expected a tensor of whole numbers, got {what}; x.long() converts one")


def same_dtype(x: Any, weight: Tensor) -> None:
    """DTypeError unless the input is a tensor of the weights' dtype."""
    if not isinstance(x, Tensor) or x.dtype != weight.dtype:
        floating(x)
        wanted = "float" if weight.dtype.itemsize == 4 else "double"
        raise DTypeError(
            f"expected input of {weight.dtype}, as the weights are, got {x.dtype}; x.{wanted}() "
            "converts it"
        )


def images(x: Any, rank: int, channels: int | None = None) -> None:
    """ShapeError unless x is [N, *spatial, C] with this number of spatial axes and channels."""
    names = {1: "(N, L, C)", 2: "(N, H, W, C)", 3: "(N, D, H, W, C)"}[rank]
    floating(x)
    if len(x.shape) != rank + 2:
        hint = ""
        if len(x.shape) == rank + 1 and channels is not None:
            if x.shape[-1] == channels and x.shape[0] != channels:
                hint = "; a single example needs an axis in front: x[None]"
            elif channels == 1:
                hint = "; one channel is an axis too: x[..., None]"
        raise ShapeError(f"expected input of shape {names}, got {x.shape}{hint}")
    if channels is not None and x.shape[-1] != channels:
        hint = ""
        if x.shape[1] == channels:
            order = ", ".join(map(str, (0, *range(2, rank + 2), 1)))
            hint = f"; channels come last here: transpose the input, x.permute(({order}))"
        raise ShapeError(
            f"expected input of shape {names} with C = {channels}, got {x.shape}{hint}"
        )


def channels_last(name: str, x: Any, per_channel: tuple[int, ...]) -> None:
    """ShapeError unless the last axis of x has as many channels as there are numbers for them."""
    floating(x)
    if x.shape[-1:] != per_channel:
        raise ShapeError(
            f"{name}: expected {per_channel[0]} channels on the last axis, one per number; the "
            f"input has the shape {x.shape}"
        )
