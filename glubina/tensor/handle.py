"""The tensor that a user holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from glubina.graph import ops
from glubina.graph.errors import DTypeError, ShapeError
from glubina.tensor import (
    autograd,
    inplace,
    printing,
    shaping,
)
from glubina.tensor.base import consume, consume_value, made, wrap
from glubina.tensor.cell import leaf_of_array
from glubina.tensor.convert import ArrayLike, Operand, as_tensor, settled
from glubina.tensor.errors import GradientError
from glubina.tensor.methods import Methods
from glubina.tensor.mode import mode
from glubina.tensor.promotion import as_dtype
from glubina.tensor.realise import array_of, realise


class Tensor(Methods):
    """An n-dimensional array of numbers, and the way they were made.

    Operations record what is to be done; numbers are worked out when they are asked for
    (`numpy()`, `item()`, `print`) or at the end of an optimizer's step. The names follow the
    Python array API; besides there are `requires_grad`, `backward()`, `grad` and methods that end
    in an underscore and change the tensor in place.

    Make tensors with `gl.tensor`, `gl.zeros` and the like.
    """

    __slots__ = ()
    __array_priority__ = 1000
    __array_ufunc__ = None  # NumPy arrays leave the operators to tensors
    __hash__ = object.__hash__

    def __new__(cls, data: ArrayLike, *args: Any, **kwargs: Any) -> Tensor:
        """A tensor with a copy of the data (see `gl.tensor`)."""
        source = as_tensor(data)
        self = object.__new__(cls)
        self._cell = wrap(ops.detach(source._cell.node)).realise()._cell
        self._requires_grad = self._done = False
        self.grad = None
        return self

    # -- form ------------------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """Where the numbers are: "cpu"."""
        return "cpu"

    @property
    def T(self) -> Tensor:
        """The axes in reverse order: of a matrix its transpose."""
        return shaping.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return shaping.matrix_transpose(self)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    def numel(self) -> int:
        """The number of elements."""
        return self.size

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("a tensor without axes cannot be iterated over")
        return iter(shaping.unstack(self))

    # -- numbers ---------------------------------------------------------------------------------

    if not TYPE_CHECKING:  # who checks types knows the names

        def __getattr__(self, name: str) -> Any:
            from glubina.graph.names import lacking, suggestion

            hint = "" if name.startswith("_") else suggestion(name, dir(type(self)))
            raise lacking(f"a tensor has no attribute {name!r}{hint}")

    def realise(self) -> Tensor:
        """Work the numbers out now, if they are not there; returns the tensor."""
        realise([self._cell])
        return self

    def numpy(self, copy: bool = True) -> NDArray[Any]:
        """The numbers as a NumPy array: a copy, or a read-only view with `copy=False`.

        While a view is held, updates of the tensor go into new memory.
        """
        array = array_of(self._cell)
        if copy:
            return array.copy()
        array.flags.writeable = False
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.numpy(copy=copy is not False)
        return array if dtype is None else array.astype(dtype, copy=False)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return array_of(self._cell).__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.size != 1:
            raise ShapeError(
                f"item: needs a tensor of one element, this has the shape {self.shape}"
            )
        return array_of(self._cell).item()

    def tolist(self) -> Any:
        """The numbers as nested lists of Python numbers."""
        return array_of(self._cell).tolist()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"the truth of a tensor of shape {self.shape} is not defined; use any() or all()"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"an index must be a whole number, this tensor is {self.dtype}")
        return int(self.item())

    def __repr__(self) -> str:
        return printing.tensor_repr(self)

    def __format__(self, spec: str) -> str:
        return printing.formatted(self, spec)

    # -- derivatives -----------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether derivatives with respect to this tensor are recorded."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        inplace.requires_grad_(self, value)

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user, and not by operations that are recorded."""
        owner = self._cell.owner
        return not self._requires_grad or (owner is not None and owner() is self)

    def detach(self) -> Tensor:
        """A tensor with the same cell, at which derivatives stop."""
        made_ = object.__new__(Tensor)
        made_._cell = self._cell
        made_._requires_grad = made_._done = False
        made_.grad = None
        return made_

    @property
    def data(self) -> Tensor:
        """The same cell without derivatives: changes through it are changes of this tensor."""
        return self.detach()

    @data.setter
    def data(self, value: Operand) -> None:
        with_value = as_tensor(value)
        if with_value.shape != self.shape:
            raise ShapeError(
                f"data: the value's shape {with_value.shape} is not the tensor's {self.shape}"
            )
        inplace.write(self, ops.cast(consume_value(with_value), self.dtype))

    def clone(self) -> Tensor:
        """A tensor of its own with the same value; derivatives go through."""
        return wrap(consume(self), mode.grad and self._requires_grad)

    backward = autograd.backward
    requires_grad_ = inplace.requires_grad_

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError(
                "deepcopy: only leaf tensors can be copied with what they are; use clone(), or "
                "detach() first"
            )
        copy: Tensor = wrap(ops.detach(self._cell.node)).realise()
        memo[id(self)] = copy.requires_grad_(self._requires_grad)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.numpy(), self._requires_grad)

    # -- types -----------------------------------------------------------------------------------

    def astype(self, dtype: object, *, copy: bool = True) -> Tensor:
        """The numbers in another dtype."""
        wanted = as_dtype(dtype)
        node = consume(self)
        if node.dtype == wanted and not copy:
            return self
        tracked = mode.grad and self._requires_grad and wanted.kind == "f"
        return wrap(ops.cast(node, wanted), tracked)

    def to(self, target: object) -> Tensor:
        """The numbers in another dtype, or on a device ("cpu")."""
        if isinstance(target, str) and target.partition(":")[0] in ("cpu", "cuda", "mps"):
            if target != "cpu":
                raise DTypeError(f"to: there is no device {target!r} here, only 'cpu'")
            return self
        return self.astype(target.dtype if isinstance(target, Tensor) else target, copy=False)

    def cpu(self) -> Tensor:
        """The tensor itself: it is on the CPU."""
        return self

    def contiguous(self) -> Tensor:
        """The tensor itself: its elements are always in row-major order."""
        return self

    def type_as(self, other: Tensor) -> Tensor:
        """In the dtype of another tensor."""
        return self.astype(other.dtype, copy=False)


def _restored(array: NDArray[Any], requires_grad: bool) -> Tensor:
    return settled(leaf_of_array(array)).requires_grad_(requires_grad)


type(made).kind = Tensor
