"""Functions of PyTorch that are made of the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import glubina.tensor as gl
from glubina.tensor.axes import as_axis
from glubina.tensor.convert import as_tensor
from glubina.torch import elementwise, moving, reductions
from glubina.torch.makers import all_telling
from glubina.torch.tensor import faced


class Extremes(NamedTuple):
    """The smallest and the largest elements."""

    min: Any
    max: Any


# -- element by element --------------------------------------------------------------------------


def exp2(input: Any) -> Any:
    """2ˣ."""
    return faced(gl.exp(gl.multiply(input, math.log(2))))


def hypot(input: Any, other: Any) -> Any:
    """√(x² + y²)."""
    return faced(gl.sqrt(gl.add(gl.square(input), gl.square(other))))


def fmod(input: Any, other: Any) -> Any:
    """`input` − other · trunc(input / other): the remainder with the sign of the input."""
    whole = gl.trunc(gl.divide(input, other))
    return faced(gl.subtract(input, gl.multiply(other, whole)))


def clamp_min(input: Any, min: Any) -> Any:
    """`input`, but at least `min`."""
    return elementwise.clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Any:
    """`input`, but at most `max`."""
    return elementwise.clamp(input, max=max)


# -- over axes -----------------------------------------------------------------------------------


def var_mean(input: Any, dim: Any = None, **options: Any) -> tuple[Any, Any]:
    """The variance and the mean; arguments as in `var`."""
    keepdim = options.get("keepdim", False)
    return reductions.var(input, dim, **options), reductions.mean(input, dim, keepdim)


def std_mean(input: Any, dim: Any = None, **options: Any) -> tuple[Any, Any]:
    """The standard deviation and the mean; arguments as in `std`."""
    keepdim = options.get("keepdim", False)
    return reductions.std(input, dim, **options), reductions.mean(input, dim, keepdim)


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Extremes:
    """The smallest and the largest elements, over all axes or one."""
    found = (gl.min(input, dim, keepdims=keepdim), gl.max(input, dim, keepdims=keepdim))
    return Extremes(*(faced(f) for f in found))


def nansum(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The sum in which NaN counts as 0."""
    x = as_tensor(input)
    return faced(gl.sum(gl.where(gl.isnan(x), 0.0, x), dim, keepdims=keepdim))


def nanmean(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The mean of what is not NaN."""
    x = as_tensor(input)
    there = gl.logical_not(gl.isnan(x)).astype(x.dtype)
    return faced(gl.divide(nansum(x, dim, keepdim), gl.sum(there, dim, keepdims=keepdim)))


def quantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The value below which a share q of the elements lies, linear between neighbours."""
    x = as_tensor(input) if dim is not None else gl.reshape(input, -1)
    at = 0 if dim is None else as_axis("quantile", dim, x.ndim)
    shares = np.asarray(as_tensor(q).numpy(), np.float64)
    if ((shares < 0) | (shares > 1)).any():
        raise ValueError(f"quantile: q must be between 0 and 1, got {q}")
    ordered = gl.sort(x, at)
    places = np.atleast_1d(shares) * (x.shape[at] - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, x.shape[at] - 1)
    part = gl.tensor((places - low).astype(x.dtype)).reshape((-1, *[1] * (x.ndim - at - 1)))
    below, above = gl.take(ordered, gl.tensor(low), at), gl.take(ordered, gl.tensor(high), at)
    found = gl.moveaxis(elementwise.lerp(below, above, part), at, 0)
    if keepdim:
        shape = (1,) * as_tensor(input).ndim if dim is None else found.shape[1:]
        found = gl.reshape(found, (-1, *shape)) if dim is None else gl.expand_dims(found, at + 1)
    return faced(found if shares.ndim else found[0])


def cumprod(input: Any, dim: int) -> Any:
    """The products of the first 1, 2, ... elements along an axis, by doubling."""
    x = as_tensor(input)
    at = as_axis("cumprod", dim, x.ndim)
    shift = 1
    while shift < x.shape[at]:
        widths = [(shift, 0) if i == at else (0, 0) for i in range(x.ndim)]
        longer = gl.pad(x, widths, 1.0)
        x = gl.multiply(x, moving.narrow(longer, at, 0, x.shape[at]))
        shift *= 2
    return faced(x)


def diff(input: Any, n: int = 1, dim: int = -1) -> Any:
    """The differences of neighbours along an axis, n times."""
    x = as_tensor(input)
    for _ in range(n):
        count = x.shape[dim] - 1
        x = gl.subtract(moving.narrow(x, dim, 1, count), moving.narrow(x, dim, 0, count))
    return faced(x)


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of the difference."""
    return reductions.norm(gl.subtract(input, other), p)


def cdist(x1: Any, x2: Any, p: float = 2.0) -> Any:
    """The distances of all rows of (..., P, M) from all rows of (..., R, M): (..., P, R)."""
    apart = gl.subtract(gl.expand_dims(x1, -2), gl.expand_dims(x2, -3))
    return reductions.norm(apart, p, -1)


# -- joining and making --------------------------------------------------------------------------


def atleast_1d(input: Any) -> Any:
    """With at least one axis."""
    x = as_tensor(input)
    return faced(x if x.ndim else gl.reshape(x, (1,)))


def atleast_2d(input: Any) -> Any:
    """With at least two axes; vectors become rows."""
    x = as_tensor(atleast_1d(input))
    return faced(x if x.ndim > 1 else gl.expand_dims(x, 0))


def vstack(tensors: Sequence[Any]) -> Any:
    """One above the other; vectors are rows."""
    return moving.cat([atleast_2d(t) for t in tensors], 0)


def hstack(tensors: Sequence[Any]) -> Any:
    """Side by side: along axis 1, vectors along their axis."""
    several = [atleast_1d(t) for t in tensors]
    return moving.cat(several, 0 if several[0].ndim == 1 else 1)


def column_stack(tensors: Sequence[Any]) -> Any:
    """Side by side; vectors are columns."""
    several = [gl.reshape(t, (-1, 1)) if t.ndim < 2 else t for t in tensors]
    return moving.cat(several, 1)


def tensor_split(input: Any, sections: int | Sequence[int], dim: int = 0) -> Any:
    """So many parts of nearly equal size, or cut at the places given."""
    x = as_tensor(input)
    extent = x.shape[dim]
    if isinstance(sections, int):
        each, more = divmod(extent, sections)
        sizes = [each + (i < more) for i in range(sections)]
    else:
        ends = [min(max(e + extent if e < 0 else e, 0), extent) for e in sections]
        sizes = [b - a for a, b in zip([0, *ends], [*ends, extent])]
    return faced(gl.split(x, sizes, dim))


def inner(input: Any, other: Any) -> Any:
    """Σ over the last axes of both."""
    return faced(gl.matmul(input, gl.transpose(other)) if as_tensor(other).ndim > 1
                 else gl.matmul(input, other))  # fmt: skip


def kron(input: Any, other: Any) -> Any:
    """Kronecker's product of two matrices."""
    a, b = as_tensor(input), as_tensor(other)
    wide = gl.multiply(a[:, None, :, None], b[None, :, None, :])
    return faced(gl.reshape(wide, (a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])))


def cross(input: Any, other: Any, dim: int = -1) -> Any:
    """The vector product of vectors of three elements along an axis."""
    a = [as_tensor(v) for v in gl.unstack(input, dim)]
    b = [as_tensor(v) for v in gl.unstack(other, dim)]
    if len(a) != 3 or len(b) != 3:
        raise ValueError(f"cross: axis {dim} must have 3 elements, got {len(a)} and {len(b)}")
    parts = [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]
    return faced(gl.stack(parts, dim))


def _indices(function: Any, row: int, col: int, offset: int) -> Any:
    return faced(gl.tensor(np.stack(function(row, offset, col)).astype(np.int64)))


def tril_indices(row: int, col: int, offset: int = 0) -> Any:
    """The rows and columns of the lower triangle: (2, count)."""
    return _indices(np.tril_indices, row, col, offset)


def triu_indices(row: int, col: int, offset: int = 0) -> Any:
    """The rows and columns of the upper triangle: (2, count)."""
    return _indices(np.triu_indices, row, col, offset)


# -- worked out now ------------------------------------------------------------------------------


def searchsorted(sorted_sequence: Any, input: Any, *, right: bool = False) -> Any:
    """Where each element would have to stand in an ascending vector (the first such place)."""
    values = as_tensor(sorted_sequence).numpy()
    found = np.searchsorted(values, as_tensor(input).numpy(), "right" if right else "left")
    return faced(gl.tensor(np.asarray(found, np.int64)))


def bucketize(input: Any, boundaries: Any, *, right: bool = False) -> Any:
    """Into which of the ranges between ascending boundaries each element falls."""
    return searchsorted(boundaries, input, right=right)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall into each of `bins` equal parts of min ... max."""
    x = as_tensor(input)
    values = x.numpy().reshape(-1)
    bounds = (values.min(), values.max()) if min == max == 0 else (min, max)
    return faced(gl.tensor(np.histogram(values, bins, bounds)[0].astype(x.dtype)))


def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """The different elements in ascending order, where each went, and how many there were."""
    options: dict[str, Any] = {"return_inverse": return_inverse, "return_counts": return_counts}
    found: Any = np.unique(as_tensor(input).numpy(), axis=dim, **options)
    if not (return_inverse or return_counts):
        return faced(gl.tensor(found))
    parts = list(found)
    if return_inverse and dim is None:
        parts[1] = parts[1].reshape(as_tensor(input).shape)
    return tuple(faced(gl.tensor(p)) for p in parts)


_METHODS = (
    *(exp2, hypot, fmod, clamp_min, clamp_max, aminmax, nansum, nanmean, quantile, cumprod),
    *(diff, dist, tensor_split, inner, kron, cross, unique, histc),
)
_OTHERS = (
    *(var_mean, std_mean, cdist, atleast_1d, atleast_2d, vstack, hstack, column_stack),
    *(tril_indices, triu_indices, searchsorted, bucketize),
)
METHODS: dict[str, Any] = all_telling({f.__name__: f for f in _METHODS})
FUNCTIONS: dict[str, Any] = {**METHODS, **all_telling({f.__name__: f for f in _OTHERS})}
