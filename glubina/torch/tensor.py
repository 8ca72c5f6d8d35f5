"""PyTorch's tensor: the tensor of `glubina.tensor` under a class with PyTorch's methods.

A result becomes one of this face by changing its class (`faced`): the two classes have the same
memory, so nothing is copied, and every function of Glubina takes both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from glubina.nn.parameter import Parameter as PlainParameter
from glubina.tensor import Tensor as PlainTensor
from glubina.tensor.base import TensorBase
from glubina.tensor.creation import tensor as held
from glubina.tensor.promotion import as_dtype, float32
from glubina.torch.device import CPU, device, is_device, on_cpu
from glubina.torch.makers import GradFn, grad_fn
from glubina.torch.printing import tensor_text

_slot: Any = TensorBase.__dict__["grad"]


class Size(tuple[int, ...]):
    """A shape: a tuple, printed as PyTorch prints it."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of such a shape."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"


class Count(int):
    """The number of elements, which called gives the shape: `x.size()`, `x.size(0)`.

    Glubina's own functions read `x.size` as a number, course code calls it.
    """

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        """The shape, or one extent."""
        if dim is None:
            return Size(self.shape)
        if not -len(self.shape) <= dim < len(self.shape):
            raise IndexError(f"size: {dim} is not an axis of a tensor with {len(self.shape)} axes")
        return self.shape[dim]


class Tensor(PlainTensor):
    """An n-dimensional array of numbers with PyTorch's methods.

    `torch.Tensor([1, 2])` holds float32 numbers, `torch.Tensor(2, 3)` is a tensor of that shape
    to be filled. Use `torch.tensor` for a tensor in the dtype of its data.
    """

    __slots__ = ()

    def __new__(cls, *data: Any) -> Tensor:
        """A float32 tensor with a copy of the data, or of the shape given."""
        return new_of(float32, *data)

    @property
    def shape(self) -> Size:
        """The extents of the axes."""
        return Size(self._cell.node.shape)

    @property
    def size(self) -> Count:
        """Called: the shape, or one extent."""
        node = self._cell.node
        count = Count(node.size)
        count.shape = node.shape
        return count

    @property
    def device(self) -> device:
        """Where the numbers are: the CPU."""
        return CPU

    @property
    def grad(self) -> Any:
        """The gradient that `backward()` has added up, or None."""
        return faced(_slot.__get__(self))

    @grad.setter
    def grad(self, value: Any) -> None:
        _slot.__set__(self, value)

    @property
    def grad_fn(self) -> GradFn | None:
        """What made the tensor, if it is the result of recorded operations."""
        return None if self.is_leaf else grad_fn(self._cell.node, self._cell.maker)

    def __repr__(self) -> str:
        return tensor_text(self)

    def __format__(self, spec: str) -> str:
        if self.size == 1 and (spec or not self.ndim):
            return format(self.item(), spec)
        return format(repr(self), spec)

    @property
    def data(self) -> Any:
        """The same cell without derivatives: changes through it are changes of this tensor."""
        return faced(self.detach())

    @data.setter
    def data(self, value: Any) -> None:
        if isinstance(value, PlainTensor) and value.shape != self._cell.node.shape:
            settle_as(self, value)
        else:
            PlainTensor.data.fset(self, value)  # type: ignore[attr-defined]

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False

    def cuda(self, *args: Any, **kwargs: Any) -> Tensor:
        """RuntimeError: tensors are on the CPU."""
        on_cpu("cuda")
        return self

    def to(self, *targets: Any, dtype: Any = None, device: Any = None, **options: Any) -> Any:
        """In another dtype, or on a device (which is the CPU), or as another tensor is."""
        on_cpu(device)
        for target in targets:
            if is_device(target) or (isinstance(target, int) and not isinstance(target, bool)):
                on_cpu(target)
            elif isinstance(target, PlainTensor):
                dtype = target.dtype
            elif target is not None and not isinstance(target, bool):
                dtype = target
        return self if dtype is None else faced(self.astype(as_dtype(dtype), copy=False))

    def type(self, dtype: Any = None) -> Any:
        """The name of the type, as 'torch.FloatTensor', or the numbers in another one."""
        if dtype is None:
            return f"torch.{_NAMES[self.dtype.name]}"
        if isinstance(dtype, str):
            dtype = dtype.rpartition(".")[2]
            dtype = next((d for d, name in _NAMES.items() if name == dtype), dtype)
        return self.to(dtype=getattr(dtype, "dtype", dtype))


_NAMES = {
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "int64": "LongTensor",
    "int32": "IntTensor",
    "int16": "ShortTensor",
    "int8": "CharTensor",
    "uint8": "ByteTensor",
    "bool": "BoolTensor",
    "uint16": "UInt16Tensor",
    "uint32": "UInt32Tensor",
    "uint64": "UInt64Tensor",
}


class Parameter(PlainParameter, Tensor):
    """A tensor that a module's optimizer updates: assigned to an attribute, it is registered."""

    def __new__(cls, data: Any, requires_grad: bool = True) -> Parameter:
        """A parameter with a copy of the data."""
        return PlainParameter.__new__(cls, data, requires_grad)  # type: ignore[return-value]

    def __deepcopy__(self, memo: Any) -> Any:
        return faced(PlainParameter.__deepcopy__(self, memo))

    def __repr__(self) -> str:
        return f"Parameter containing:\n{tensor_text(self)}"


_FACES: dict[type[Any], type[Any]] = {PlainTensor: Tensor, PlainParameter: Parameter}


def faced(value: Any) -> Any:
    """A result with PyTorch's methods: tensors change their class, also inside tuples and lists."""
    kind = type(value)
    face = _FACES.get(kind)
    if face is not None:
        value.__class__ = face
    elif kind is tuple or kind is list:
        return kind([faced(v) for v in value])
    return value


def returning_face(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with `faced` results."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if type(result) is PlainTensor:
            result.__class__ = Tensor
            return result
        return result if type(result) is Tensor else faced(result)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call


def settle_as(tensor: PlainTensor, value: PlainTensor) -> None:
    """Give a tensor the value of another one, whose shape may differ (as `p.data = v` does)."""
    from glubina.nn.parameter import put

    put(tensor, value.numpy().astype(tensor.dtype, copy=False))


def new_of(dtype: np.dtype[Any], *data: Any) -> Tensor:
    """A tensor as the old constructors make it: of the data, or of the shape given as numbers."""
    if len(data) == 1 and not isinstance(data[0], (int, np.integer, Size)):
        result: Tensor = faced(held(data[0], dtype))
        return result
    shape = tuple(data[0]) if data and isinstance(data[0], tuple) else data
    result = faced(held(np.zeros(shape if data else (0,), dtype)))
    return result


class TypedTensor(type):
    """The classes `FloatTensor`, `LongTensor`, ...: they make tensors and tell their dtype."""

    dtype: np.dtype[Any]

    def __call__(cls, *data: Any) -> Any:
        """A tensor of the class's dtype; see `new_of`."""
        return new_of(cls.dtype, *data)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, PlainTensor) and instance.dtype == cls.dtype


def typed(name: str) -> TypedTensor:
    """The class for a dtype."""
    kind = TypedTensor(_NAMES[name], (), {"dtype": np.dtype(name)})
    kind.__doc__ = f"Makes {name} tensors: `{_NAMES[name]}([1, 2])`, `{_NAMES[name]}(2, 3)`."
    return kind
