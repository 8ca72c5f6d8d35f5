"""Reductions other than `sum`: the largest, where it is, the product, squares about the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Array, Node, Primitive, Typed, make
from glubina.graph.ops.elementwise import (
    cast,
    divide,
    equal,
    full_like,
    multiply,
    subtract,
    where,
)
from glubina.graph.ops.movement import (
    AxesAttributes,
    AxisAttributes,
    broadcast,
    reduced_shape,
    reshape,
    restored,
    sum,
    transpose,
)
from glubina.graph.ops.source import iota


def _max_infer(sources: tuple[Node, ...], a: AxesAttributes) -> Typed:
    (x,) = sources
    shape = reduced_shape("max", x, a.axes)
    if any(x.shape[i] == 0 for i in a.axes):
        raise ShapeError(f"max: the reduced axes of shape {x.shape} are empty")
    return shape, x.dtype


def _max_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    x, axes = y.sources[0], y.attributes.axes
    largest = equal(x, restored(y, axes, x.shape))
    count = restored(sum(cast(largest, g.dtype), axes), axes, x.shape)
    return (where(largest, divide(restored(g, axes, x.shape), count), full_like(x, 0)),)


MAX = Primitive(
    "max",
    "reduction",
    r"\max x",
    _max_infer,
    lambda a, x: np.asarray(np.max(x, axis=a.axes)),
    _max_derivative,
)


def max(x: Node, axes: tuple[int, ...]) -> Node:
    """The largest element over the axes, which are removed; equal ones share the gradient."""
    return make(MAX, (x,), AxesAttributes(axes)) if axes else x


def _prod_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    """The product of the others, formed without dividing: right when elements are zero."""
    x, axes = y.sources[0], y.attributes.axes
    kept = tuple(i for i in range(len(x.shape)) if i not in axes)
    there = (*kept, *axes)
    back = tuple(sorted(range(len(there)), key=there.__getitem__))
    n = math.prod(x.shape[i] for i in axes)
    outer = tuple(x.shape[i] for i in kept)
    row = reshape(transpose(x, there), (*outer, 1, n))
    square = broadcast(row, (*outer, n, n))
    index = np.dtype(np.int64)
    rank = len(square.shape)
    same = equal(iota(square.shape, rank - 2, index), iota(square.shape, rank - 1, index))
    others = prod(where(same, full_like(square, 1), square), (rank - 1,))
    moved = reshape(others, tuple(x.shape[i] for i in there))
    return (multiply(transpose(moved, back), restored(g, axes, x.shape)),)


PROD = Primitive(
    "prod",
    "reduction",
    r"\prod x",
    lambda sources, a: (reduced_shape("prod", sources[0], a.axes), sources[0].dtype),
    lambda a, x: np.asarray(np.prod(x, axis=a.axes, dtype=x.dtype)),
    _prod_derivative,
)


def prod(x: Node, axes: tuple[int, ...]) -> Node:
    """The product over the axes, which are removed."""
    return make(PROD, (x,), AxesAttributes(axes)) if axes else x


def _argmax_infer(sources: tuple[Node, ...], a: AxisAttributes) -> Typed:
    (x,) = sources
    shape = reduced_shape("argmax", x, (a.axis,))
    if x.shape[a.axis] == 0:
        raise ShapeError(f"argmax: axis {a.axis} of shape {x.shape} is empty")
    return shape, np.dtype(np.int64)


def _argmax_value(a: AxisAttributes, x: Array) -> Array:
    return np.asarray(np.argmax(x, axis=a.axis))


ARGMAX = Primitive(
    "argmax",
    "reduction",
    r"\mathrm{argmax}\, x",
    _argmax_infer,
    _argmax_value,
    lambda y, g: (None,),
)


def argmax(x: Node, axis: int) -> Node:
    """The index of the first largest element along an axis, which is removed (int64)."""
    return make(ARGMAX, (x,), AxisAttributes(axis))


def _deviations_infer(sources: tuple[Node, ...], a: AxesAttributes) -> Typed:
    (x,) = sources
    if x.dtype.kind != "f":
        raise DTypeError(f"squared_deviations: floating point is needed, got {x.dtype}")
    return reduced_shape("squared_deviations", x, a.axes), x.dtype


def _deviations_value(a: AxesAttributes, x: Array) -> Array:
    """In two passes and double precision: the reference for what kernels do in one."""
    if not x.size:
        return np.asarray(np.sum(x, axis=a.axes, dtype=x.dtype))
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axis=a.axes, keepdims=True)
    return np.asarray(np.square(centred).sum(axis=a.axes).astype(x.dtype))


def _deviations_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    """2 g (x − mean): that the mean moves too adds nothing, as the deviations sum to zero."""
    x, axes = y.sources[0], y.attributes.axes
    centred = subtract(x, restored(mean(x, axes), axes, x.shape))
    return (multiply(centred, restored(multiply(g, full_like(g, 2)), axes, x.shape)),)


SQUARED_DEVIATIONS = Primitive(
    "squared_deviations",
    "reduction",
    r"\sum (x - \bar x)^2",
    _deviations_infer,
    _deviations_value,
    _deviations_derivative,
)


def squared_deviations(x: Node, axes: tuple[int, ...]) -> Node:
    """Σ (x − mean of x)² over the axes, which are removed: the variance times their extents."""
    return make(SQUARED_DEVIATIONS, (x,), AxesAttributes(axes)) if axes else full_like(x, 0)


def mean(x: Node, axes: tuple[int, ...]) -> Node:
    """The mean over the axes, which are removed; NaN where there are no elements."""
    count = math.prod(x.shape[i] for i in axes)
    share = 1 / count if count else math.nan
    total = sum(x, axes)
    return multiply(total, full_like(total, share))
