"""Functions that make tensors from data, shapes and ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glubina.graph import ops
from glubina.graph.errors import DTypeError, IndexRangeError, ShapeError
from glubina.graph.node import DType, Node, Shape
from glubina.tensor.arguments import whole
from glubina.tensor.axes import as_shape, given_shape
from glubina.tensor.base import wrap
from glubina.tensor.cell import Scalar, leaf_of_array
from glubina.tensor.convert import ArrayLike, Operand, as_tensor, is_tensor, numpy_array, settled
from glubina.tensor.promotion import (
    DEFAULT,
    as_dtype,
    bool_,
    int64,
    python_number,
    scalar_node,
)
from glubina.tensor.ranges import out_of_range

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


def _dtype(dtype: object, default: DType = DEFAULT) -> DType:
    return default if dtype is None else as_dtype(dtype)


def _made(node: Node, requires_grad: bool) -> Tensor:
    tensor = wrap(node)
    return tensor.requires_grad_() if requires_grad else tensor


def tensor(data: ArrayLike, dtype: object = None, *, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the data: numbers, nested lists, a NumPy array or a tensor.

    Python's floating numbers become float32, its whole numbers int64; arrays keep their dtype.
    """
    wanted = None if dtype is None else as_dtype(dtype)
    if is_tensor(data):
        copy = wrap(ops.detach(data._cell.node)).realise()
        result = copy if wanted is None else copy.astype(wanted)
    else:
        result = settled(leaf_of_array(numpy_array(data, wanted)))
    return result.requires_grad_() if requires_grad else result


def asarray(data: ArrayLike, dtype: object = None, *, copy: bool | None = None) -> Tensor:
    """The data as a tensor, without copying where that can be (a tensor, an aligned array).

    Memory that is shared with an array must not be changed through that array. `copy=True` always
    copies, `copy=False` raises ValueError where a copy would be needed.
    """
    if copy:
        return tensor(data, dtype)
    if is_tensor(data):
        return as_tensor(data, None if dtype is None else as_dtype(dtype))
    array = numpy_array(data, None if dtype is None else as_dtype(dtype))
    leaf = leaf_of_array(array, copy=False)
    shared = leaf.buffer is not None and np.may_share_memory(
        leaf.buffer.array(array.shape, array.dtype), array
    )
    if copy is False and not (shared and array is data):
        raise ValueError(
            "asarray: this data cannot be shared without a copy: it must be a NumPy array in "
            "row-major order whose memory begins at a multiple of 64 bytes"
        )
    return settled(leaf)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on the array's own memory where that can be, else a copy (see `asarray`)."""
    return asarray(array)


def from_dlpack(x: Any) -> Tensor:
    """A tensor from any object with `__dlpack__`, on its memory where that can be."""
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(
            f"from_dlpack: takes arrays of other libraries, got {type(x).__name__}; use gl.tensor"
        )
    return asarray(np.from_dlpack(x))


def full(
    shape: int | Sequence[int], value: Scalar, dtype: object = None, *, requires_grad: bool = False
) -> Tensor:
    """A tensor with one number everywhere."""
    number = python_number(value)
    if number is None:
        return as_tensor(value, None if dtype is None else as_dtype(dtype)).broadcast_to(shape)
    if dtype is None:
        default = bool_ if type(number) is bool else int64 if type(number) is int else DEFAULT
    else:
        default = as_dtype(dtype)
    return _made(scalar_node(number, default, as_shape("full", shape)), requires_grad)


def zeros(*shape: int | Sequence[int], dtype: object = None, requires_grad: bool = False) -> Tensor:
    """Zeros everywhere; the shape may be written as (2, 3) or as 2, 3."""
    return _constant(0, given_shape("zeros", shape), _dtype(dtype), requires_grad)


def ones(*shape: int | Sequence[int], dtype: object = None, requires_grad: bool = False) -> Tensor:
    """Ones everywhere; the shape may be written as (2, 3) or as 2, 3."""
    return _constant(1, given_shape("ones", shape), _dtype(dtype), requires_grad)


def empty(*shape: int | Sequence[int], dtype: object = None, requires_grad: bool = False) -> Tensor:
    """A tensor to be filled (with zeros until then)."""
    return _constant(0, given_shape("empty", shape), _dtype(dtype), requires_grad)


def _constant(value: Scalar, shape: Shape, dtype: DType, requires_grad: bool = False) -> Tensor:
    return _made(ops.broadcast(ops.constant(value, dtype), shape), requires_grad)


def zeros_like(x: Operand, dtype: object = None, *, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape (and dtype) of x."""
    x = as_tensor(x)
    return _constant(0, x.shape, _dtype(dtype, x.dtype), requires_grad)


def ones_like(x: Operand, dtype: object = None, *, requires_grad: bool = False) -> Tensor:
    """Ones in the shape (and dtype) of x."""
    x = as_tensor(x)
    return _constant(1, x.shape, _dtype(dtype, x.dtype), requires_grad)


def full_like(
    x: Operand, value: Scalar, dtype: object = None, *, requires_grad: bool = False
) -> Tensor:
    """One number everywhere, in the shape (and dtype) of x."""
    x = as_tensor(x)
    return full(x.shape, value, _dtype(dtype, x.dtype), requires_grad=requires_grad)


def empty_like(x: Operand, dtype: object = None, *, requires_grad: bool = False) -> Tensor:
    """A tensor to be filled, in the shape (and dtype) of x."""
    return zeros_like(x, dtype, requires_grad=requires_grad)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers start, start + step, ... below stop; from 0 if only one bound is given.

    Whole numbers give int64, others float32.
    """
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ShapeError("arange: the step must not be 0")
    whole = all(isinstance(v, (int, np.integer)) for v in (start, stop, step))
    wanted = _dtype(dtype, int64 if whole else DEFAULT)
    count = max(0, math.ceil((stop - start) / step))
    return _counted(count, start, step, wanted, requires_grad)


def _counted(count: int, start: float, step: float, dtype: DType, requires_grad: bool) -> Tensor:
    values = (np.arange(count) * step + start).astype(dtype)
    result = settled(leaf_of_array(values))
    return result.requires_grad_() if requires_grad else result


def linspace(
    start: float,
    stop: float,
    num: int,
    *,
    dtype: object = None,
    endpoint: bool = True,
    requires_grad: bool = False,
) -> Tensor:
    """`num` evenly spaced numbers from start to stop (which is left out if not `endpoint`)."""
    num = whole("num", num, 0)
    values = np.linspace(start, stop, num, endpoint=endpoint, dtype=_dtype(dtype))
    result = settled(leaf_of_array(values))
    return result.requires_grad_() if requires_grad else result


def eye(rows: int, columns: int | None = None, *, k: int = 0, dtype: object = None) -> Tensor:
    """Ones on the diagonal k of a matrix, zeros elsewhere."""
    shape = as_shape("eye", (rows, rows if columns is None else columns))
    row, column = ops.iota(shape, 0, int64), ops.iota(shape, 1, int64)
    if k:
        row = ops.add(row, ops.full_like(row, k))
    return wrap(ops.cast(ops.equal(row, column), _dtype(dtype)))


def meshgrid(*tensors: Operand, indexing: str = "xy") -> list[Tensor]:
    """Coordinate tensors from vectors: indexing "ij" (matrix) or "xy" (Cartesian, the default)."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing should be 'xy' or 'ij', it is {indexing!r}")
    given = [as_tensor(t).reshape(-1) for t in tensors]
    order = list(range(len(given)))
    if indexing == "xy" and len(given) > 1:
        order[:2] = [1, 0]
    shape = tuple(given[i].shape[0] for i in order)
    grids = []
    for number, values in enumerate(given):
        place = order.index(number)
        thin = tuple(-1 if i == place else 1 for i in range(len(given)))
        grids.append(values.reshape(thin).broadcast_to(shape))
    return grids


def one_hot(indices: Operand, classes: int, dtype: object = None) -> Tensor:
    """For each index a row with 1 at that place: [...] -> [..., classes] (float32 by default)."""
    given = as_tensor(indices)
    if given.dtype.kind not in "iu":
        raise ShapeError(f"one_hot: the indices must be whole numbers, got {given.dtype}")
    wrong = out_of_range(given, 0, classes)
    if wrong is not None:
        raise IndexRangeError(
            f"one_hot: class {wrong} is out of range: {classes} classes have the numbers 0 to "
            f"{classes - 1}"
        )
    shape = (*given.shape, classes)
    place = ops.iota(shape, len(shape) - 1, given.dtype)
    wide = ops.broadcast(ops.reshape(given._cell.node, (*given.shape, 1)), shape)
    return wrap(ops.cast(ops.equal(wide, place), _dtype(dtype)))
