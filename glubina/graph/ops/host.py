"""A call of a Python function in the middle of a graph: it runs between two native programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from glubina.graph.errors import GraphError, ShapeError
from glubina.graph.node import Array, DType, Node, Primitive, Typed, make

Call = Callable[..., Array]


class HostAttributes(NamedTuple):
    """The function (known by what it is equal to), and the result's elements and dtype."""

    call: Call
    size: int
    dtype: str


def _infer(sources: tuple[Node, ...], a: HostAttributes) -> Typed:
    return (a.size,), np.dtype(a.dtype)


def _value(a: HostAttributes, *arrays: Array) -> Array:
    found = np.asarray(a.call(*arrays), np.dtype(a.dtype))
    if found.shape != (a.size,):
        raise ShapeError(f"{a.call!r} gave the shape {found.shape}, ({a.size},) was announced")
    return found


def _derivative(node: Node, gradient: Node) -> NoReturn:
    raise GraphError(
        f"{node.attributes.call!r} runs in NumPy, so nothing is known of its derivative: write it "
        "with tensors"
    )


HOST = Primitive("host", "marker", r"f(x, \ldots)", _infer, _value, _derivative)


def host(call: Call, sources: Sequence[Node], size: int, dtype: DType) -> Node:
    """A vector of `size` elements, which a Python function makes of the sources' arrays.

    The arrays are the program's own memory: the function must not change or keep them. Equal
    functions (hashable, compared with ==) make equal nodes.
    """
    _any[0] = True
    return make(HOST, tuple(sources), HostAttributes(call, size, dtype.name))


_any = [False]


def calls_exist() -> bool:
    """Whether this process has ever made such a node."""
    return _any[0]


def is_host(node: Node) -> bool:
    """Whether a node is a call of a Python function."""
    return node.op is HOST
