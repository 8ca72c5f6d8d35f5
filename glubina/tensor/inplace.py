"""Methods that change what a tensor's cell holds; their names end in an underscore."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glubina.graph import ops
from glubina.graph.errors import ShapeError
from glubina.graph.node import Node
from glubina.tensor import comparison, elementwise, views
from glubina.tensor.base import claim, consume, made
from glubina.tensor.cell import Leaf, leaf_alike
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.errors import DTypeError, GradientError
from glubina.tensor.mode import mode
from glubina.tensor.promotion import python_number, scalar_node

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


def write(tensor: Tensor, node: Node, requires_grad: bool = False) -> Tensor:
    """Replace the tensor's value by what a node gives (same shape and dtype), in views as well."""
    cell = tensor._cell
    if cell.view is None and cell.views is None:
        return rewrite(tensor, node, requires_grad)
    views.check(tensor)
    rewrite(tensor, node, requires_grad)
    views.spread(tensor)
    return tensor


def rewrite(tensor: Tensor, node: Node, requires_grad: bool = False) -> Tensor:
    """Replace the value of this tensor alone."""
    if mode.trace is not None:
        mode.trace.wrote(tensor._cell)
    elif type(node) is Leaf and (node.owner is None or not requires_grad):
        node = leaf_alike(node)  # a recorded function knows a cell by its leaf
    cell = tensor._cell
    if cell.value() is not None:
        made.pending.append(weakref.ref(cell))  # its value is to be worked out again
    cell.write(node)
    cell.maker = None
    if requires_grad and cell.owner is None:
        tensor._requires_grad = cell.keep = True
    tensor._done = False
    return tensor


def check_leaf(tensor: Tensor, name: str) -> None:
    """Refuse to change a leaf that requires gradients while derivatives are recorded."""
    if mode.grad and tensor._requires_grad and tensor.is_leaf:
        raise GradientError(
            f"{name}: a leaf tensor that requires gradients cannot be changed in place while "
            "derivatives are recorded; do it under gl.no_grad(), or through .data"
        )


def store(tensor: Tensor, value: Operand, name: str) -> Tensor:
    """Replace the tensor's value by another one, cast and broadcast to the tensor's form."""
    check_leaf(tensor, name)
    number = python_number(value)
    if number is not None:
        return write(tensor, scalar_node(number, tensor.dtype, tensor.shape))
    given = as_tensor(value)
    node = ops.cast(consume(given), tensor.dtype)
    try:
        node = ops.broadcast(node, tensor.shape)
    except ShapeError as error:
        raise ShapeError(
            f"{name}: the value's shape {given.shape} does not fit the tensor's {tensor.shape}"
        ) from error
    return write(tensor, node, mode.grad and given._requires_grad)


def updater(function: Callable[[Any, Any], Tensor], name: str) -> Callable[[Any, Operand], Any]:
    """The in-place form of a function of two tensors."""

    def update(self: Tensor, other: Operand) -> Tensor:
        check_leaf(self, name)
        result = function(self, other)
        if result.shape != self.shape:
            raise ShapeError(
                f"{name}: the result has the shape {result.shape}, the tensor {self.shape}"
            )
        if result.dtype != self.dtype:
            if result.dtype.kind != self.dtype.kind:
                raise DTypeError(f"{name}: {result.dtype} cannot be kept in a {self.dtype} tensor")
            result = result.astype(self.dtype)
        return write(self, result._cell.node, result._requires_grad)

    update.__name__ = update.__qualname__ = name
    update.__doc__ = f"In place: {function.__doc__}"
    return update


add_ = updater(elementwise.add, "add_")
sub_ = updater(elementwise.subtract, "sub_")
mul_ = updater(elementwise.multiply, "mul_")
div_ = updater(elementwise.divide, "div_")
pow_ = updater(elementwise.pow, "pow_")


def copy_(self: Tensor, value: Operand) -> Tensor:
    """In place: the elements of another tensor, cast and broadcast."""
    return store(self, value, "copy_")


def fill_(self: Tensor, value: Operand) -> Tensor:
    """In place: one number everywhere."""
    return store(self, value, "fill_")


def zero_(self: Tensor) -> Tensor:
    """In place: zeros."""
    return store(self, 0, "zero_")


def clamp_(self: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """In place: at least `min` and at most `max`."""
    check_leaf(self, "clamp_")
    result = comparison.clip(self, min, max).astype(self.dtype)
    return write(self, result._cell.node, result._requires_grad)


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Say whether gradients with respect to this tensor are wanted; returns the tensor."""
    if requires_grad == self._requires_grad:
        return self
    if requires_grad:
        if self.dtype.kind != "f":
            raise DTypeError(
                f"requires_grad: only floating tensors have gradients, this one is {self.dtype}"
            )
        claim(self)
        self._requires_grad = True
        return self
    if not self.is_leaf:
        raise GradientError(
            "requires_grad_(False): this tensor is the result of operations; use detach()"
        )
    self._cell.owner = None
    node: Any = self._cell.node
    node.owner = None
    self._requires_grad = False
    return self
