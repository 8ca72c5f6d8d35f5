"""Functions that move and pick elements: transpose, cat, gather, scatter, ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.graph import ops
from glubina.tensor.axes import as_axis
from glubina.tensor.base import consume, wrap
from glubina.tensor.convert import as_tensor
from glubina.tensor.errors import ShapeError
from glubina.tensor.mode import mode
from glubina.torch.adapters import adapted
from glubina.torch.makers import all_telling
from glubina.torch.tensor import faced
from glubina.torch.views import indexed, reshaped, turned


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two axes exchanged."""
    x = as_tensor(input)
    return turned(x, gl.swapaxes(x, dim0, dim1), lambda v: gl.swapaxes(v, dim0, dim1))


def t(input: Any) -> Any:
    """A matrix transposed; vectors and scalars as they are."""
    x = as_tensor(input)
    if x.ndim > 2:
        raise ShapeError(f"t: needs a matrix, got the shape {tuple(x.shape)}; use transpose")
    return turned(x, gl.transpose(x), gl.transpose)


def permute(input: Any, *dims: Any) -> Any:
    """The axes in another order."""
    x = as_tensor(input)
    result = gl.permute_dims(x, *dims)
    order = [d % x.ndim for d in (dims[0] if isinstance(dims[0], (tuple, list)) else dims)]
    back = sorted(range(x.ndim), key=order.__getitem__)
    return turned(x, result, lambda v: gl.permute_dims(v, order),
                  lambda v: gl.permute_dims(v, back))  # fmt: skip


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """The axes at `source` moved to `destination`; the others keep their order."""
    x = as_tensor(input)
    return turned(x, gl.moveaxis(x, source, destination),
                  lambda v: gl.moveaxis(v, source, destination),
                  lambda v: gl.moveaxis(v, destination, source))  # fmt: skip


def view(input: Any, *shape: Any) -> Any:
    """The same elements under another shape; changes of either one show in the other."""
    return reshaped(input, gl.reshape(input, *shape))


def view_as(input: Any, other: Any) -> Any:
    """Under the shape of another tensor."""
    return reshaped(input, gl.reshape(input, tuple(other.shape)))


def reshape(input: Any, shape: Any) -> Any:
    """The same elements under another shape; one extent may be -1."""
    return reshaped(input, gl.reshape(input, shape), copies=True)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes from start_dim to end_dim (inclusive) made one."""
    return reshaped(input, gl.flatten(input, start_dim, end_dim), copies=True)


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """One axis made several; one of the sizes may be -1."""
    x = as_tensor(input)
    at = as_axis("unflatten", dim, x.ndim)
    known = 1
    for n in sizes:
        known *= n if n != -1 else 1
    full = [x.shape[at] // known if n == -1 else n for n in sizes]
    return reshaped(x, gl.reshape(x, (*x.shape[:at], *full, *x.shape[at + 1 :])))


def squeeze(input: Any, dim: Any = None) -> Any:
    """Without the axes of extent 1: all such, or those named (others are left alone)."""
    x = as_tensor(input)
    if dim is None:
        return reshaped(x, gl.squeeze(x))
    named = dim if isinstance(dim, (tuple, list)) else (dim,)
    axes = [as_axis("squeeze", d, x.ndim) for d in named]
    return reshaped(x, gl.squeeze(x, tuple(a for a in axes if x.shape[a] == 1)))


def unsqueeze(input: Any, dim: int) -> Any:
    """With a new axis of extent 1."""
    return reshaped(input, gl.expand_dims(input, dim))


def expand(input: Any, *sizes: Any) -> Any:
    """Axes of extent 1 repeated, and new leading axes; -1 keeps an extent."""
    return faced(gl.broadcast_to(input, *sizes))


def expand_as(input: Any, other: Any) -> Any:
    """Expanded to the shape of another tensor."""
    return faced(gl.broadcast_to(input, tuple(other.shape)))


def repeat(input: Any, *sizes: Any) -> Any:
    """The tensor as a tile, laid so many times along each axis."""
    return faced(gl.tile(input, sizes[0] if len(sizes) == 1 else sizes))


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    """Parts of this size along an axis (the last may be smaller), or of the sizes given."""
    return _cut(as_tensor(tensor), gl.split(tensor, split_size_or_sections, dim), dim)


def chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """At most so many parts of equal size along an axis (the last may be smaller)."""
    if chunks < 1:
        raise ValueError(f"chunk: chunks must be at least 1, got {chunks}")
    x = as_tensor(input)
    extent = x.shape[as_axis("chunk", dim, x.ndim)]
    return _cut(x, gl.split(x, max(1, -(-extent // chunks)), dim), dim)


def _cut(x: gl.Tensor, parts: Sequence[gl.Tensor], dim: int) -> Any:
    """The parts along an axis, each linked to the whole."""
    start, before = 0, (slice(None),) * as_axis("split", dim, x.ndim)
    for part in parts:
        end = start + part.shape[dim]
        indexed(x, part, (*before, slice(start, end)))
        start = end
    return tuple(parts)


def unbind(input: Any, dim: int = 0) -> Any:
    """The slices along an axis, which is removed."""
    x = as_tensor(input)
    before = (slice(None),) * as_axis("unbind", dim, x.ndim)
    parts = gl.unstack(x, dim)
    return tuple(indexed(x, part, (*before, i)) for i, part in enumerate(parts))


def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    """The elements start ... start + length − 1 along an axis."""
    x = as_tensor(input)
    at = as_axis("narrow", dim, x.ndim)
    if not 0 <= start <= start + length <= x.shape[at]:
        raise IndexError(f"narrow: {start} ... {start + length} is not inside {x.shape[at]}")
    index = (*[slice(None)] * at, slice(start, start + length))
    return indexed(x, x[index], index)


def select(input: Any, dim: int, index: int) -> Any:
    """The slice with this index along an axis, which is removed."""
    x = as_tensor(input)
    place = (*[slice(None)] * as_axis("select", dim, x.ndim), index)
    return indexed(x, x[place], place)


def _common_part(x: gl.Tensor, shape: tuple[int, ...], at: int) -> gl.Tensor:
    """x cut to the extents of the indices, which may be smaller, along all other axes."""
    if all(n == m for i, (n, m) in enumerate(zip(x.shape, shape)) if i != at):
        return x
    return x[tuple(slice(None) if i == at else slice(0, n) for i, n in enumerate(shape))]


def _indices(name: str, x: gl.Tensor, index: Any, dim: int) -> tuple[gl.Tensor, int]:
    index = as_tensor(index)
    at = as_axis(name, dim, x.ndim)
    if index.ndim != x.ndim and x.ndim == 1 and index.ndim == 0:
        index = gl.reshape(index, (1,))
    if index.ndim != x.ndim:
        raise ShapeError(f"{name}: index needs {x.ndim} axes as input has, got {index.ndim}")
    if any(n > m for i, (n, m) in enumerate(zip(index.shape, x.shape)) if i != at):
        raise ShapeError(f"{name}: index {tuple(index.shape)} is larger than input "
                         f"{tuple(x.shape)} along another axis than {dim}")  # fmt: skip
    return index, at


def gather(input: Any, dim: int, index: Any) -> Any:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on for the other axes."""
    x = as_tensor(input)
    index, at = _indices("gather", x, index, dim)
    return faced(gl.take_along_axis(_common_part(x, index.shape, at), index, at))


def _flat_places(x: gl.Tensor, index: gl.Tensor, at: int) -> gl.Tensor:
    """Where the indices point in the flattened input; an index out of range is an error."""
    own = gl.reshape(gl.arange(x.size), x.shape)
    return gl.take_along_axis(_common_part(own, index.shape, at), index, at).reshape(-1)


def _source(src: Any, index: gl.Tensor, dtype: Any) -> gl.Tensor:
    """The elements of src that belong to the indices, as a vector."""
    if not isinstance(src, gl.Tensor):
        return gl.full((index.size,), src, dtype)
    if any(n > m for n, m in zip(index.shape, src.shape)):
        raise ShapeError(f"scatter: index {tuple(index.shape)} is larger than src "
                         f"{tuple(src.shape)}")  # fmt: skip
    return gl.reshape(src[tuple(slice(0, n) for n in index.shape)], -1).astype(dtype, copy=False)


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """`input` with each element of src added where its index points along an axis."""
    x = as_tensor(input)
    index, at = _indices("scatter_add", x, index, dim)
    found = gl.index_add(x.reshape(-1), _flat_places(x, index, at), _source(src, index, x.dtype))
    return faced(found.reshape(tuple(x.shape)))


def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None) -> Any:
    """`input` with each element of src (or the value) put where its index points along an axis.

    Of several for one place the last stays. The indices are worked out now.
    """
    x = as_tensor(input)
    index, at = _indices("scatter", x, index, dim)
    source = _source(value if src is None else src, index, x.dtype)
    flat = x.reshape(-1).clone()
    with_derivative = mode.grad and (x.requires_grad or source.requires_grad)
    flat = wrap(consume(flat), with_derivative)
    flat[_flat_places(x, index, at)] = source
    return faced(flat.reshape(tuple(x.shape)))


def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices that the indices name along an axis."""
    return faced(gl.take(input, index, dim))


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """`input` with each slice of source added where its index points along an axis."""
    more = source if alpha == 1 else gl.multiply(source, alpha)
    return faced(gl.index_add(input, index, more, dim))


def index_fill(input: Any, dim: int, index: Any, value: float) -> Any:
    """`input` with the slices that the indices name filled with a number."""
    x = as_tensor(input)
    result = wrap(consume(x), mode.grad and x.requires_grad)
    result[(*[slice(None)] * as_axis("index_fill", dim, x.ndim), as_tensor(index))] = value
    return faced(result)


def take(input: Any, index: Any) -> Any:
    """The elements of the flattened input that the indices name."""
    return faced(gl.take(gl.reshape(input, -1), index, 0))


def nonzero(input: Any, as_tuple: bool = False) -> Any:
    """Where the input is not zero: a row of indices per element, or one vector per axis."""
    found = gl.nonzero(input)
    return faced(found if as_tuple else gl.stack(found, 1))


def diag(input: Any, diagonal: int = 0) -> Any:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector."""
    x = as_tensor(input)
    return diag_embed(x, diagonal) if x.ndim == 1 else diagonal_of(x, diagonal)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The last axis as the diagonal of two new ones, zeros beside it."""
    x = as_tensor(input)
    there = gl.eye(x.shape[-1] + abs(offset), k=offset, dtype="bool")
    wide = gl.pad(x, [*[(0, 0)] * (x.ndim - 1), (abs(offset), 0)])
    none = gl.zeros((), dtype=x.dtype)
    found = gl.where(there, gl.expand_dims(wide, -1 if offset < 0 else -2), none)
    return faced(gl.moveaxis(found, (-2, -1), (dim1, dim2)))


def diagonal_of(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two axes as a new last axis."""
    x = movedim(input, (dim1, dim2), (-2, -1))
    rows, columns = x.shape[-2:]
    first, second = max(-offset, 0), max(offset, 0)
    length = max(0, min(rows - first, columns - second))
    places = gl.arange(length) * (columns + 1) + (first * columns + second)
    part = gl.take(gl.reshape(x, (*x.shape[:-2], rows * columns)), places, -1)
    steps = np.arange(length)
    return indexed(x, part, (..., steps + first, steps + second))


def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    return faced(gl.sum(diagonal_of(input)))


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors one after another along an axis; empty vectors are left out."""
    kept = [t for t in tensors if not (t.ndim == 1 and t.shape[0] == 0)]
    return faced(gl.concat(kept or list(tensors), dim))


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """The elements moved along the axes; those that leave come in again."""
    return faced(gl.roll(input, shifts, dims))


def flip(input: Any, *dims: Any) -> Any:
    """The axes named backwards."""
    return faced(gl.flip(input, dims[0] if len(dims) == 1 else dims))


def unfold_windows(input: Any, dimension: int, size: int, step: int) -> Any:
    """All windows of this size along an axis, as a new last axis (`Tensor.unfold`)."""
    x = as_tensor(input)
    at = as_axis("unfold", dimension, x.ndim)
    starts = range(0, x.shape[at] - size + 1, step)
    places = gl.tensor([[s + i for i in range(size)] for s in starts])
    found = gl.take(x, places.reshape(-1), at)
    shape = (*x.shape[:at], len(starts), size, *x.shape[at + 1 :])
    return faced(gl.moveaxis(found.reshape(shape), at + 1, -1))


def detached(input: Any) -> Any:
    """The value without derivatives."""
    return faced(wrap(ops.detach(consume(as_tensor(input)))))


FUNCTIONS: dict[str, Any] = all_telling({
    "stack": adapted(gl.stack, "tensors", dim="axis"),
    "repeat_interleave": adapted(gl.repeat, "input", "repeats", dim="axis",
                                 name="repeat_interleave"),
    "tril": adapted(gl.tril, "input", diagonal="k"),
    "triu": adapted(gl.triu, "input", diagonal="k"),
    "masked_select": adapted(gl.masked_select, "input", "mask"),
    "movedim": movedim,
    "tile": adapted(gl.tile, "input", "dims"),
    "broadcast_to": adapted(gl.broadcast_to, "input", "size"),
    "take_along_dim": adapted(gl.take_along_axis, "input", "indices", dim="axis",
                              name="take_along_dim"),
    "reshape": reshape, "transpose": transpose, "t": t, "permute": permute, "flatten": flatten,
    "unflatten": unflatten, "squeeze": squeeze, "unsqueeze": unsqueeze, "split": split,
    "chunk": chunk, "narrow": narrow, "select": select, "gather": gather, "take": take,
    "scatter": scatter, "scatter_add": scatter_add, "index_select": index_select,
    "index_add": index_add, "index_fill": index_fill, "nonzero": nonzero, "diag": diag,
    "diagonal": diagonal_of, "trace": trace, "cat": cat, "concat": cat, "roll": roll,
    "flip": flip, "swapdims": transpose, "swapaxes": transpose, "unbind": unbind,
})  # fmt: skip
