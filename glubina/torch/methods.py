"""Puts PyTorch's methods on the tensor of this face: the functions of the tables, and in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.tensor import inplace, methods
from glubina.tensor.convert import as_tensor
from glubina.tensor.views import is_straight
from glubina.torch import creation, elementwise, further, more, moving, products, reductions, views
from glubina.torch.autograd.derivatives import backward, register_hook, retain_grad
from glubina.torch.device import on_cpu
from glubina.torch.makers import backward_name, operator, telling, telling_product, told
from glubina.torch.tensor import Tensor, faced, returning_face

_TABLES = (
    *(elementwise.FUNCTIONS, reductions.FUNCTIONS, moving.FUNCTIONS, products.FUNCTIONS),
    *(more.METHODS, further.METHODS),
)
_NOT_METHODS = ("stack", "cat", "concat", "einsum")
_IN_PLACE = (
    *("add", "sub", "subtract", "mul", "multiply", "div", "divide", "pow", "clamp", "clip"),
    *("exp", "log", "sqrt", "rsqrt", "neg", "abs", "square", "reciprocal", "sigmoid", "tanh"),
    *("relu", "round", "floor", "ceil", "trunc", "sign", "sin", "cos", "addcmul", "addcdiv"),
    *("lerp", "masked_fill", "scatter", "scatter_add", "index_add", "index_fill", "addmm"),
    *("remainder", "floor_divide", "cumsum", "clamp_min", "clamp_max", "tril", "triu"),
    *("nan_to_num", "index_copy", "index_put", "scatter_reduce", "true_divide", "erf", "expm1"),
    *("log1p", "log2", "log10", "tan", "sinh", "cosh", "fmod", "frac", "hypot", "logit", "xlogy"),
    *("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not", "cumprod"),
    *("logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "baddbmm", "addmv", "addr"),
    *("negative", "absolute", "fix", "float_power", "asin", "acos", "atan", "erfinv"),
)
_SHAPES = ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims")


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
        self._cell.maker = maker if self._cell.keep else None
        return self

    maker = backward_name(name[:-1])
    update.__name__ = update.__qualname__ = name
    update.__doc__ = f"In place: {function.__doc__}"
    return update


# -- methods that are no functions ---------------------------------------------------------------


def _reshaping(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method that gives the tensor itself another shape."""

    def update(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        inplace.check_leaf(self, name)
        return views.become(self, function(self, *args, **kwargs))

    update.__name__ = update.__qualname__ = name
    update.__doc__ = f"In place: {function.__doc__}"
    return update


def _resize_(self: Tensor, *sizes: Any) -> Tensor:
    """In place: another shape; the elements stay in order, further ones are zero."""
    shape = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    count = int(np.prod(shape))
    flat = gl.reshape(self, -1)
    missing = max(0, count - flat.shape[0])
    return views.become(self, gl.reshape(gl.pad(flat[:count], [(0, missing)]), shape))


def _fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """In place: one number on the diagonal of a matrix."""
    there = gl.eye(*self.shape, dtype="bool")
    return inplace.store(self, gl.where(there, fill_value, self), "fill_diagonal_")  # type: ignore[return-value]


def _masked_scatter_(self: Tensor, mask: Any, source: Any) -> Tensor:
    """In place: where the mask holds the elements of source, in order."""
    return inplace.store(self, _masked_scatter(self, mask, source), "masked_scatter_")  # type: ignore[return-value]


def _exponential_(self: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    """In place: numbers drawn from lambd · exp(−lambd · x)."""
    drawn = gl.rand(tuple(self.shape), dtype=self.dtype, generator=generator)
    return inplace.store(self, -gl.log1p(-drawn) / lambd, "exponential_")  # type: ignore[return-value]


def _apply_(self: Tensor, function: Callable[[Any], Any]) -> Tensor:
    """In place: a Python function of every element (slow)."""
    values = np.vectorize(function, otypes=[self.dtype])(self.numpy())
    return inplace.store(self, values, "apply_")  # type: ignore[return-value]


def _stride(self: Tensor, dim: int | None = None) -> Any:
    """How many elements apart neighbours along each axis would be, in row-major order."""
    steps = tuple(int(np.prod(self.shape[i + 1 :])) for i in range(self.ndim))
    return steps if dim is None else steps[dim]


def _is_nonzero(self: Tensor) -> bool:
    """Whether the only element is not zero."""
    return bool(self)


def _sum_to_size(self: Tensor, *size: Any) -> Any:
    """Summed over the axes along which a tensor of this size would be repeated."""
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    lead = self.ndim - len(shape)
    axes = [*range(lead)]
    axes += [lead + i for i, n in enumerate(shape) if n == 1 and self.shape[lead + i] != 1]
    return faced(gl.reshape(gl.sum(self, tuple(axes)) if axes else self, shape))


def _map(value: Any) -> Callable[..., Any]:
    return lambda self, *args: value


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
    if not self.shape:
        raise TypeError("iteration over a tensor without axes: use item()")
    return iter(moving.unbind(self))


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


def _casts() -> dict[str, Any]:
    names = {"float": "float32", "double": "float64", "long": "int64", "int": "int32"}
    names |= {"short": "int16", "char": "int8", "byte": "uint8", "bool": "bool"}

    def cast(name: str, dtype: str) -> Callable[..., Any]:
        def call(self: Tensor) -> Any:
            return faced(self.astype(dtype, copy=False))

        call.__name__, call.__doc__ = name, f"As {dtype}."
        return call

    return {name: cast(name, dtype) for name, dtype in names.items()}


def _operators() -> dict[str, Any]:
    names = {"add": "Add", "radd": "Add", "sub": "Sub", "rsub": "Rsub", "mul": "Mul"}
    names |= {"rmul": "Mul", "truediv": "Div", "rtruediv": "Mul", "pow": "Pow", "rpow": "Pow"}
    names |= {"mod": "Remainder"}
    full = {f"__{name}__": told for name, told in names.items()}
    found: dict[str, Any] = {
        name: operator(returning_face(getattr(gl.Tensor, name)), told)
        for name, told in full.items()
    }
    for name in ("__matmul__", "__rmatmul__"):
        found[name] = telling_product(returning_face(getattr(gl.Tensor, name)))
    found["__neg__"] = telling(returning_face(gl.Tensor.__neg__), "neg")
    found["__rsub__"] = operator(returning_face(gl.Tensor.__rsub__), "Rsub", 1)
    return found


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
        **_operators(),
        "clone": telling(returning_face(gl.Tensor.clone), "clone"),
        **{n: returning_face(getattr(gl.Tensor, n)) for n in ("detach", "type_as")},
        "astype": returning_face(gl.Tensor.astype), "__iter__": _iterate,
        **functions,
        **_casts(),
        **{f"{name}_": _in_place(f"{name}_", functions[name]) for name in _IN_PLACE},
        "reshape": views.reshape, "view": views.reshape, "view_as": moving.view_as,
        "expand": moving.expand, "expand_as": moving.expand_as, "repeat": moving.repeat,
        "reshape_as": moving.view_as, "unfold": moving.unfold_windows, "permute": moving.permute,
        **{f"{name}_": _reshaping(f"{name}_", functions[name]) for name in _SHAPES},
        "resize_": _resize_, "fill_diagonal_": _fill_diagonal_, "apply_": _apply_,
        "masked_scatter_": _masked_scatter_, "exponential_": _exponential_, "stride": _stride,
        "is_nonzero": _is_nonzero, "sum_to_size": _sum_to_size, "share_memory_": _itself,
        "is_complex": _map(False), "get_device": _map(-1), "new": _new("tensor"),
        "masked_scatter": _masked_scatter, "random_": _random_, "detach_": _detach_,
        "is_floating_point": _is_floating_point, "element_size": _element_size,
        "cpu": _cpu, "contiguous": views.contiguous, "pin_memory": _itself, "half": _half,
        "__getitem__": views.getitem, "__setitem__": views.setitem, "unbind": moving.unbind,
        "is_contiguous": is_straight, "multinomial": creation.multinomial,
        "bernoulli": creation.bernoulli, "ndimension": gl.Tensor.dim, "nelement": gl.Tensor.numel,
        **{f"new_{n}": _new(n) for n in ("zeros", "ones", "empty", "full", "tensor")},
        "backward": backward, "register_hook": register_hook, "retain_grad": retain_grad,
    }  # fmt: skip
    return table


def _transposed(self: Tensor) -> Any:
    """The axes in reverse order."""
    return told(views.turned(self, gl.transpose(self), gl.transpose), "Permute")


def _matrix_transposed(self: Tensor) -> Any:
    """The last two axes exchanged."""
    return views.turned(self, gl.matrix_transpose(self), gl.matrix_transpose)


def install() -> None:
    """Set the methods; called once, when the room is imported."""
    for name, function in _table().items():
        setattr(Tensor, name, function)
    Tensor.is_sparse = Tensor.is_quantized = False  # type: ignore[attr-defined]
    for name in ("__iadd__", "__isub__", "__imul__", "__itruediv__"):
        of = {"__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_"}
        setattr(Tensor, name, getattr(Tensor, of[name]))
    Tensor.T = property(_transposed)  # type: ignore[assignment]
    Tensor.mT = property(_matrix_transposed)  # type: ignore[assignment]
