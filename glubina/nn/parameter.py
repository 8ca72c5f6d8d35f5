"""A tensor that is trained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph.node import Shape
from glubina.nn.budget import count_elements, require_elements
from glubina.runtime.buffer import Buffer
from glubina.tensor import Tensor
from glubina.tensor.cell import Cell, leaf_of_array
from glubina.tensor.convert import numpy_array
from glubina.tensor.realise import settle


class Parameter(Tensor):
    """A tensor that a module's optimizer updates: assigned to an attribute, it is registered.

    Made from data (a copy is kept); `requires_grad=False` makes it frozen.
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Parameter:
        """A parameter with a copy of the data."""
        array = data.numpy() if isinstance(data, Tensor) else numpy_array(data)
        count_elements(array.size)
        self: Parameter = object.__new__(cls)
        # a rank-0 array stays one: ascontiguousarray would make a vector of it
        self._cell = Cell(leaf_of_array(np.ascontiguousarray(array).reshape(array.shape)))
        self._requires_grad = self._done = False
        self.grad = None
        self.is_uninitialised = False
        self.requires_grad_(requires_grad)
        return self

    @classmethod
    def of_shape(cls, shape: Shape) -> Parameter:
        """Zeros (float32), to be initialised. MemoryError where there is no room for them."""
        require_elements(shape)
        return cls(np.zeros(shape, np.float32))

    @classmethod
    def uninitialised(cls) -> Parameter:
        """A parameter whose shape is not known yet; an optimizer may hold it already."""
        self = cls.of_shape((0,))
        self.is_uninitialised = True
        return self

    def materialise(self, shape: Shape) -> None:
        """Give an uninitialised parameter its shape."""
        require_elements(shape)
        count_elements(math.prod(shape))
        put(self, np.zeros(shape, self.dtype))
        self.is_uninitialised = False

    def __deepcopy__(self, memo: Any) -> Parameter:
        other = Parameter(self, self.requires_grad)
        other.is_uninitialised = self.is_uninitialised
        memo[id(self)] = other
        return other


def filled(shape: Shape, value: float) -> NDArray[np.float32]:
    """An array for a new parameter, of one number; MemoryError where there is no room for it."""
    require_elements(shape)
    return np.full(shape, value, np.float32)


def put(tensor: Tensor, array: np.ndarray[Any, Any]) -> None:
    """Give a tensor the elements of an array, at once and without a program.

    The array may have another shape or dtype; what was made from the old value keeps it.
    """
    settle(tensor._cell, Buffer.from_array(np.ascontiguousarray(array)), array.shape, array.dtype)
