"""Functions that move elements without changing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from glubina.graph import ops
from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Node, Shape
from glubina.tensor.axes import Axis, as_axes, as_axis, as_extents, as_shape, completed
from glubina.tensor.base import consume, wrap
from glubina.tensor.convert import Operand, as_tensor, is_tensor
from glubina.tensor.mode import mode
from glubina.tensor.promotion import bool_, broadcast_shapes, int64, result_type, scalar_node

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


def _like(x: Tensor, node: Node) -> Tensor:
    return wrap(node, mode.grad and x._requires_grad)


def reshape(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """The same elements in row-major order under another shape; one extent may be -1."""
    x = as_tensor(x)
    node = consume(x)
    wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    return _like(x, ops.reshape(node, completed(wanted, node.size, node.shape)))  # type: ignore[arg-type]


def flatten(x: Operand, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from `start_axis` to `end_axis` (inclusive) made one."""
    x = as_tensor(x)
    node = consume(x)
    rank = len(node.shape)
    if rank == 0:
        return _like(x, ops.reshape(node, (1,)))
    start, end = as_axis("flatten", start_axis, rank), as_axis("flatten", end_axis, rank)
    if start > end:
        raise ShapeError(f"flatten: start axis {start} comes after end axis {end}")
    length = 1
    for extent in node.shape[start : end + 1]:
        length *= extent
    return _like(x, ops.reshape(node, (*node.shape[:start], length, *node.shape[end + 1 :])))


def permute_dims(x: Operand, *axes: int | Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis axes[i] of x."""
    x = as_tensor(x)
    node = consume(x)
    rank = len(node.shape)
    wanted = as_extents("permute_dims", axes[0] if len(axes) == 1 else axes)  # type: ignore[arg-type]
    order = tuple([as_axis("permute_dims", a, rank) for a in wanted])
    if sorted(order) != list(range(rank)):
        raise ShapeError(f"permute_dims: {wanted} does not name each of the {rank} axes once")
    return _like(x, ops.transpose(node, order))


def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in reverse order, or in the order given (as in NumPy)."""
    x = as_tensor(x)
    if axes is not None:
        return permute_dims(x, axes)
    node = consume(x)
    return _like(x, ops.transpose(node, tuple(range(len(node.shape)))[::-1]))


def matrix_transpose(x: Operand) -> Tensor:
    """The last two axes exchanged."""
    x = as_tensor(x)
    node = consume(x)
    if len(node.shape) < 2:
        raise ShapeError(f"matrix_transpose: needs two axes or more, got the shape {node.shape}")
    return _like(x, ops.swap_last(node))


def swapaxes(x: Operand, first: int, second: int) -> Tensor:
    """Two axes exchanged."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = as_axis("swapaxes", first, x.ndim), as_axis("swapaxes", second, x.ndim)
    order[a], order[b] = order[b], order[a]
    return permute_dims(x, order)


def moveaxis(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The axes at `source` moved to `destination`; the others keep their order."""
    x = as_tensor(x)
    rank = x.ndim
    froms = [as_axis("moveaxis", a, rank) for a in as_extents("moveaxis", source)]
    tos = [as_axis("moveaxis", a, rank) for a in as_extents("moveaxis", destination)]
    if len(froms) != len(tos) or len({*froms}) != len(froms) or len({*tos}) != len(tos):
        raise ShapeError(f"moveaxis: cannot move the axes {source} to {destination}")
    order = [i for i in range(rank) if i not in froms]
    for to, origin in sorted(zip(tos, froms, strict=True)):
        order.insert(to, origin)
    return permute_dims(x, order)


def squeeze(x: Operand, axis: Axis = None) -> Tensor:
    """Without the axes given, which must have the extent 1 (None: all such axes)."""
    x = as_tensor(x)
    node = consume(x)
    if axis is None:
        axes = tuple(i for i, n in enumerate(node.shape) if n == 1)
    else:
        axes = as_axes("squeeze", axis, len(node.shape))
    if any(node.shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: the axes {axes} of the shape {node.shape} are not all 1")
    kept = tuple(n for i, n in enumerate(node.shape) if i not in axes)
    return _like(x, ops.reshape(node, kept))


def expand_dims(x: Operand, axis: int | Sequence[int] = 0) -> Tensor:
    """With a new axis of extent 1 at each position given (counted in the result)."""
    x = as_tensor(x)
    node = consume(x)
    wanted = as_extents("expand_dims", axis)
    axes = as_axes("expand_dims", wanted, len(node.shape) + len(wanted))
    extents = iter(node.shape)
    rank = len(node.shape) + len(wanted)
    shape = tuple([1 if i in axes else next(extents) for i in range(rank)])
    return _like(x, ops.reshape(node, shape))


def broadcast_to(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """`x` repeated along axes of extent 1 and new leading axes, to the shape given."""
    x = as_tensor(x)
    node = consume(x)
    first = shape[0] if len(shape) == 1 else shape
    wanted = as_extents("broadcast_to", first)  # type: ignore[arg-type]
    lead = len(wanted) - len(node.shape)
    # -1 keeps an extent, as in torch's expand
    target = tuple(
        node.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(wanted)
    )
    return _like(x, ops.broadcast(node, target))


def broadcast_arrays(*tensors: Operand) -> list[Tensor]:
    """The tensors, each broadcast to their common shape."""
    given = [as_tensor(t) for t in tensors]
    shape = broadcast_shapes("broadcast_arrays", *(t.shape for t in given))
    return [broadcast_to(t, shape) for t in given]


def _several(name: str, tensors: Sequence[Operand]) -> tuple[list[Node], bool]:
    if is_tensor(tensors) or not isinstance(tensors, Iterable):
        kind = "one tensor" if is_tensor(tensors) else type(tensors).__name__
        raise DTypeError(f"{name}: takes a list of tensors such as [a, b], got {kind}")
    given = [as_tensor(t) for t in tensors]
    if not given:
        raise ShapeError(f"{name}: no tensors were given")
    dtype = result_type(*(t.dtype for t in given))
    nodes = [ops.cast(consume(t), dtype) for t in given]
    return nodes, mode.grad and any(t._requires_grad for t in given)


def concat(tensors: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """The tensors one after another along an axis; None flattens them first."""
    nodes, tracked = _several("concat", tensors)
    if axis is None:
        nodes = [ops.reshape(n, (n.size,)) for n in nodes]
        axis = 0
    return wrap(ops.concat(nodes, as_axis("concat", axis, len(nodes[0].shape))), tracked)


def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis."""
    nodes, tracked = _several("stack", tensors)
    shape = nodes[0].shape
    for node in nodes:
        if node.shape != shape:
            raise ShapeError(f"stack: the shapes {shape} and {node.shape} differ")
    at = as_axis("stack", axis, len(shape) + 1)
    thin = [ops.reshape(n, (*shape[:at], 1, *shape[at:])) for n in nodes]
    return wrap(ops.concat(thin, at), tracked)


def unstack(x: Operand, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, which is removed."""
    x = as_tensor(x)
    at = as_axis("unstack", axis, x.ndim)
    return tuple([squeeze(part, at) for part in split(x, 1, at)]) if x.shape[at] else ()


def split(x: Operand, size: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Parts of `size` elements along an axis (the last may be smaller), or of the sizes given."""
    x = as_tensor(x)
    node = consume(x)
    at = as_axis("split", axis, len(node.shape))
    extent = node.shape[at]
    if isinstance(size, int):
        if size < 1:
            raise ShapeError(f"split: the size of a part should be at least 1, it is {size}")
        sizes = [min(size, extent - begin) for begin in range(0, extent, size)]
    else:
        sizes = list(as_extents("split", size))
        if sum(sizes) != extent:
            raise ShapeError(f"split: the sizes {sizes} do not add up to the extent {extent}")
    parts, begin = [], 0
    for length in sizes:
        parts.append(_like(x, narrow(node, at, begin, length)))
        begin += length
    return tuple(parts)


def narrow(node: Node, axis: int, start: int, length: int) -> Node:
    """The node's elements start ... start + length - 1 along an axis."""
    rank = len(node.shape)
    starts = tuple(start if i == axis else 0 for i in range(rank))
    lengths = tuple(length if i == axis else n for i, n in enumerate(node.shape))
    return ops.slice(node, starts, lengths, (1,) * rank)


def flip(x: Operand, axis: Axis = None) -> Tensor:
    """The axes given (None: all) backwards."""
    x = as_tensor(x)
    node = consume(x)
    return _like(x, ops.flip(node, as_axes("flip", axis, len(node.shape))))


def roll(x: Operand, shift: int | Sequence[int], axis: Axis = None) -> Tensor:
    """The elements moved by `shift` places along an axis; those that leave come in again."""
    x = as_tensor(x)
    node = consume(x)
    shape = node.shape
    if axis is None:
        node = ops.reshape(node, (node.size,))
        axes: tuple[int, ...] = (0,)
    else:
        axes = tuple(as_axis("roll", a, len(shape)) for a in as_extents("roll", axis))
    shifts = as_extents("roll", shift)
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    for at, by in zip(axes, shifts, strict=True):
        extent = node.shape[at]
        by = by % extent if extent else 0
        if by:
            tail = narrow(node, at, extent - by, by)
            node = ops.concat([tail, narrow(node, at, 0, extent - by)], at)
    return _like(x, ops.reshape(node, shape))


def tile(x: Operand, repetitions: int | Sequence[int]) -> Tensor:
    """`x` as a tile, laid `repetitions` times along each axis."""
    x = as_tensor(x)
    node = consume(x)
    times = as_shape("tile", repetitions)
    rank = max(len(times), len(node.shape))
    times = (1,) * (rank - len(times)) + times
    shape = (1,) * (rank - len(node.shape)) + node.shape
    spread = tuple(n for extent in shape for n in (1, extent))
    wide = tuple(n for t, extent in zip(times, shape, strict=True) for n in (t, extent))
    laid = ops.broadcast(ops.reshape(node, spread), wide)
    return _like(x, ops.reshape(laid, _products(times, shape)))


def _products(a: Shape, b: Shape) -> Shape:
    return tuple(m * n for m, n in zip(a, b, strict=True))


def repeat(x: Operand, repeats: int, axis: int | None = None) -> Tensor:
    """Each element `repeats` times in a row along an axis (None: of the flattened tensor)."""
    x = as_tensor(x)
    node = consume(x)
    if axis is None:
        node = ops.reshape(node, (node.size,))
        axis = 0
    at = as_axis("repeat", axis, len(node.shape))
    shape = node.shape
    (times,) = as_shape("repeat", repeats)
    thin = ops.reshape(node, (*shape[: at + 1], 1, *shape[at + 1 :]))
    wide = ops.broadcast(thin, (*shape[: at + 1], times, *shape[at + 1 :]))
    return _like(x, ops.reshape(wide, (*shape[:at], shape[at] * times, *shape[at + 1 :])))


def pad(x: Operand, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """`x` with `widths[i]` = (before, after) elements of `value` added along each axis i."""
    x = as_tensor(x)
    node = consume(x)
    pairs = [as_extents("pad", pair) for pair in widths]
    if len(pairs) != len(node.shape) or any(len(p) != 2 or min(p) < 0 for p in pairs):
        raise ShapeError(
            f"pad: needs a pair (before, after) for each of {len(node.shape)} axes, got {widths}"
        )
    low, high = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    padded = ops.pad(node, low, high)
    if value != 0:
        inside = ops.pad(ops.broadcast(ops.constant(True, bool_), node.shape), low, high)
        around = scalar_node(value, node.dtype, padded.shape)
        padded = ops.where(inside, padded, around)
    return _like(x, padded)


def diagonal_mask(rows: int, columns: int, shift: int) -> Node:
    """Where column <= row + shift: the lower triangle."""
    row = ops.iota((rows, columns), 0, int64)
    column = ops.iota((rows, columns), 1, int64)
    if shift:
        row = ops.add(row, ops.full_like(row, shift))
    return ops.less_equal(column, row)


def tril(x: Operand, k: int = 0) -> Tensor:
    """The lower triangle of the last two axes (up to diagonal k), zeros elsewhere."""
    return _triangle("tril", x, k, True)


def triu(x: Operand, k: int = 0) -> Tensor:
    """The upper triangle of the last two axes (from diagonal k), zeros elsewhere."""
    return _triangle("triu", x, k - 1, False)


def _triangle(name: str, x: Operand, shift: int, lower: bool) -> Tensor:
    x = as_tensor(x)
    node = consume(x)
    if len(node.shape) < 2:
        raise ShapeError(f"{name}: needs two axes or more, got the shape {node.shape}")
    mask = ops.broadcast(diagonal_mask(node.shape[-2], node.shape[-1], shift), node.shape)
    zero = ops.full_like(node, 0)
    return _like(x, ops.where(mask, node, zero) if lower else ops.where(mask, zero, node))
