"""Axes and shapes as users write them, made definite: no negative axes, no -1 extents."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import SupportsIndex

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Shape

Axis = int | Sequence[int] | None


def as_axis(name: str, axis: SupportsIndex, rank: int) -> int:
    """The axis counted from the front; ShapeError if there is none."""
    try:
        number = operator.index(axis)
    except TypeError:
        raise DTypeError(f"{name}: an axis is a whole number, got {axis!r}") from None
    if not -rank <= number < rank:
        axes = f"{rank} axes ({-rank} to {rank - 1})" if rank else "0 axes"
        raise ShapeError(f"{name}: axis {number} is not an axis of a tensor with {axes}")
    return number % rank


def as_axes(name: str, axis: Axis, rank: int) -> tuple[int, ...]:
    """Axes counted from the front, ascending; all of them for None."""
    if axis is None:
        return tuple(range(rank))
    if isinstance(axis, (tuple, list)):
        axes = sorted(as_axis(name, a, rank) for a in axis)
        if len(set(axes)) != len(axes):
            raise ShapeError(f"{name}: an axis is named twice in {tuple(axis)}")
        return tuple(axes)
    return (as_axis(name, axis, rank),)  # type: ignore[arg-type]


def as_shape(name: str, shape: int | Sequence[int]) -> Shape:
    """A shape; ShapeError for negative extents."""
    extents = as_extents(name, shape)
    if any(n < 0 for n in extents):
        raise ShapeError(f"{name}: a negative extent in {extents}")
    return extents


def as_extents(name: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    """Whole numbers, one or a sequence of them."""
    try:
        if isinstance(shape, (tuple, list)):
            return tuple([operator.index(n) for n in shape])
        return (operator.index(shape),)  # type: ignore[arg-type]
    except TypeError as error:
        raise DTypeError(f"{name}: extents are whole numbers, got {shape!r}") from error


def given_shape(name: str, shape: tuple[int | Sequence[int], ...]) -> Shape:
    """The shape from arguments written as f(2, 3) or as f((2, 3))."""
    if len(shape) == 1:
        return as_shape(name, shape[0])
    return as_shape(name, shape)  # type: ignore[arg-type]


def completed(shape: Sequence[int], size: int, source: Shape) -> Shape:
    """A shape for so many elements, with one -1 replaced by what is left."""
    extents = as_extents("reshape", shape)
    if -1 in extents:
        rest = math.prod(n for n in extents if n != -1)
        if extents.count(-1) == 1 and rest > 0 and size % rest == 0:
            return tuple(size // rest if n == -1 else n for n in extents)
    elif math.prod(extents) == size and min(extents, default=0) >= 0:
        return extents
    if extents.count(-1) > 1:
        raise ShapeError(f"reshape: only one extent may be -1 (what is left), got {extents}")
    raise ShapeError(f"reshape: {source} has {size} elements and cannot take the shape {extents}")
