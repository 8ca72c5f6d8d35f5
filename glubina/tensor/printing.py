"""How a tensor is printed: as people know it from torch and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.tensor.mode import mode
from glubina.tensor.promotion import bool_, float32, int64

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor

PRECISION = 4
THRESHOLD = 1000  # larger tensors are shown by their edges
EDGE = 3
WIDTH = 80


def tensor_repr(tensor: Tensor) -> str:
    """`tensor([[1., 2.]], requires_grad=True)`; of a tensor being traced only its form."""
    notes = []
    if mode.trace is not None:
        notes.append(f"shape={tensor.shape}")
        body = "..., "
    else:
        body = _numbers(tensor.numpy(copy=False))
        if tensor.size == 0 and tensor.shape != (0,):
            notes.append(f"shape={tensor.shape}")
    if tensor.dtype not in (float32, int64, bool_):
        notes.append(f"dtype={tensor.dtype.name}")
    if tensor.requires_grad:
        notes.append("requires_grad=True")
    name = type(tensor).__name__
    head = "tensor(" if name == "Tensor" else f"{name} containing:\ntensor("
    return head + ", ".join([body.rstrip(", "), *notes]) + ")"


def _numbers(array: NDArray[Any]) -> str:
    formatter: dict[str, Callable[[Any], str]] = {}
    if array.dtype.kind == "f":
        write = _style(_shown(array))
        width = max((len(write(v)) for v in _shown(array).flat), default=0)
        formatter["float_kind"] = lambda value: write(value).rjust(width)
    return np.array2string(
        array,
        threshold=THRESHOLD,
        edgeitems=EDGE,
        max_line_width=WIDTH,
        separator=", ",
        prefix="tensor(",
        formatter=formatter or None,  # type: ignore[arg-type]
    )


def _shown(array: NDArray[Any]) -> NDArray[Any]:
    """The elements that are printed: of large arrays the edges."""
    if array.size <= THRESHOLD:
        return array
    for axis, extent in enumerate(array.shape):
        if extent > 2 * EDGE:
            edges = [*range(EDGE), *range(extent - EDGE, extent)]
            array = np.take(array, edges, axis)
    return array


def _style(array: NDArray[Any]) -> Callable[[Any], str]:
    """How all the numbers of a tensor are written: `1.`, `1.0000` or `1.0000e+00`."""
    sizes = np.abs(array[np.isfinite(array) & (array != 0)].astype(np.float64))
    whole = bool((sizes == np.floor(sizes)).all())
    wide = bool(sizes.size and (sizes.max() / sizes.min() > 1000 or sizes.max() > 1e8))
    if wide or (sizes.size and not whole and sizes.min() < 1e-4):
        return lambda value: f"{value:.{PRECISION}e}"
    if whole:
        return lambda value: f"{value:.0f}." if np.isfinite(value) else f"{value:.0f}"
    return lambda value: f"{value:.{PRECISION}f}"


def formatted(tensor: Tensor, spec: str) -> str:
    """A tensor of one element as a number under a format; any other as `str`."""
    if spec and tensor.size == 1:
        return format(tensor.item(), spec)
    return format(str(tensor), spec)
