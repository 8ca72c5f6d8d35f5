"""Which dtype two operands give, and how a Python number becomes a node.

The rules are the array API's: kinds meet within themselves, Python numbers are weak. Where the
standard leaves the result open (integer with floating), the floating dtype wins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import DType, Node, Shape
from glubina.graph.ops.elementwise import cast
from glubina.graph.ops.movement import broadcast
from glubina.graph.ops.source import constant
from glubina.tensor.cell import Scalar, leaf_of_number

bool_ = np.dtype(np.bool_)
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
DEFAULT = float32
DTYPES = (
    *(bool_, int8, int16, int32, int64),
    *(uint8, uint16, uint32, uint64, float32, float64),
)
_KNOWN = frozenset(DTYPES)

# numbers that formulas contain: part of the structure, so that kernels can use them
_STRUCTURAL = frozenset((0, 1, -1, 2, 0.5))

_pairs: dict[tuple[DType, DType], DType] = {}


def as_dtype(dtype: object) -> DType:
    """The dtype that an argument names; DTypeError if tensors do not have it."""
    try:
        found = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError:
        found = None
    if found is not None and dtype is not None:
        if dtype is float:
            return DEFAULT
        found = found.newbyteorder("=")
        if found in _KNOWN:
            known: DType = np.dtype(found.name)
            return known
    names = ", ".join(d.name for d in DTYPES)
    raise DTypeError(f"{dtype!r} is not a dtype that tensors have; these are {names}")


def result_type(*dtypes: DType) -> DType:
    """The dtype in which operands of these dtypes meet."""
    found = dtypes[0]
    for dtype in dtypes[1:]:
        if dtype is not found:
            found = _meet(found, dtype)
    return found


def _meet(a: DType, b: DType) -> DType:
    found = _pairs.get((a, b))
    if found is None:
        if a.kind != b.kind and "f" in (a.kind, b.kind):
            found = a if a.kind == "f" else b
        else:
            found = np.result_type(a, b)
            if found.kind == "f" and a.kind != "f":
                raise DTypeError(f"{a} and {b} have no common integer dtype: cast one of them")
        _pairs[a, b] = found
    return found


def scalar_dtype(dtype: DType, number: Scalar) -> DType:
    """The dtype in which a tensor meets a Python number."""
    kind = dtype.kind
    if kind == "f" or type(number) is bool:
        return dtype
    if type(number) is float:
        return DEFAULT
    return int64 if kind == "b" else dtype


def scalar_node(number: Scalar, dtype: DType, shape: Shape) -> Node:
    """A Python number in every element of a shape: an input at run time, or a constant."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if not info.min <= number <= info.max:
            raise DTypeError(f"the number {number} does not fit into {dtype}")
    if number in _STRUCTURAL:
        node: Node = constant(number, dtype)
    else:
        node = leaf_of_number(number, dtype)
    return broadcast(node, shape) if shape else node


def python_number(value: Any) -> Scalar | None:
    """The Python number that a value is, or None if it is none."""
    kind = type(value)
    if kind is float or kind is int or kind is bool:
        return value  # type: ignore[no-any-return]
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    if isinstance(value, (int, float)):
        return float(value) if isinstance(value, float) else int(value)
    return None


def broadcast_shapes(name: str, *shapes: Shape) -> Shape:
    """The common shape of shapes aligned at their ends; ShapeError with the operation's name."""
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        for i, extent in enumerate(shape, rank - len(shape)):
            have = result[i]
            if have == 1:
                result[i] = extent
            elif extent not in (1, have):
                raise ShapeError(
                    f"{name}: shapes {' and '.join(map(str, shapes))} do not fit: axis "
                    f"{i - rank} has {have} and {extent} elements. Extents must be equal, or one "
                    "of them 1 (reshape, or add an axis with x[:, None])"
                )
    return tuple(result)


def common(name: str, a: Node, b: Node) -> tuple[Node, Node]:
    """Two nodes brought to one dtype and one shape."""
    if a.dtype is not b.dtype:
        dtype = _meet(a.dtype, b.dtype)
        a, b = cast(a, dtype), cast(b, dtype)
    if a.shape != b.shape:
        shape = broadcast_shapes(name, a.shape, b.shape)
        a, b = broadcast(a, shape), broadcast(b, shape)
    return a, b
