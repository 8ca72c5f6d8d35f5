"""How operations read tensors and make new ones."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from glubina.graph.node import DType, Node, Shape
from glubina.graph.ops.marker import detach as detach_node
from glubina.tensor.cell import Cell, Leaf, leaf_alike
from glubina.tensor.mode import mode

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


class TensorBase:
    """A handle to a cell: what a tensor is before its operations are added."""

    __slots__ = ("__weakref__", "_cell", "_done", "_requires_grad", "grad")

    _cell: Cell
    _requires_grad: bool
    _done: bool
    grad: Tensor | None

    @property
    def shape(self) -> Shape:
        """The extents of the axes."""
        return self._cell.node.shape

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self._cell.node.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._cell.node.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._cell.node.size


class _Made(threading.local):
    """What `wrap` makes, and what it has made in this thread that is still pending."""

    kind: type[Tensor]

    def __init__(self) -> None:
        self.pending: list[weakref.ref[Cell]] = _List()
        _lists.append(weakref.ref(self.pending))
        self.losses: list[weakref.ref[Cell]] = []  # of which `backward` was called
        self.limit = 4096
        self.differentiated = 0  # calls of differentiated functions since something was worked out

    def alive(self) -> list[Cell]:
        """The pending cells that someone holds; the others are forgotten."""
        found = [c for r in self.pending if (c := r()) is not None and c.value() is None]
        cells = list(dict.fromkeys(found))  # a cell is entered anew at each write
        if len(cells) < len(self.pending):
            self.pending[:] = [_ref(c) for c in cells]
        self.limit = max(4096, 2 * len(cells))
        return cells

    def foreign(self) -> frozenset[Cell]:
        """The pending cells that someone holds and that other threads made."""
        _orphans[:] = [r for r in _orphans if (c := r()) is not None and c.value() is None]
        lists = [found for r in list(_lists) if (found := r()) is not None]
        if len(lists) < len(_lists):
            _lists[:] = [weakref.ref(found) for found in lists]
        refs = [r for found in lists if found is not self.pending for r in list(found)]
        cells = [c for r in (*refs, *_orphans) if (c := r()) is not None and c.value() is None]
        return frozenset(cells)


_orphans: list[weakref.ref[Cell]] = []


class _List(list[weakref.ref[Cell]]):
    """What is pending of a thread. When the thread ends, the rest is remembered."""

    # held here, because at the end of the interpreter a module's globals go first
    def __del__(self, orphans: list[weakref.ref[Cell]] = _orphans) -> None:
        orphans.extend(self)


_lists: list[weakref.ref[_List]] = []

made = _Made()
_new = object.__new__
_ref = weakref.ref


def wrap(node: Node, requires_grad: bool = False) -> Tensor:
    """A tensor whose value a node gives."""
    if type(node) is Leaf and not requires_grad and mode.trace is None:
        node = leaf_alike(node)  # a recorded function knows a cell by its leaf
    tensor = _tensor(node, requires_grad)
    pending = made.pending
    pending.append(_ref(tensor._cell))
    if len(pending) > made.limit:
        made.alive()
    return tensor


def known(leaf: Leaf) -> Tensor:
    """A tensor with a leaf of its own, whose value is there."""
    return _tensor(leaf, False)


def _tensor(node: Node, requires_grad: bool) -> Tensor:
    cell = _new(Cell)
    cell.node = node
    cell.keep = requires_grad
    cell.freed = False
    cell.leaf = cell.owner = cell.before = cell.view = cell.views = cell.maker = None
    tensor = _new(made.kind)
    tensor._cell = cell
    tensor._requires_grad = requires_grad
    tensor._done = False
    tensor.grad = None
    return tensor


def consume(tensor: Tensor) -> Node:
    """The node by which an operation reads a tensor: derivatives stop where they should."""
    cell = tensor._cell
    node = cell.node
    if not mode.grad:
        return _value_node(cell, node)
    if mode.trace is not None:
        node = mode.trace.read(cell, node)
    if type(node) is Leaf:
        if tensor._requires_grad:
            if node.origin is not None:
                node.used = True
            return node
        return node if node.owner is None and not node.freed else detach_node(node)
    return node if tensor._requires_grad else detach_node(node)


def consume_value(tensor: Tensor) -> Node:
    """The node by which an operation without a derivative reads a tensor."""
    cell = tensor._cell
    return _value_node(cell, cell.node)


def _value_node(cell: Cell, node: Node) -> Node:
    """Just the value: a pending leaf that nobody used as one is seen through."""
    found = cell.leaf or node
    if mode.trace is not None:
        found = mode.trace.read(cell, found)
    if type(found) is Leaf and found.origin is not None:
        if not found.used:
            return found.origin
        if mode.trace is None:
            from glubina.tensor.realise import realise, realise_pending

            realise_pending()
            realise([cell])  # another thread's
    return found


def claim(tensor: Tensor) -> None:
    """Make a tensor a leaf of its own, with respect to which gradients are taken."""
    from glubina.tensor.cell import leaf_of_buffer, leaf_of_node

    cell = tensor._cell
    held = cell.value()
    if held is not None and held.is_empty():
        held.owner = cell.owner = _ref(tensor)  # an argument while a function is recorded
        return
    if held is not None and held.buffer is not None:
        leaf = leaf_of_buffer(held.buffer, held.shape, held.dtype)
    else:
        leaf = leaf_of_node(held or cell.node)
        leaf.before = cell.before
    leaf.owner = _ref(tensor)
    if held is None or cell.node is not held or (cell.owner is not None and cell.owner()):
        tensor._cell = cell = Cell(leaf)
        made.pending.append(_ref(cell))
    cell.node, cell.leaf, cell.before, cell.owner = leaf, None, None, leaf.owner
