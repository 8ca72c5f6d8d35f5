"""Whether values are finite, found out quickly: by the sum of their squares."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph import origins
from glubina.graph.node import DType, Node
from glubina.graph.ops import elementwise, movement, source
from glubina.runtime.buffer import Buffer
from glubina.tensor.programs import backend

if TYPE_CHECKING:
    from glubina.runtime.program import Program

# elements from which on a program of all threads is quicker than NumPy's one
_LARGE = 1 << 16


def all_finite(nodes: Sequence[Node], buffers: Sequence[Buffer]) -> bool:
    """Whether the values of nodes have neither NaN nor infinity."""
    with np.errstate(all="ignore"):
        return all(map(_is_finite, nodes, buffers))


def first_nan(nodes: Sequence[Node], buffers: Sequence[Buffer]) -> tuple[Node, NDArray[Any]] | None:
    """The first node whose value has a NaN, and a copy of that."""
    for node, buffer in zip(nodes, buffers, strict=True):
        value = buffer.array(node.shape, node.dtype)
        if node.dtype.kind == "f" and np.isnan(value).any():
            return node, value.copy()
    return None


def _is_finite(node: Node, buffer: Buffer) -> bool:
    # the sum of squares is finite unless something is not (or it overflows)
    if node.dtype.kind != "f" or math.isfinite(_squares(node, buffer)):
        return True
    return bool(np.isfinite(buffer.array((node.size,), node.dtype)).all())


def _squares(node: Node, buffer: Buffer) -> float:
    if node.size < _LARGE or backend() == "interpreter":
        value = buffer.array((node.size,), node.dtype)
        return float(np.dot(value, value))
    result = Buffer(node.dtype.itemsize)
    _program(node.size, node.dtype).run([buffer], [result])
    return float(result.array((), node.dtype))


@functools.lru_cache(maxsize=256)
def _program(size: int, dtype: DType) -> Program:
    from glubina.runtime.build import build

    with origins.passing():
        x = source.input((size,), dtype)
        return build([movement.sum(elementwise.multiply(x, x), (0,))], [x], [-1])
