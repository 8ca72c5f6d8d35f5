"""Tensors that are parts of others and change with them, both ways, as PyTorch's views do.

Tensors of `gl` are values: a slice is a copy. A face whose users expect `x[0][1] = 5` to change x
links the two: a change of either one in place is then written to the other.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from glubina.tensor.base import consume, wrap
from glubina.tensor.cell import Cell
from glubina.tensor.errors import GradientError
from glubina.tensor.mode import mode

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor

Get = Callable[["Tensor"], "Tensor"]
Put = Callable[["Tensor", "Tensor"], "Tensor"]


class View(NamedTuple):
    """Which cell a cell is a part of, through whom, and by which steps.

    root: held, as a part's parts have to find it and each other when nobody else holds it any more.
    steps: pairs (get, put): `get(whole)` is the part, `put(whole, part)` the whole with the part
        in its place.
    straight: whether the part's elements lie in the whole in the part's own order.
    part: the tensor with this cell, which may come to require gradients.
    """

    root: Cell
    owner: weakref.ref[Tensor]
    steps: tuple[tuple[Get, Put], ...]
    straight: bool
    part: weakref.ref[Tensor]


class Parts:
    """The parts of a cell that someone holds; those let go are forgotten now and then."""

    __slots__ = ("limit", "refs")

    def __init__(self) -> None:
        self.refs: list[weakref.ref[Cell]] = []
        self.limit = 64

    def add(self, cell: Cell) -> None:
        """Enter a part."""
        self.refs.append(weakref.ref(cell))
        if len(self.refs) > self.limit:
            self.refs = [ref for ref in self.refs if ref() is not None]
            self.limit = max(64, 2 * len(self.refs))

    def alive(self) -> list[Cell]:
        """The parts that someone holds."""
        return [cell for ref in self.refs if (cell := ref()) is not None]


def link(part: Tensor, whole: Tensor, get: Get, put: Put, straight: bool = True) -> None:
    """Let `part`, which is `get(whole)`, and `whole` change together from now on."""
    cell, above = part._cell, whole._cell.view
    if cell is whole._cell:
        return
    if above is None:
        view = View(whole._cell, weakref.ref(whole), ((get, put),), straight, weakref.ref(part))
    else:
        steps = (*above.steps, (get, put))
        straight = straight and above.straight
        view = View(above.root, above.owner, steps, straight, weakref.ref(part))
    cell.view, root = view, view.root
    if root.views is None:
        root.views = Parts()
    root.views.add(cell)


def is_straight(tensor: Tensor) -> bool:
    """Whether the elements lie in memory in the tensor's order, as far as PyTorch's would."""
    view = tensor._cell.view
    return view is None or view.straight


def check(tensor: Tensor) -> None:
    """GradientError if a change of this part would change a leaf that requires gradients."""
    view = tensor._cell.view
    owner = None if view is None else view.owner()
    if mode.grad and owner is not None and owner._requires_grad and owner.is_leaf:
        raise GradientError(
            "a view of a leaf tensor that requires gradients cannot be changed in place while "
            "derivatives are recorded; do it under no_grad(), or through .data"
        )


def spread(tensor: Tensor) -> None:
    """Write what was just written to this tensor to the whole it is a part of, and its parts."""
    cell = tensor._cell
    view = cell.view
    root = cell if view is None else view.root
    if view is not None:
        whole = _handle(root, view.owner())
        values = [whole]
        for get, _ in view.steps[:-1]:
            values.append(get(values[-1]))
        new = tensor
        for value, (_, put) in zip(reversed(values), reversed(view.steps), strict=True):
            new = put(value, new)
        _set(whole, new)
    if root.views is None:
        return
    whole = _handle(root, view.owner() if view is not None else tensor)
    for part in root.views.alive():
        if part is not cell and part.view is not None and part.view.root is root:
            value = whole
            for get, _ in part.view.steps:
                value = get(value)
            _set(_handle(part, part.view.part()), value)


def _handle(cell: Cell, owner: Tensor | None) -> Tensor:
    """A tensor with this cell: the one known, or one for the moment."""
    if owner is not None and owner._cell is cell:
        return owner
    found = wrap(cell.node, cell.keep)
    found._cell = cell
    return found


def _set(tensor: Tensor, value: Tensor) -> None:
    from glubina.tensor.inplace import rewrite

    rewrite(tensor, consume(value), mode.grad and value._requires_grad)
