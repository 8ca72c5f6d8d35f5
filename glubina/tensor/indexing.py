"""Reading and writing parts of tensors: x[...], x[...] = v, take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glubina.graph import ops, origins
from glubina.graph.errors import DTypeError, IndexRangeError, ShapeError
from glubina.graph.node import Node
from glubina.tensor.axes import as_axis
from glubina.tensor.base import consume, consume_value, wrap
from glubina.tensor.cell import leaf_of_array
from glubina.tensor.comparison import where
from glubina.tensor.convert import Operand, as_tensor, is_tensor, settled
from glubina.tensor.inplace import check_leaf, write
from glubina.tensor.mode import mode
from glubina.tensor.promotion import bool_, broadcast_shapes, int64, scalar_node
from glubina.tensor.ranges import out_of_range
from glubina.tensor.shaping import broadcast_arrays

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor

Index = Any  # an int, a slice, None, ..., an integer or boolean array or tensor, or a tuple


def _parts(x: Tensor, index: Index) -> list[Any]:
    """The index as one entry per axis of x (and None for new axes), `...` written out."""
    given = list(index) if isinstance(index, tuple) else [index]
    parts: list[Any] = []
    for part in given:
        if isinstance(part, (list, range, np.ndarray)):
            part = as_tensor(part)
        if is_tensor(part) and part.dtype == bool_:
            at = sum(p is not None and p is not Ellipsis for p in parts)
            covered = x.shape[at : at + part.ndim]
            if Ellipsis not in parts and part.shape != covered:
                raise IndexRangeError(
                    f"a mask of shape {part.shape} does not fit the axes {covered} of a tensor of "
                    f"shape {x.shape}"
                )
            parts.extend(_mask_indices(part))
        else:
            parts.append(part)
    used = sum(p is not None and p is not Ellipsis for p in parts)
    dots = sum(p is Ellipsis for p in parts)
    if used > x.ndim or dots > 1:
        raise IndexRangeError(
            f"too many indices: {used} (and {dots} `...`) for a tensor of shape {x.shape}"
        )
    rest = [slice(None)] * (x.ndim - used)
    if dots:
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        return parts[:at] + rest + parts[at + 1 :]
    return parts + rest


def _mask_indices(mask: Tensor) -> list[Any]:
    """Where a mask holds, one index vector per axis.

    The result's shape depends on data, so this works the mask out now.
    """
    return [settled(leaf_of_array(i)) for i in np.nonzero(mask.numpy(copy=False))]


def getitem(x: Tensor, index: Index) -> Tensor:
    """x[index]: a copy of the part. See `Tensor.__getitem__`."""
    node = consume(x)
    return wrap(_read(node, _cut(node.shape, _parts(x, index))), mode.grad and x._requires_grad)


class _Cut(NamedTuple):
    """The slices of an index, the shape they leave, and the index tensors by axis of that."""

    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    steps: tuple[int, ...]
    shape: tuple[int, ...]
    arrays: dict[int, Tensor]


def _cut(source: tuple[int, ...], parts: list[Any]) -> _Cut:
    ranges: list[tuple[int, int, int]] = []
    shape: list[int] = []
    arrays: dict[int, Tensor] = {}
    for part in parts:
        if part is None:
            shape.append(1)
            continue
        axis = len(ranges)
        extent = source[axis]
        if isinstance(part, slice):
            start, stop, step = _range(part, extent)
            length = len(range(start, stop, step))
            ranges.append((start, length, step) if length else (0, 0, 1))
            shape.append(length)
        elif is_tensor(part):
            arrays[len(shape)] = part
            ranges.append((0, extent, 1))
            shape.append(extent)
        else:
            ranges.append((_integer(part, extent, axis, source), 1, 1))
    starts, lengths, steps = (tuple(r[i] for r in ranges) for i in range(3))
    return _Cut(starts, lengths, steps, tuple(shape), arrays)


def _read(node: Node, cut: _Cut) -> Node:
    part = ops.reshape(ops.slice(node, cut.starts, cut.lengths, cut.steps), cut.shape)
    return _gathered(part, cut.arrays) if cut.arrays else part


def _range(part: slice, extent: int) -> tuple[int, int, int]:
    def number(value: Any) -> Any:
        return int(value.item()) if is_tensor(value) else value

    try:
        return slice(number(part.start), number(part.stop), number(part.step)).indices(extent)
    except (TypeError, ValueError) as error:
        raise IndexRangeError(f"the slice {part} is no range of whole numbers: {error}") from error


def _integer(part: Any, extent: int, axis: int, shape: tuple[int, ...]) -> int:
    if isinstance(part, (bool, np.bool_)):
        raise IndexRangeError("True and False are no indices; use None for a new axis")
    try:
        number = part.__index__()
    except (AttributeError, TypeError):
        raise IndexRangeError(
            f"a tensor is indexed by whole numbers, slices, None, ..., or integer and boolean "
            f"tensors, not by {type(part).__name__}"
        ) from None
    if not -extent <= number < extent:
        raise IndexRangeError(
            f"index {number} is out of range for axis {axis} with {extent} elements (shape {shape})"
        )
    return int(number) % extent


def _late(node: Node, indices: Tensor) -> Node:
    """The node, its place remembered if the indices that it uses have no values yet."""
    if getattr(indices._cell.node, "buffer", None) is None:
        origins.note_site(node)
    return node


def _positions(indices: Tensor, extent: int, axis: int = 0) -> Node:
    """Index nodes as int64, negative ones counted from the end."""
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"indices must be whole numbers or booleans, got {indices.dtype}")
    wrong = out_of_range(indices, -extent, extent)
    if wrong is not None:
        raise IndexRangeError(
            f"index {wrong} is out of range for axis {axis} with {extent} elements"
        )
    node = consume_value(indices)
    if node.dtype.kind == "u":
        return ops.cast(node, int64) if node.dtype.itemsize == 8 else node
    node = ops.cast(node, int64)
    below = ops.less(node, ops.full_like(node, 0))
    return ops.where(below, ops.add(node, scalar_node(extent, int64, node.shape)), node)


def _together(node: Node, arrays: dict[int, Tensor]) -> tuple[list[int], Node]:
    """The axes that are indexed, and one flat position into them all."""
    axes = sorted(arrays)
    shape = broadcast_shapes("indexing", *(arrays[a].shape for a in axes))
    flat: Node | None = None
    for axis in axes:
        positions = _positions(arrays[axis], node.shape[axis], axis)
        place = ops.broadcast(ops.cast(positions, int64), shape)
        if len(axes) > 1:
            place = _checked(place, node.shape[axis])
        if flat is not None:
            place = ops.add(ops.multiply(flat, ops.full_like(flat, node.shape[axis])), place)
        flat = place
    assert flat is not None
    return axes, flat


def _checked(place: Node, extent: int) -> Node:
    """Positions outside the axis made so wrong that they stay wrong in a flat position."""
    far = ops.full_like(place, -(1 << 40))
    inside = ops.logical_and(
        ops.less_equal(ops.full_like(place, 0), place),
        ops.less(place, ops.full_like(place, extent)),
    )
    return ops.where(inside, place, far)


def _front(node: Node, axes: list[int]) -> tuple[Node, tuple[int, ...]]:
    """The indexed axes merged into one at the place of the first; the permutation that did it."""
    rank = len(node.shape)
    first = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    others = [i for i in range(rank) if i not in axes]
    order = (*others[:first], *axes, *others[first:])
    moved = ops.transpose(node, order)
    count = 1
    for axis in axes:
        count *= node.shape[axis]
    shape = moved.shape
    merged = ops.reshape(moved, (*shape[:first], count, *shape[first + len(axes) :]))
    return merged, (first, *order)


def _gathered(node: Node, arrays: dict[int, Tensor]) -> Node:
    axes, flat = _together(node, arrays)
    merged, (first, *_) = _front(node, axes)
    return _late(ops.take(merged, flat, first), arrays[axes[0]])


# -- writing ------------------------------------------------------------------------------------


def setitem(x: Tensor, index: Index, value: Operand) -> None:
    """x[index] = value: the cell's content is replaced by one with the part changed."""
    check_leaf(x, "x[...] = v")
    if is_tensor(index) and index.dtype == bool_ and index.shape == x.shape:
        given = as_tensor(value)
        if given.size == 1:
            chosen = where(index, given.reshape(()).astype(x.dtype), x)
            write(x, chosen._cell.node, chosen._requires_grad)
            return
    given = as_tensor(value)
    base = consume(x)
    cut = _cut(base.shape, _parts(x, index))
    tracked = mode.grad and (x._requires_grad or given._requires_grad)
    part = ops.cast(consume(given), base.dtype)
    changed = _scattered(base, cut, part) if cut.arrays else _placed(base, cut, part)
    write(x, changed, tracked)


def _fitted(part: Node, shape: tuple[int, ...]) -> Node:
    """The value broadcast to the part's shape; extra leading axes of 1 are let go."""
    given = part.shape
    extra = len(given) - len(shape)
    if extra > 0 and all(n == 1 for n in given[:extra]):
        part = ops.reshape(part, given[extra:])
    try:
        return ops.broadcast(part, shape)
    except ShapeError as error:
        raise ShapeError(
            f"x[...] = v: the value's shape {given} does not fit the part's {shape}"
        ) from error


def _placed(base: Node, cut: _Cut, part: Node) -> Node:
    """The base with a sliced part replaced: both stretched over the whole, then chosen from."""
    whole = ops.reshape(_fitted(part, cut.shape), cut.lengths)
    if not whole.size:
        return base
    if whole.shape == base.shape and all(step == 1 for step in cut.steps):
        return whole
    turned = tuple(i for i, step in enumerate(cut.steps) if step < 0)
    low, high, between = [], [], []
    for extent, start, length, step in zip(base.shape, *cut[:3], strict=True):
        last = start + (length - 1) * step
        low.append(min(start, last))
        high.append(extent - 1 - max(start, last))
        between.append(abs(step) - 1)
    widths = tuple(low), tuple(high), tuple(between)
    inside = ops.pad(ops.broadcast(ops.constant(True, bool_), whole.shape), *widths)
    return ops.where(inside, ops.pad(ops.flip(whole, turned), *widths), base)


def _scattered(base: Node, cut: _Cut, part: Node) -> Node:
    """The base with gathered places replaced (of a place named twice the last value stays).

    Which value wins depends on the indices, so this works them out now.
    """
    size = base.size
    places = _read(ops.reshape(ops.iota((size,), 0, int64), base.shape), cut)
    part = _fitted(part, places.shape)
    winners = np.full(size, -1, np.int64)
    winners[wrap(places).numpy(copy=False).reshape(-1)] = np.arange(places.size)
    winner: Node = leaf_of_array(np.maximum(winners, 0))
    written: Node = leaf_of_array(winners >= 0)
    if not places.size:
        return base
    values = ops.take(ops.reshape(part, (places.size,)), winner, 0)
    return ops.reshape(ops.where(written, values, ops.reshape(base, (size,))), base.shape)


# -- by function --------------------------------------------------------------------------------


def take(x: Operand, indices: Operand, axis: int | None = None) -> Tensor:
    """The slices of x that the indices name along an axis (may be left out for a vector)."""
    x, given = as_tensor(x), as_tensor(indices)
    node = consume(x)
    if axis is None:
        if len(node.shape) != 1:
            raise ShapeError(f"take: name an axis of the shape {node.shape}")
        axis = 0
    at = as_axis("take", axis, len(node.shape))
    taken = _late(ops.take(node, _positions(given, node.shape[at], at), at), given)
    return wrap(taken, mode.grad and x._requires_grad)


def take_along_axis(x: Operand, indices: Operand, axis: int = -1) -> Tensor:
    """For each place the element of x that an index names along one axis; the others agree."""
    x, given = as_tensor(x), as_tensor(indices)
    node = consume(x)
    rank = len(node.shape)
    at = as_axis("take_along_axis", axis, rank)
    if given.ndim != rank:
        raise ShapeError(
            f"take_along_axis: the indices need {rank} axes as x has, got the shape {given.shape}"
        )
    last = (*(i for i in range(rank) if i != at), at)
    back = tuple(sorted(range(rank), key=last.__getitem__))
    moved = ops.transpose(node, last)
    places = ops.transpose(_positions(given, node.shape[at], at), last)
    lead = broadcast_shapes("take_along_axis", moved.shape[:-1], places.shape[:-1])
    depth = node.shape[at]
    moved = ops.broadcast(moved, (*lead, depth))
    places = ops.broadcast(ops.cast(places, int64), (*lead, places.shape[-1]))
    rows = 1
    for extent in lead:
        rows *= extent
    flat = ops.reshape(places, (rows, places.shape[-1]))
    row = ops.iota(flat.shape, 0, int64)
    flat = ops.add(ops.multiply(row, ops.full_like(row, depth)), _checked(flat, depth))
    taken = _late(ops.take(ops.reshape(moved, (rows * depth,)), flat, 0), given)
    result = ops.transpose(ops.reshape(taken, places.shape), back)
    return wrap(result, mode.grad and x._requires_grad)


def index_add(x: Operand, indices: Operand, updates: Operand, axis: int = 0) -> Tensor:
    """`x` with each slice of `updates` added where its index points along an axis."""
    x, given, more = as_tensor(x), as_tensor(indices), as_tensor(updates)
    node = consume(x)
    at = as_axis("index_add", axis, len(node.shape))
    places = _positions(given, node.shape[at], at)
    spread = ops.scatter_add(places, ops.cast(consume(more), node.dtype), node.shape, at)
    tracked = mode.grad and (x._requires_grad or more._requires_grad)
    return wrap(ops.add(node, _late(spread, given)), tracked)


def masked_select(x: Operand, mask: Operand) -> Tensor:
    """The elements of x where the mask holds, as a vector (works the mask out now)."""
    x, chosen = broadcast_arrays(x, mask)
    return getitem(x, chosen)


def nonzero(x: Operand) -> tuple[Tensor, ...]:
    """Where x is not zero: one vector of indices per axis (works x out now)."""
    found = np.nonzero(as_tensor(x).numpy(copy=False))
    return tuple([settled(leaf_of_array(i)) for i in found])


def sort(x: Operand, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements in ascending (or descending) order along an axis (the order is found now)."""
    x = as_tensor(x)
    return take_along_axis(x, argsort(x, axis, descending=descending, stable=stable), axis)


def argsort(x: Operand, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that sort x along an axis (x is worked out now)."""
    values = as_tensor(x).numpy(copy=False)
    if descending:
        turned = np.flip(values, axis)
        order = np.flip(np.argsort(turned, axis, kind="stable"), axis)
        order = values.shape[axis] - 1 - order
    else:
        order = np.argsort(values, axis, kind="stable")
    return settled(leaf_of_array(np.ascontiguousarray(order)))


def unique_values(x: Operand) -> Tensor:
    """The different elements of x in ascending order (works x out now)."""
    return settled(leaf_of_array(np.unique(as_tensor(x).numpy(copy=False))))
