"""Cells and leaves: where a tensor's value is kept, or the node that will give it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph.node import DType, Node, Shape
from glubina.graph.ops.source import INPUT, InputAttributes
from glubina.runtime.buffer import Buffer

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor
    from glubina.tensor.views import Parts, View

Scalar = bool | int | float


class Leaf(Node):
    """An input of the graph that knows its value.

    buffer: the value, when it is there.
    origin: the node that will give the value (a parameter whose initial value is still pending).
    number: the value of a scalar that a user wrote; its buffer is made when it is needed.
    owner: the tensor whose gradient is taken with respect to this leaf.
    before: the buffer that held the value which this one replaces; free to be overwritten when
        nobody else holds it.
    used: whether an operation that records derivatives read the leaf while it was pending.
    freed: whether the graph that gave the value is gone, because `backward()` went through it.
    error: why there is no value.
    """

    __slots__ = ("before", "buffer", "error", "freed", "number", "origin", "owner", "used")

    buffer: Buffer | None
    origin: Node | None
    number: Scalar | None
    owner: weakref.ref[Tensor] | None
    before: Buffer | None
    used: bool
    freed: bool
    error: BaseException | None

    def is_empty(self) -> bool:
        """Whether there is no value, nor a way to one: an argument of a recorded function."""
        return (
            self.buffer is None and self.origin is None and self.number is None and not self.error
        )


# A leaf is told from others by being itself; numbering them as `ops.input` does costs time.
_UNNUMBERED = InputAttributes(-1)


def _leaf(shape: Shape, dtype: DType) -> Leaf:
    leaf: Leaf = object.__new__(Leaf)
    leaf.op = INPUT
    leaf.sources = ()
    leaf.attributes = _UNNUMBERED
    leaf.shape = shape
    leaf.dtype = dtype
    leaf.buffer = leaf.origin = leaf.number = leaf.owner = leaf.before = leaf.error = None
    leaf.used = leaf.freed = False
    return leaf


def leaf_of_buffer(buffer: Buffer, shape: Shape, dtype: DType) -> Leaf:
    """A leaf whose value is there."""
    leaf = _leaf(shape, dtype)
    leaf.buffer = buffer
    return leaf


def leaf_of_array(array: NDArray[Any], *, copy: bool = True) -> Leaf:
    """A leaf that holds the elements of a NumPy array."""
    return leaf_of_buffer(Buffer.from_array(array, copy=copy), array.shape, array.dtype)


def leaf_of_number(number: Scalar, dtype: DType) -> Leaf:
    """A scalar that a user wrote: an input at run time, so that its value is not structure."""
    leaf = _leaf((), dtype)
    leaf.number = number
    return leaf


def leaf_of_node(origin: Node) -> Leaf:
    """A leaf with the value that a node will give."""
    leaf = _leaf(origin.shape, origin.dtype)
    leaf.origin = origin
    return leaf


def leaf_alike(leaf: Leaf) -> Leaf:
    """Another leaf with the same value; itself while that is pending."""
    if leaf.number is not None:
        return leaf_of_number(leaf.number, leaf.dtype)
    if leaf.buffer is None:
        return leaf
    return leaf_of_buffer(leaf.buffer, leaf.shape, leaf.dtype)


def placeholder(shape: Shape, dtype: DType) -> Leaf:
    """A leaf without a value: an argument of a function being traced."""
    return _leaf(shape, dtype)


_numbers: dict[tuple[Scalar, bool, str], Buffer] = {}
_REMEMBERED = 1024


def buffer_of_number(number: Scalar, dtype: DType) -> Buffer:
    """A buffer with one scalar; the same one for the same number (nobody overwrites it)."""
    # 0.0 == -0.0 and NaN != NaN: neither may share or miss an entry
    key = (number, str(number)[0] == "-", dtype.name)
    buffer = _numbers.get(key)
    if buffer is None:
        buffer = Buffer.from_array(np.asarray(number, dtype))
        if len(_numbers) < _REMEMBERED and number == number:
            _numbers[key] = buffer
    return buffer


def is_pending(leaf: Leaf) -> bool:
    """Whether the leaf's value has still to be worked out."""
    return leaf.buffer is None and leaf.origin is not None


class Cell:
    """What tensors point at. `detach()` and `.data` give other tensors with the same cell.

    node: the value as operations see it: a leaf, or a node that is still to be evaluated.
    leaf: the value once it is there (`node` stays beside it while derivatives may need it).
    owner: the tensor that requires gradients with respect to this cell's leaf.
    before: as in a leaf, for cells without an owner.
    keep: whether `node` stays when the value is there, because derivatives may be asked for.
    freed: whether `backward()` went through the node, so that it need not be kept.
    view: of which cell this one is a part that changes with it, if it is one (`views`).
    views: the cells that are such parts of this one.
    maker: the name of the function that made the value, where that is told (`grad_fn`).
    """

    __slots__ = (
        *("__weakref__", "before", "freed", "keep", "leaf", "maker", "node", "owner"),
        *("view", "views"),
    )

    node: Node
    leaf: Leaf | None
    owner: weakref.ref[Tensor] | None
    before: Buffer | None
    keep: bool
    freed: bool
    view: View | None
    views: Parts | None
    maker: str | None

    def __init__(self, node: Node, keep: bool = False) -> None:
        self.node = node
        self.keep = keep
        self.freed = False
        self.leaf = self.owner = self.before = self.view = self.views = self.maker = None

    def value(self) -> Leaf | None:
        """The leaf that holds the value, or None while it is pending."""
        leaf = self.leaf
        if leaf is None:
            node = self.node
            if type(node) is Leaf and node.origin is None:
                self.leaf = leaf = node
        return leaf

    def write(self, node: Node) -> None:
        """Replace the content by what a node gives."""
        held = self.value()
        before = held.buffer if held is not None else self._before()
        owner = self.owner
        if owner is not None and owner() is not None:
            leaf = leaf_of_node(node)
            leaf.owner = owner
            leaf.before = before
            self.node = leaf
            self.leaf = self.before = None
        else:
            self.node, self.leaf, self.before, self.owner = node, None, before, None

    def _before(self) -> Buffer | None:
        node = self.node
        return node.before if type(node) is Leaf else self.before
