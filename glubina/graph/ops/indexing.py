"""Picking elements by index, and its transpose."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from glubina.graph.errors import DTypeError, IndexRangeError, ShapeError
from glubina.graph.node import Array, Node, Primitive, Shape, Typed, make
from glubina.graph.ops.movement import AxisAttributes

INDICES = {"take": 1, "scatter_add": 0}
"""Of each operation that uses indices the number of the source that they are."""


class ScatterAddAttributes(NamedTuple):
    """The shape that comes out and the axis that the indices point into."""

    shape: Shape
    axis: int


def _take_infer(sources: tuple[Node, ...], a: AxisAttributes) -> Typed:
    x, indices = sources
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"take: indices must be integers, got {indices.dtype}")
    if not 0 <= a.axis < len(x.shape):
        raise ShapeError(f"take: axis {a.axis} is not an axis of shape {x.shape}")
    return (*x.shape[: a.axis], *indices.shape, *x.shape[a.axis + 1 :]), x.dtype


def _check_range(name: str, indices: Array, extent: int) -> None:
    wrong = (indices < 0) | (indices >= extent)
    if wrong.any():
        value = indices[wrong].flat[0]
        raise IndexRangeError(
            f"{name}: index {value}{position(wrong)} is out of range for an axis of {extent} "
            f"elements (0 to {extent - 1})"
        )


def position(wrong: Array) -> str:
    """Where the first True is, as an error says it."""
    place = np.argwhere(wrong)[0].tolist()
    return "" if not place else f" at position {place[0] if len(place) == 1 else tuple(place)}"


def _take_value(a: AxisAttributes, x: Array, indices: Array) -> Array:
    _check_range("take", indices, x.shape[a.axis])
    return np.take(x, indices, axis=a.axis)


TAKE = Primitive(
    "take",
    "indexing",
    r"x_{i}",
    _take_infer,
    _take_value,
    lambda y, g: (
        scatter_add(y.sources[1], g, y.sources[0].shape, y.attributes.axis),
        None,
    ),
)


def take(x: Node, indices: Node, axis: int) -> Node:
    """The slices of x that the indices (0 or more) name along an axis."""
    return make(TAKE, (x, indices), AxisAttributes(axis))


def _scatter_infer(sources: tuple[Node, ...], a: ScatterAddAttributes) -> Typed:
    indices, updates = sources
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"scatter_add: indices must be integers, got {indices.dtype}")
    if updates.dtype.kind == "b":
        raise DTypeError("scatter_add: booleans are cast to numbers first")
    if not 0 <= a.axis < len(a.shape):
        raise ShapeError(f"scatter_add: axis {a.axis} is not an axis of shape {a.shape}")
    wanted = (*a.shape[: a.axis], *indices.shape, *a.shape[a.axis + 1 :])
    if updates.shape != wanted:
        raise ShapeError(f"scatter_add: updates {updates.shape}, expected {wanted}")
    return a.shape, updates.dtype


def _scatter_value(a: ScatterAddAttributes, indices: Array, updates: Array) -> Array:
    _check_range("scatter_add", indices, a.shape[a.axis])
    result = np.zeros(a.shape, updates.dtype)
    where: Any = (*[np.s_[:]] * a.axis, indices)
    np.add.at(result, where, updates)
    return result


SCATTER_ADD = Primitive(
    "scatter_add",
    "indexing",
    r"\sum_{i_k = j} u_k",
    _scatter_infer,
    _scatter_value,
    lambda y, v: (None, take(v, y.sources[0], y.attributes.axis)),
)


def scatter_add(indices: Node, updates: Node, shape: Shape, axis: int) -> Node:
    """Zeros of a shape, with each update added where its index points (transposed take)."""
    return make(SCATTER_ADD, (indices, updates), ScatterAddAttributes(shape, axis))
