"""Operations that move numbers without changing them, and `sum`, the transpose of broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Array, Node, Primitive, Shape, Typed, make


class ShapeAttributes(NamedTuple):
    """The shape that comes out."""

    shape: Shape


class AxesAttributes(NamedTuple):
    """The axes that a reduction removes, ascending."""

    axes: tuple[int, ...]


class PermutationAttributes(NamedTuple):
    """permutation[i] is the source axis that becomes axis i."""

    permutation: tuple[int, ...]


class SliceAttributes(NamedTuple):
    """Per axis: the first index, the number of elements, the step (negative: backwards)."""

    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    steps: tuple[int, ...]


class PadAttributes(NamedTuple):
    """Per axis: zeros before, zeros after (0 or more), and zeros between neighbours."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    interior: tuple[int, ...]


class AxisAttributes(NamedTuple):
    """One axis."""

    axis: int


# -- reshape ------------------------------------------------------------------------------------


def _reshape_infer(sources: tuple[Node, ...], a: ShapeAttributes) -> Typed:
    (x,) = sources
    if math.prod(a.shape) != x.size:
        raise ShapeError(f"reshape: {x.shape} has {x.size} elements, {a.shape} another number")
    return a.shape, x.dtype


RESHAPE = Primitive(
    "reshape",
    "movement",
    r"\mathrm{reshape}(x)",
    _reshape_infer,
    lambda a, x: x.reshape(a.shape),
    lambda y, g: (reshape(g, y.sources[0].shape),),
    cost=0,
)


def reshape(x: Node, shape: Shape) -> Node:
    """The same elements in row-major order under another shape."""
    return x if x.shape == shape else make(RESHAPE, (x,), ShapeAttributes(shape))


# -- transpose ----------------------------------------------------------------------------------


def _transpose_infer(sources: tuple[Node, ...], a: PermutationAttributes) -> Typed:
    (x,) = sources
    if sorted(a.permutation) != list(range(len(x.shape))):
        raise ShapeError(f"transpose: {a.permutation} does not permute the axes of {x.shape}")
    return tuple(x.shape[i] for i in a.permutation), x.dtype


def _inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


TRANSPOSE = Primitive(
    "transpose",
    "movement",
    r"x^{T}",
    _transpose_infer,
    lambda a, x: np.ascontiguousarray(x.transpose(a.permutation)),
    lambda y, g: (transpose(g, _inverse(y.attributes.permutation)),),
    cost=0,
)


def transpose(x: Node, permutation: tuple[int, ...]) -> Node:
    """The axes in another order."""
    if permutation == tuple(range(len(x.shape))):
        return x
    return make(TRANSPOSE, (x,), PermutationAttributes(permutation))


# -- broadcast and sum --------------------------------------------------------------------------


def _broadcast_infer(sources: tuple[Node, ...], a: ShapeAttributes) -> Typed:
    (x,) = sources
    tail = a.shape[len(a.shape) - len(x.shape) :]
    fits = len(a.shape) >= len(x.shape) and all(
        have in (1, want) for have, want in zip(x.shape, tail, strict=True)
    )
    if not fits:
        raise ShapeError(f"broadcast: {x.shape} does not stretch to {a.shape}")
    return a.shape, x.dtype


def _broadcast_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    x = y.sources[0]
    extra = len(y.shape) - len(x.shape)
    axes = [*range(extra)]
    axes += [
        i + extra for i, extent in enumerate(x.shape) if extent == 1 and y.shape[i + extra] != 1
    ]
    return (reshape(sum(g, tuple(axes)), x.shape),)


BROADCAST = Primitive(
    "broadcast",
    "movement",
    r"x \mathbf{1}^{T}",
    _broadcast_infer,
    lambda a, x: np.broadcast_to(x, a.shape).copy(),
    _broadcast_derivative,
    cost=0,
)


def broadcast(x: Node, shape: Shape) -> Node:
    """Repeat along axes of extent 1 and along new leading axes."""
    return x if x.shape == shape else make(BROADCAST, (x,), ShapeAttributes(shape))


def reduced_shape(name: str, x: Node, axes: tuple[int, ...]) -> Shape:
    """The shape without the reduced axes; ShapeError if one is not an axis."""
    if any(not 0 <= i < len(x.shape) for i in axes) or list(axes) != sorted(set(axes)):
        raise ShapeError(f"{name}: axes {axes} are not ascending axes of shape {x.shape}")
    return tuple(extent for i, extent in enumerate(x.shape) if i not in axes)


def restored(reduced: Node, axes: tuple[int, ...], shape: Shape) -> Node:
    """A reduction's result stretched back over the axes that it removed."""
    kept = tuple(1 if i in axes else extent for i, extent in enumerate(shape))
    return broadcast(reshape(reduced, kept), shape)


def _sum_infer(sources: tuple[Node, ...], a: AxesAttributes) -> Typed:
    (x,) = sources
    if x.dtype.kind == "b":
        raise DTypeError("sum: booleans are cast to integers first")
    return reduced_shape("sum", x, a.axes), x.dtype


SUM = Primitive(
    "sum",
    "reduction",
    r"\sum x",
    _sum_infer,
    lambda a, x: np.asarray(np.sum(x, axis=a.axes, dtype=x.dtype)),
    lambda y, g: (restored(g, y.attributes.axes, y.sources[0].shape),),
)


def sum(x: Node, axes: tuple[int, ...]) -> Node:
    """The sum over the axes, which are removed."""
    return make(SUM, (x,), AxesAttributes(axes)) if axes else x


# -- slice and pad ------------------------------------------------------------------------------


def _slice_infer(sources: tuple[Node, ...], a: SliceAttributes) -> Typed:
    (x,) = sources
    if not len(x.shape) == len(a.starts) == len(a.lengths) == len(a.steps):
        raise ShapeError(f"slice: {len(a.starts)} ranges for an array of shape {x.shape}")
    for extent, start, length, step in zip(x.shape, *a, strict=True):
        last = start + (length - 1) * step
        if length < 0:
            raise ShapeError(f"slice: a negative length {length}")
        if length and not (0 <= start < extent and 0 <= last < extent and step):
            raise ShapeError(f"slice: {start}:{last}:{step} leaves an axis of {extent}")
    return a.lengths, x.dtype


def _slice_value(a: SliceAttributes, x: Array) -> Array:
    picks = [start + step * np.arange(length) for start, length, step in zip(*a, strict=True)]
    return np.ascontiguousarray(x[np.ix_(*picks)]) if picks else x


def _slice_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    x, a = y.sources[0], y.attributes
    if y.size == 0:
        missing = tuple(extent - n for extent, n in zip(x.shape, y.shape, strict=True))
        return (pad(g, (0,) * len(missing), missing),)
    backwards = tuple(i for i, step in enumerate(a.steps) if step < 0)
    g = flip(g, backwards)
    low, high, interior = [], [], []
    for extent, start, length, step in zip(x.shape, *a, strict=True):
        last = start + (length - 1) * step
        first, end = min(start, last), max(start, last)
        low.append(first)
        high.append(extent - 1 - end)
        interior.append(abs(step) - 1)
    return (pad(g, tuple(low), tuple(high), tuple(interior)),)


SLICE = Primitive(
    "slice", "movement", r"x_{a:b:c}", _slice_infer, _slice_value, _slice_derivative, cost=0
)


def slice(
    x: Node, starts: tuple[int, ...], lengths: tuple[int, ...], steps: tuple[int, ...]
) -> Node:
    """Evenly spaced elements along each axis."""
    if lengths == x.shape and not any(starts) and all(s == 1 for s in steps):
        return x
    return make(SLICE, (x,), SliceAttributes(starts, lengths, steps))


def flip(x: Node, axes: tuple[int, ...]) -> Node:
    """The axes backwards."""
    if not axes or not x.size:
        return x
    starts = tuple(e - 1 if i in axes else 0 for i, e in enumerate(x.shape))
    steps = tuple(-1 if i in axes else 1 for i in range(len(x.shape)))
    return slice(x, starts, x.shape, steps)


def _pad_infer(sources: tuple[Node, ...], a: PadAttributes) -> Typed:
    (x,) = sources
    if not len(x.shape) == len(a.low) == len(a.high) == len(a.interior):
        raise ShapeError(f"pad: {len(a.low)} widths for an array of shape {x.shape}")
    if any(width < 0 for widths in a for width in widths):
        raise ShapeError(f"pad: negative widths {tuple(a)}")
    shape = tuple(
        low + extent + max(extent - 1, 0) * between + high
        for extent, low, high, between in zip(x.shape, *a, strict=True)
    )
    return shape, x.dtype


def _pad_value(a: PadAttributes, x: Array) -> Array:
    spread = [(n - 1) * (k + 1) + 1 if n else 0 for n, k in zip(x.shape, a.interior, strict=True)]
    shape = [low + n + high for low, n, high in zip(a.low, spread, a.high, strict=True)]
    result = np.zeros(shape, x.dtype)
    inside = tuple(
        np.s_[low : low + n : k + 1] for low, n, k in zip(a.low, spread, a.interior, strict=True)
    )
    result[inside] = x
    return result


def _pad_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    x, a = y.sources[0], y.attributes
    return (slice(g, a.low, x.shape, tuple(k + 1 for k in a.interior)),)


PAD = Primitive(
    "pad", "movement", r"\mathrm{pad}(x)", _pad_infer, _pad_value, _pad_derivative, cost=0
)


def pad(
    x: Node, low: tuple[int, ...], high: tuple[int, ...], interior: tuple[int, ...] | None = None
) -> Node:
    """Zeros around and between the elements."""
    interior = interior or (0,) * len(low)
    if not any((*low, *high, *interior)):
        return x
    return make(PAD, (x,), PadAttributes(low, high, interior))


# -- concat -------------------------------------------------------------------------------------


def _concat_infer(sources: tuple[Node, ...], a: AxisAttributes) -> Typed:
    first = sources[0]
    if not 0 <= a.axis < len(first.shape):
        raise ShapeError(f"concat: axis {a.axis} is not an axis of shape {first.shape}")
    total = 0
    for x in sources:
        rest = x.shape[: a.axis] + x.shape[a.axis + 1 :]
        if len(x.shape) != len(first.shape) or rest != (
            first.shape[: a.axis] + first.shape[a.axis + 1 :]
        ):
            raise ShapeError(f"concat along axis {a.axis}: {first.shape} and {x.shape} differ")
        if x.dtype != first.dtype:
            raise DTypeError(f"concat: dtypes {first.dtype} and {x.dtype} differ")
        total += x.shape[a.axis]
    return (*first.shape[: a.axis], total, *first.shape[a.axis + 1 :]), first.dtype


def _concat_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    axis, start, parts = y.attributes.axis, 0, []
    ones = (1,) * len(y.shape)
    for x in y.sources:
        starts = tuple(start if i == axis else 0 for i in range(len(y.shape)))
        parts.append(slice(g, starts, x.shape, ones))
        start += x.shape[axis]
    return parts


CONCAT = Primitive(
    "concat",
    "movement",
    r"[x, y]",
    _concat_infer,
    lambda a, *arrays: np.concatenate(arrays, axis=a.axis),
    _concat_derivative,
    cost=0,
)


def concat(parts: Sequence[Node], axis: int) -> Node:
    """The parts one after another along an axis."""
    return parts[0] if len(parts) == 1 else make(CONCAT, tuple(parts), AxisAttributes(axis))


def describe(node: Node) -> Any:
    """The attributes as plain data, for listings."""
    return node.attributes._asdict() if hasattr(node.attributes, "_asdict") else {}
