"""Functions of PyTorch that are used now and then: more joins, diagonals, orders, statistics."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import glubina.tensor as gl
from glubina.tensor.arguments import choice
from glubina.tensor.axes import as_axis
from glubina.tensor.base import consume, wrap
from glubina.tensor.convert import as_tensor
from glubina.tensor.mode import mode as recording
from glubina.torch import linalg, moving, reductions
from glubina.torch.makers import all_telling
from glubina.torch.tensor import Size, faced


class Found(NamedTuple):
    """Values along an axis and where they stood."""

    values: Any
    indices: Any


# -- shapes --------------------------------------------------------------------------------------


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes have together."""
    return Size(np.broadcast_shapes(*((s,) if isinstance(s, int) else tuple(s) for s in shapes)))


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """The tensors repeated to the shape that they have together."""
    return tuple(faced(t) for t in gl.broadcast_arrays(*tensors))


def ravel(input: Any) -> Any:
    """As a vector."""
    return moving.flatten(input)


def flipud(input: Any) -> Any:
    """The first axis backwards."""
    return moving.flip(input, 0)


def fliplr(input: Any) -> Any:
    """The second axis backwards."""
    return moving.flip(input, 1)


def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:
    """Turned by k right angles in the plane of two axes, from the first to the second."""
    x, (a, b) = as_tensor(input), dims
    turns = {0: lambda: x, 1: lambda: gl.swapaxes(gl.flip(x, b), a, b),
             2: lambda: gl.flip(gl.flip(x, a), b),
             3: lambda: gl.flip(gl.swapaxes(x, a, b), b)}  # fmt: skip
    return faced(turns[k % 4]())


def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> Any:
    """Parts of the sizes given along an axis."""
    return moving.split(input, list(split_sizes), dim)


def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of one element of each vector, a row each."""
    if len(tensors) == 1:
        return faced(as_tensor(tensors[0]))
    grids = gl.meshgrid(*tensors, indexing="ij")
    return faced(gl.stack([g.reshape(-1) for g in grids], 1))


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of r elements of a vector, a row each."""
    x = as_tensor(input)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(x.shape[0]), r)), np.int64).reshape(-1, r)
    return faced(gl.take(x, gl.tensor(places), 0))


def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of one."""
    parts = [as_tensor(t) for t in tensors]
    parts = [p.reshape((1, -1)) if p.ndim < 2 else p for p in parts]
    width, left, rows = sum(p.shape[1] for p in parts), 0, []
    for part in parts:
        rows.append(gl.pad(part, [(0, 0), (left, width - left - part.shape[1])]))
        left += part.shape[1]
    return faced(gl.concat(rows, 0))


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """`input` with the slices that the indices name replaced by those of source."""
    return _with(input, (*[slice(None)] * as_axis("index_copy", dim, input.ndim), index), source)


def index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """`input` with values at the places that the indices name; `accumulate` adds them."""
    if not accumulate:
        return _with(input, tuple(indices), values)
    x = as_tensor(input)
    places = gl.reshape(gl.arange(x.size), x.shape)[tuple(indices)]
    more = gl.broadcast_to(as_tensor(values).astype(x.dtype), tuple(places.shape))
    found = gl.index_add(x.reshape(-1), places.reshape(-1), more.reshape(-1))
    return faced(found.reshape(tuple(x.shape)))


def _with(input: Any, index: Any, value: Any) -> Any:
    result = wrap(consume(input), recording.grad and input.requires_grad)
    gl.Tensor.__setitem__(result, index, value)
    return faced(result)


def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """The sum, mean, product, largest or smallest of what is put at each place.

    reduce: "sum", "mean", "prod", "amax" or "amin". The places of the last three are worked out at
    once; gradients go to the elements that were chosen.
    """
    choice("reduce", reduce, "sum", "mean", "prod", "amax", "amin")
    x = as_tensor(input)
    if reduce in ("prod", "amax", "amin"):
        return _scattered(x, dim, as_tensor(index), as_tensor(src), reduce, include_self)
    zeros = gl.zeros_like(x)
    count = moving.scatter_add(zeros, dim, index, gl.ones_like(src))
    start = x if include_self else gl.where(gl.greater(count, 0), zeros, x)
    total = moving.scatter_add(start, dim, index, src)
    if reduce == "sum":
        return total
    share = gl.add(count, 1.0) if include_self else gl.clip(count, 1.0)
    return faced(gl.divide(total, share))


def _scattered(x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool) -> Any:
    """As `scatter_reduce`: the elements of each place in a row of their own, then reduced."""
    axis = as_axis("scatter_reduce", dim, x.ndim)
    part = tuple([slice(0, n) for n in index.shape])
    src = src[part]
    where = list(np.indices(tuple(index.shape)))
    where[axis] = index.numpy()
    places = np.ravel_multi_index(where, tuple(x.shape)).reshape(-1)
    order = np.argsort(places, kind="stable")
    ends = np.searchsorted(places[order], places[order], side="left")
    depth = np.arange(places.size) - ends  # the number of an element among those of its place
    most = int(depth.max(initial=0)) + 1
    rows = np.full((x.size, most), places.size)
    rows[places[order], depth] = order
    neutral = {"prod": 1.0, "amax": -np.inf, "amin": np.inf}[reduce]
    if x.dtype.kind != "f":
        ends_of = np.iinfo(x.dtype)
        neutral = {"prod": 1, "amax": ends_of.min, "amin": ends_of.max}[reduce]
    flat = gl.concat([src.reshape((-1,)), gl.full((1,), neutral, src.dtype)])
    table = gl.take(flat, gl.tensor(rows), axis=0)
    own = x.reshape((-1, 1))
    if not include_self:
        met = gl.tensor((rows < places.size).any(1)[:, None])
        own = gl.where(met, gl.full_like(own, neutral), own)
    whole = gl.concat([own, table], axis=1)
    found = {"prod": gl.prod, "amax": gl.max, "amin": gl.min}[reduce](whole, axis=1)
    return faced(found.reshape(tuple(x.shape)))


def dstack(tensors: Sequence[Any]) -> Any:
    """Tensors one behind the other along the third axis."""
    three = []
    for tensor in tensors:
        x = as_tensor(tensor)
        shape = tuple(x.shape)
        three.append(
            x.reshape((1, *(shape or (1,)), 1) if len(shape) < 2 else (*shape, 1))
            if len(shape) < 3
            else x
        )
    return faced(gl.concat(three, axis=2))


# -- numbers -------------------------------------------------------------------------------------


def xlogy(input: Any, other: Any) -> Any:
    """X · ln y, 0 where x is."""
    none = gl.equal(input, 0)
    safe = gl.where(none, 1.0, other)
    return faced(gl.where(none, 0.0, gl.multiply(input, gl.log(safe))))


def float_power(input: Any, exponent: Any) -> Any:
    """The power in float64."""
    return faced(gl.pow(as_tensor(input).astype("float64"), exponent))


def heaviside(input: Any, values: Any) -> Any:
    """0 below 0, 1 above, `values` at 0."""
    x = as_tensor(input)
    return faced(gl.where(gl.equal(x, 0), values, gl.greater(x, 0).astype(x.dtype)))


def isposinf(input: Any) -> Any:
    """Where it is +∞."""
    return faced(gl.equal(input, float("inf")))


def isneginf(input: Any) -> Any:
    """Where it is −∞."""
    return faced(gl.equal(input, float("-inf")))


def deg2rad(input: Any) -> Any:
    """Degrees as radians."""
    return faced(gl.multiply(input, np.pi / 180))


def rad2deg(input: Any) -> Any:
    """Radians as degrees."""
    return faced(gl.multiply(input, 180 / np.pi))


def vdot(input: Any, other: Any) -> Any:
    """The scalar product of two vectors."""
    return faced(gl.sum(gl.multiply(input, other)))


def logcumsumexp(input: Any, dim: int) -> Any:
    """Ln of the cumulative sums of eˣ along an axis."""
    x = as_tensor(input)
    high = gl.max(x, dim, keepdims=True).detach()
    return faced(gl.log(gl.cumulative_sum(gl.exp(x - high), dim)) + high)


def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The integral by trapezoids along an axis, with steps of x or dx."""
    values = gl.moveaxis(y, dim, -1)
    middle = gl.multiply(values[..., 1:] + values[..., :-1], 0.5)
    steps = dx if x is None else as_tensor(x)[..., 1:] - as_tensor(x)[..., :-1]
    return faced(gl.sum(gl.multiply(middle, steps), -1))


def cov(input: Any, *, correction: int = 1) -> Any:
    """The covariances of the rows (variables by observations)."""
    x = as_tensor(input)
    x = x if x.ndim > 1 else x.reshape((1, -1))
    apart = x - gl.mean(x, 1, keepdims=True)
    found = gl.matmul(apart, gl.transpose(apart)) / (x.shape[1] - correction)
    return faced(found if as_tensor(input).ndim > 1 else found.reshape(()))


def corrcoef(input: Any) -> Any:
    """The correlations of the rows."""
    found = as_tensor(cov(input))
    size = gl.sqrt(moving.diagonal_of(found))
    return faced(found / (gl.expand_dims(size, 0) * gl.expand_dims(size, 1)))


def matrix_power(input: Any, n: int) -> Any:
    """A square matrix multiplied with itself, n times in all."""
    x = as_tensor(input)
    result = gl.eye(x.shape[-1], dtype=x.dtype)
    for _ in range(abs(n)):
        result = gl.matmul(result, x)
    return linalg.inv(result) if n < 0 else faced(result)


# -- orders, worked out now ----------------------------------------------------------------------


def argwhere(input: Any) -> Any:
    """Where the input is not zero: a row of indices per element."""
    return moving.nonzero(input)


def isin(elements: Any, test_elements: Any, *, invert: bool = False) -> Any:
    """Which elements are among the others."""
    one, other = (as_tensor(v).numpy() for v in (elements, test_elements))
    return faced(gl.tensor(np.isin(one, other, invert=invert)))


def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Found:
    """The value that occurs most often along an axis (the smallest of such), and a place of it."""
    x = as_tensor(input)
    moved = np.moveaxis(x.numpy(), dim, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    places = []
    for row in rows:
        values, counts = np.unique(row, return_counts=True)
        places.append(np.flatnonzero(row == values[counts.argmax()])[-1])
    index = np.moveaxis(np.array(places).reshape(*moved.shape[:-1], 1), -1, dim)
    return Found(*reductions._along(x, gl.tensor(index), as_axis("mode", dim, x.ndim), keepdim))


def _running(input: Any, dim: int, larger: bool) -> Found:
    x = as_tensor(input)
    values = np.moveaxis(x.numpy(), dim, 0)
    places, best = np.zeros(values.shape, np.int64), np.zeros(values.shape[1:], np.int64)
    for i in range(values.shape[0]):
        held = np.take_along_axis(values, best[None], 0)[0]
        better = values[i] >= held if larger else values[i] <= held
        best = np.where(better, i, best)
        places[i] = best
    index = gl.tensor(np.moveaxis(places, 0, dim))
    return Found(faced(gl.take_along_axis(x, index, dim)), faced(index))


def cummax(input: Any, dim: int) -> Found:
    """The largest of the first 1, 2, ... elements along an axis, and where each stood."""
    return _running(input, dim, True)


def cummin(input: Any, dim: int) -> Found:
    """The smallest of the first 1, 2, ... elements along an axis, and where each stood."""
    return _running(input, dim, False)


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    """The elements of a vector without those equal to the one before."""
    values = as_tensor(input).numpy().reshape(-1)
    new = np.concatenate([[True], values[1:] != values[:-1]]) if values.size else values == values
    found = [gl.tensor(values[new])]
    if return_inverse:
        found.append(gl.tensor(np.cumsum(new) - 1))
    if return_counts:
        found.append(gl.tensor(np.diff([*np.flatnonzero(new), values.size])))
    return tuple(faced(f) for f in found) if len(found) > 1 else faced(found[0])


def msort(input: Any) -> Any:
    """Sorted along the first axis."""
    return reductions.sort(input, 0).values


_METHODS = (
    *(ravel, flipud, fliplr, rot90, split_with_sizes, moving.diag_embed, index_copy, index_put),
    *(scatter_reduce, xlogy, float_power, heaviside, isposinf, isneginf, deg2rad, rad2deg, vdot),
    *(logcumsumexp, cov, corrcoef, matrix_power, argwhere, mode, cummax, cummin, msort),
    unique_consecutive,
)
_OTHERS = (
    *(broadcast_shapes, broadcast_tensors, cartesian_prod, combinations, block_diag, trapezoid),
    *(isin, dstack),
)
METHODS: dict[str, Any] = all_telling({f.__name__: f for f in _METHODS})
METHODS |= {"inverse": linalg.inv, "det": linalg.det, "pinverse": linalg.pinv}
METHODS |= {"slogdet": linalg.slogdet, "qr": linalg.qr, "svd": linalg.svd}
METHODS |= {"cholesky": linalg.cholesky}
FUNCTIONS: dict[str, Any] = {**METHODS, **{f.__name__: f for f in _OTHERS}}
FUNCTIONS |= {"trapz": trapezoid, "logdet": lambda input: linalg.slogdet(input)[1]}
