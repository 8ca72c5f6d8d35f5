"""Puts PyTorch's methods on the tensor of this face: the functions of the tables, and in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.tensor import inplace, methods
from glubina.tensor.convert import as_tensor
from glubina.torch import creation, elementwise, more, moving, products, reductions
from glubina.torch.autograd import backward, register_hook, retain_grad
from glubina.torch.device import on_cpu
from glubina.torch.tensor import Tensor, faced, returning_face

_TABLES = (
    *(elementwise.FUNCTIONS, reductions.FUNCTIONS, moving.FUNCTIONS, products.FUNCTIONS),
    more.METHODS,
)
_NOT_METHODS = ("stack", "cat", "concat", "einsum")
_IN_PLACE = (
    *("add", "sub", "subtract", "mul", "multiply", "div", "divide", "pow", "clamp", "clip"),
    *("exp", "log", "sqrt", "rsqrt", "neg", "abs", "square", "reciprocal", "sigmoid", "tanh"),
    *("relu", "round", "floor", "ceil", "trunc", "sign", "sin", "cos", "addcmul", "addcdiv"),
    *("lerp", "masked_fill", "scatter", "scatter_add", "index_add", "index_fill", "addmm"),
    *(
        "remainder",
        "floor_divide",
        "cumsum",
        "clamp_min",
        "clamp_max",
        "tril",
        "triu",
        "nan_to_num",
    ),
)


def _in_place(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method that keeps the function's result in the tensor itself."""

    def update(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        inplace.check_leaf(self, name)
        result = function(self, *args, **kwargs)
        if tuple(result.shape) != tuple(self.shape):
            raise gl.errors.ShapeError(
                f"{name}: the result has the shape {tuple(result.shape)}, the tensor "
                f"{tuple(self.shape)}"
            )
        if result.dtype != self.dtype:
            if result.dtype.kind == "f" and self.dtype.kind != "f":
                raise gl.errors.DTypeError(
                    f"{name}: {result.dtype} cannot be kept in a {self.dtype} tensor"
                )
            result = result.astype(self.dtype)
        inplace.write(self, result._cell.node, result._requires_grad)
        return self

    update.__name__ = update.__qualname__ = name
    update.__doc__ = f"In place: {function.__doc__}"
    return update


# -- methods that are no functions ---------------------------------------------------------------


def _reshape(self: Tensor, *shape: Any) -> Any:
    """The same elements under another shape; one extent may be -1."""
    if len(shape) == 1 and isinstance(shape[0], (type, np.dtype)):
        raise TypeError("view: reading the memory under another dtype is not possible here")
    return faced(gl.reshape(self, *shape))


def _masked_scatter(self: Tensor, mask: Any, source: Any) -> Any:
    """Where the mask holds the elements of source, in order."""
    result = faced(self.clone())
    chosen = as_tensor(mask).broadcast_to(tuple(self.shape))
    count = int(chosen.sum())
    result[chosen] = as_tensor(source).reshape(-1)[:count]
    return result


def _new(name: str) -> Callable[..., Any]:
    make = creation.FUNCTIONS[name]

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = self.dtype
        return make(*args, **kwargs)

    call.__doc__ = f"`torch.{name}` in the dtype of this tensor."
    return call


def _random_(self: Tensor, low: int = 0, high: int | None = None) -> Tensor:
    """In place: whole numbers uniform in [low, high)."""
    if high is None:
        low, high = (0, low) if low else (0, 1 << 24)
    drawn = gl.randint(low, high, tuple(self.shape)).astype(self.dtype)
    return inplace.store(self, drawn, "random_")  # type: ignore[return-value]


def _detach_(self: Tensor) -> Tensor:
    """In place: cut off from what made it."""
    if not self.is_leaf:
        inplace.write(self, self.detach().realise()._cell.node)
        self._requires_grad = False
    return self


def _iterate(self: Tensor) -> Iterator[Any]:
    """The slices along the first axis."""
    return map(faced, gl.Tensor.__iter__(self))


def _is_floating_point(self: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return self.dtype.kind == "f"


def _element_size(self: Tensor) -> int:
    """Bytes per element."""
    return self.dtype.itemsize


def _itself(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor itself."""
    return self


def _cpu(self: Tensor) -> Tensor:
    """The tensor itself: it is on the CPU."""
    on_cpu("cpu")
    return self


def _half(self: Tensor) -> Tensor:
    """DTypeError: there is no float16."""
    raise gl.errors.DTypeError("half: tensors are float32 or float64 here; there is no float16")


def _true(self: Tensor, *args: Any) -> bool:
    """True."""
    return True


def _casts() -> dict[str, Any]:
    names = {"float": "float32", "double": "float64", "long": "int64", "int": "int32"}
    names |= {"short": "int16", "char": "int8", "byte": "uint8", "bool": "bool"}

    def cast(name: str, dtype: str) -> Callable[..., Any]:
        def call(self: Tensor) -> Any:
            return faced(self.astype(dtype, copy=False))

        call.__name__, call.__doc__ = name, f"As {dtype}."
        return call

    return {name: cast(name, dtype) for name, dtype in names.items()}


def _table() -> dict[str, Any]:
    """Every method by name."""
    functions: dict[str, Any] = {}
    for table in _TABLES:
        functions |= {n: f for n, f in table.items() if n not in _NOT_METHODS}
    table = {
        # what the plain tensor has and this face does not say otherwise, with results of this face
        **{
            name: returning_face(value)
            for name, value in vars(methods.Methods).items()
            if callable(value) and name != "__hash__"
        },
        **{n: returning_face(getattr(gl.Tensor, n)) for n in ("detach", "clone", "type_as")},
        "astype": returning_face(gl.Tensor.astype), "__iter__": _iterate,
        **functions,
        **_casts(),
        **{f"{name}_": _in_place(f"{name}_", functions[name]) for name in _IN_PLACE},
        "reshape": _reshape, "view": _reshape, "view_as": moving.view_as,
        "expand": moving.expand, "expand_as": moving.expand_as, "repeat": moving.repeat,
        "reshape_as": moving.view_as, "unfold": moving.unfold_windows, "permute": moving.permute,
        "masked_scatter": _masked_scatter, "random_": _random_, "detach_": _detach_,
        "is_floating_point": _is_floating_point, "element_size": _element_size,
        "cpu": _cpu, "contiguous": _itself, "pin_memory": _itself, "half": _half,
        "is_contiguous": _true, "multinomial": creation.multinomial,
        "bernoulli": creation.bernoulli, "ndimension": gl.Tensor.dim, "nelement": gl.Tensor.numel,
        **{f"new_{n}": _new(n) for n in ("zeros", "ones", "empty", "full", "tensor")},
        "backward": backward, "register_hook": register_hook, "retain_grad": retain_grad,
    }  # fmt: skip
    return table


def _transposed(self: Tensor) -> Any:
    """The axes in reverse order."""
    return faced(gl.transpose(self))


def _matrix_transposed(self: Tensor) -> Any:
    """The last two axes exchanged."""
    return faced(gl.matrix_transpose(self))


def install() -> None:
    """Set the methods; called once, when the room is imported."""
    for name, function in _table().items():
        setattr(Tensor, name, function)
    for name in ("__iadd__", "__isub__", "__imul__", "__itruediv__"):
        of = {"__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_"}
        setattr(Tensor, name, getattr(Tensor, of[name]))
    Tensor.T = property(_transposed)  # type: ignore[assignment]
    Tensor.mT = property(_matrix_transposed)  # type: ignore[assignment]
