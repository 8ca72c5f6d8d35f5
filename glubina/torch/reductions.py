"""Sums, means, extremes and orders with `dim` and `keepdim`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import glubina.tensor as gl
from glubina.tensor.axes import as_axes, as_axis
from glubina.tensor.convert import as_tensor
from glubina.torch.adapters import adapted
from glubina.torch.makers import all_telling
from glubina.torch.tensor import faced

Dim = int | Sequence[int] | None


class Found(NamedTuple):
    """Values along an axis and where they stood."""

    values: Any
    indices: Any


def _along(x: gl.Tensor, indices: gl.Tensor, dim: int, keepdim: bool) -> Found:
    """The elements that indices (with the axis kept) name, and the indices."""
    values = gl.take_along_axis(x, indices, dim)
    if not keepdim:
        values, indices = gl.squeeze(values, dim), gl.squeeze(indices, dim)
    return Found(faced(values), faced(indices))


def _extreme(name: str, input: Any, dim: Any, keepdim: bool, smallest: bool) -> Any:
    x = as_tensor(input)
    if dim is None:
        return faced(gl.min(x) if smallest else gl.max(x))
    if isinstance(dim, gl.Tensor):
        return faced(gl.minimum(x, dim) if smallest else gl.maximum(x, dim))
    if not x.ndim:
        as_axis(name, dim, 1)
        return Found(faced(x.clone()), faced(gl.zeros((), dtype="int64")))
    at = as_axis(name, dim, x.ndim)
    place = (gl.argmin if smallest else gl.argmax)(x, at, keepdims=True)
    return _along(x, place, at, keepdim)


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with `dim` the pair (values, indices); of two tensors the larger ones.

    With `dim` the gradient goes to the first largest element, without it equal ones share it.
    """
    return _extreme("max", input, dim if other is None else other, keepdim, False)


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element, the pair (values, indices), or the smaller of two; see `max`."""
    return _extreme("min", input, dim if other is None else other, keepdim, True)


def _correction(unbiased: bool | None, correction: float | None) -> float:
    if unbiased is not None and correction is not None:
        raise TypeError("give unbiased or correction, not both")
    return float(unbiased) if unbiased is not None else 1.0 if correction is None else correction


def _spread(
    function: Any, input: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any
) -> Any:
    if isinstance(dim, bool):  # x.std(False)
        dim, unbiased = None, dim
    correction = _correction(unbiased, correction)
    return faced(function(input, dim, correction=correction, keepdims=keepdim))


def var(input: Any, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: float | None = None) -> Any:  # fmt: skip
    """The variance, divided by n − correction (by default 1, as PyTorch does)."""
    return _spread(gl.var, input, dim, unbiased, keepdim, correction)


def std(input: Any, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: float | None = None) -> Any:  # fmt: skip
    """The standard deviation √var, divided by n − correction (by default 1)."""
    return _spread(gl.std, input, dim, unbiased, keepdim, correction)


def norm(input: Any, p: Any = "fro", dim: Dim = None, keepdim: bool = False) -> Any:
    """(Σ |x|ᵖ)^(1/p) over the axes given (None: all); p may be infinite, 'fro' is 2.

    The derivative at 0 is 0.
    """
    x = as_tensor(input)
    order = 2.0 if p in ("fro", None) else float(p)
    if order == 0:
        return faced(gl.sum(gl.not_equal(x, 0).astype(x.dtype), dim, keepdims=keepdim))
    if math.isinf(order):
        found = (gl.max if order > 0 else gl.min)(gl.abs(x), dim, keepdims=keepdim)
        return faced(found)
    if order == 1:
        return faced(gl.sum(gl.abs(x), dim, keepdims=keepdim))
    powers = gl.multiply(x, x) if order == 2 else gl.pow(gl.abs(x), order)
    total = gl.sum(powers, dim, keepdims=keepdim)
    nothing = gl.equal(total, 0)
    safe = gl.where(nothing, 1.0, total)
    root = gl.sqrt(safe) if order == 2 else gl.pow(safe, 1 / order)
    return faced(gl.where(nothing, 0.0, root))


def vector_norm(x: Any, ord: float = 2, dim: Dim = None, keepdim: bool = False) -> Any:
    """`norm` under the name of torch.linalg."""
    return norm(x, ord, dim, keepdim)


def logsumexp(input: Any, dim: Dim, keepdim: bool = False) -> Any:
    """Ln Σ eˣ over the axes given, without overflow."""
    return faced(gl.logsumexp(input, dim, keepdims=keepdim))


def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> Found:
    """The elements in order along an axis, and where they stood (the order is found now)."""
    x = as_tensor(input)
    order = gl.argsort(x, dim, descending=descending)
    return Found(faced(gl.take_along_axis(x, order, dim)), faced(order))


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Found:
    """The k largest (or smallest) elements along an axis, and where they stood."""
    x = as_tensor(input)
    at = as_axis("topk", dim, x.ndim)
    if not 0 <= k <= x.shape[at]:
        raise ValueError(f"topk: k must be from 0 to {x.shape[at]}, the extent of axis {dim}; "
                         f"got {k}")  # fmt: skip
    order = gl.argsort(x, at, descending=largest)
    chosen = order[(*[slice(None)] * at, slice(0, k))]
    return _along(x, chosen, at, True)


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Found:
    """The k-th smallest element along an axis (counted from 1), and where it stood."""
    x = as_tensor(input)
    at = as_axis("kthvalue", dim, x.ndim)
    if not 1 <= k <= x.shape[at]:
        raise ValueError(f"kthvalue: k must be from 1 to {x.shape[at]}, got {k}")
    order = gl.argsort(x, at)
    return _along(x, order[(*[slice(None)] * at, slice(k - 1, k))], at, keepdim)


def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element (of an even number the lower one), with `dim` and where it stood."""
    x = as_tensor(input)
    if dim is None:
        return kthvalue(x.reshape(-1), (x.size + 1) // 2).values
    return kthvalue(x, (x.shape[dim] + 1) // 2, dim, keepdim)


def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The sums of the first 1, 2, ... elements along an axis."""
    x = as_tensor(input)
    return faced(gl.cumulative_sum(x if dtype is None else x.astype(dtype), dim))


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each whole number from 0 on occurs (worked out now)."""
    import numpy as np

    given = None if weights is None else as_tensor(weights).numpy()
    return faced(gl.tensor(np.bincount(as_tensor(input).numpy(), given, minlength)))


def _softmax(function: Any) -> Any:
    def call(input: Any, dim: int, dtype: Any = None) -> Any:
        x = as_tensor(input)
        return faced(function(x if dtype is None else x.astype(dtype), dim))

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call


def mean(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean over the axes given (None: all); of floating numbers only, as in PyTorch."""
    x = as_tensor(input)
    if dtype is not None:
        x = x.astype(dtype)
    if x.dtype.kind != "f":
        raise TypeError(f"mean: needs floating numbers, got {x.dtype}; use x.float().mean()")
    return faced(gl.mean(x, dim, keepdims=keepdim))


def all_axes(name: str, dim: Dim, rank: int) -> tuple[int, ...]:
    """The axes that `dim` names, counted from the front."""
    return as_axes(name, dim, rank)


_OVER = {"dim": "axis", "keepdim": "keepdims"}

FUNCTIONS: dict[str, Any] = all_telling(
    {
        **{
            name: adapted(getattr(gl, name), "input", **_OVER)
            for name in ("any", "all", "argmax", "argmin")
        },
        **{n: adapted(getattr(gl, n), "input", **_OVER, dtype="dtype") for n in ("sum", "prod")},
        "amax": adapted(gl.max, "input", name="amax", **_OVER),
        "amin": adapted(gl.min, "input", name="amin", **_OVER),
        "count_nonzero": adapted(gl.count_nonzero, "input", dim="axis"),
        "argsort": adapted(
            gl.argsort, "input", dim="axis", descending="descending", stable="stable"
        ),
        "softmax": _softmax(gl.softmax),
        "log_softmax": _softmax(gl.log_softmax),
        "max": max,
        "min": min,
        "mean": mean,
        "var": var,
        "std": std,
        "norm": norm,
        "logsumexp": logsumexp,
        "sort": sort,
        "topk": topk,
        "kthvalue": kthvalue,
        "median": median,
        "cumsum": cumsum,
        "bincount": bincount,
    }
)
