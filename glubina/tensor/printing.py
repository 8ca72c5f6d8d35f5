"""How a tensor is printed: as people know it from torch and NumPy."""

from __future__ import annotations

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
    return np.array2string(
        array,
        precision=PRECISION,
        threshold=THRESHOLD,
        edgeitems=EDGE,
        max_line_width=WIDTH,
        separator=", ",
        prefix="tensor(",
        floatmode="maxprec_equal" if _has_fractions(array) else "maxprec",
        suppress_small=_is_plain(array),
    )


def _has_fractions(array: NDArray[Any]) -> bool:
    if array.dtype.kind != "f":
        return False
    finite = array[np.isfinite(array)]
    return bool((finite != np.floor(finite)).any())


def _is_plain(array: NDArray[Any]) -> bool:
    """Whether the numbers are of such sizes that no exponents are needed."""
    if array.dtype.kind != "f":
        return True
    sizes = np.abs(array[np.isfinite(array) & (array != 0)])
    if not sizes.size:
        return True
    return bool(sizes.max() < 1e8 and sizes.max() / sizes.min() < 1000 and sizes.min() >= 1e-4)


def formatted(tensor: Tensor, spec: str) -> str:
    """A tensor of one element as a number under a format; any other as `str`."""
    if spec and tensor.size == 1:
        return format(tensor.item(), spec)
    return format(str(tensor), spec)
