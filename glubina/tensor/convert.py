"""What operations accept as an operand, and how it becomes a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Union

import numpy as np
from numpy.typing import NDArray

from glubina.graph.errors import DTypeError
from glubina.graph.node import DType, Node
from glubina.tensor.base import TensorBase, known
from glubina.tensor.cell import Cell, Leaf, Scalar, leaf_of_array
from glubina.tensor.mode import mode
from glubina.tensor.promotion import DEFAULT, as_dtype, float64

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor

Operand: TypeAlias = Union["Tensor", Scalar, NDArray[Any], np.generic]
ArrayLike: TypeAlias = Union["Tensor", Scalar, NDArray[Any], np.generic, Sequence[Any]]


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether a value is a tensor."""
    return isinstance(value, TensorBase)


def settled(leaf: Leaf) -> Tensor:
    """A tensor whose value is there."""
    tensor = known(leaf)
    if mode.trace is not None:
        mode.trace.own.add(tensor._cell)
    return tensor


def as_tensor(value: ArrayLike, dtype: DType | None = None) -> Tensor:
    """The value as a tensor: itself if it is one, else a copy of it."""
    if is_tensor(value):
        return value if dtype is None or value.dtype == dtype else value.astype(dtype)
    return settled(leaf_of_array(numpy_array(value, dtype)))


def numpy_array(value: Any, dtype: DType | None = None) -> NDArray[Any]:
    """An array that a tensor can hold, from numbers, nested lists or an array."""
    if isinstance(value, (list, tuple)):
        value = _without_tensors(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise DTypeError(
            f"tensor: the nested lists have different lengths{ragged(value)}; pad the shorter ones"
        ) from None
    if array.dtype.kind not in "biuf":
        if array.dtype.kind in "cmM":
            hint = "; keep the real and the imaginary part apart" if array.dtype.kind == "c" else ""
            raise DTypeError(f"tensor: {array.dtype} is not a dtype that tensors have{hint}")
        example = array.item() if array.ndim == 0 else _example(array)
        plain = isinstance(example, (str, bytes, list, tuple, dict))
        what = f"{type(example).__name__} {example!r}" if plain else type(example).__name__
        raise DTypeError(f"a tensor holds numbers, got {'None' if example is None else what}")
    if dtype is not None:
        return array.astype(dtype, copy=False)
    if array.dtype == float64 and not isinstance(value, (np.ndarray, np.generic)):
        return array.astype(DEFAULT)
    return array.astype(as_dtype(array.dtype), copy=False)


def _without_tensors(value: Any) -> Any:
    if is_tensor(value):
        return value.numpy()
    if isinstance(value, (list, tuple)):
        return [_without_tensors(v) for v in value]
    return value


def ragged(value: Any, at: str = "") -> str:
    """Where in nested lists the lengths first differ, as a part of an error's text."""
    lengths = [len(v) if isinstance(v, (list, tuple)) else None for v in value]
    for number, length in enumerate(lengths):
        if length != lengths[0]:
            first, other = ("no length" if n is None else str(n) for n in (lengths[0], length))
            return f": [{at}0] has {first}, [{at}{number}] has {other}"
    for number, part in enumerate(value):
        if isinstance(part, (list, tuple)) and (text := ragged(part, f"{at}{number}, ")):
            return text
    return ""


def _example(array: NDArray[Any]) -> Any:
    """The first element that is no number."""
    found = array.ravel().tolist()
    return next((v for v in found if not isinstance(v, (int, float))), None)


__all__ = ["ArrayLike", "Cell", "Node", "Operand", "as_tensor", "is_tensor", "numpy_array"]
