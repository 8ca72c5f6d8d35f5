"""Functions that make tensors, with `device=` (the CPU), `dtype=` and `requires_grad=`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.tensor.convert import as_tensor
from glubina.tensor.promotion import as_dtype
from glubina.torch.device import on_cpu
from glubina.torch.tensor import Size, faced

_IGNORED = ("layout", "pin_memory", "memory_format", "non_blocking")


def _made(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """The function with `size=`, `device=` and `requires_grad=` as PyTorch has them."""
    name = name or function.__name__

    def call(*args: Any, **kwargs: Any) -> Any:
        on_cpu(kwargs.pop("device", None))
        out = kwargs.pop("out", None)
        for key in _IGNORED:
            kwargs.pop(key, None)
        tracked = kwargs.pop("requires_grad", False)
        if "size" in kwargs and name not in ("randint", "normal"):
            args = (*args, kwargs.pop("size"))
        result = faced(function(*args, **kwargs))
        if out is not None:
            return out.resize_(tuple(result.shape)).copy_(result)
        return result.requires_grad_() if tracked else result

    call.__name__ = call.__qualname__ = name
    call.__doc__ = function.__doc__
    return call


def _tensor(data: Any, dtype: Any = None) -> Any:
    """A tensor with a copy of the data; Python's numbers become float32 and int64."""
    return gl.tensor(data, dtype)


def _as_tensor(data: Any, dtype: Any = None) -> Any:
    """The data as a tensor: itself if it is one of this dtype, else a copy."""
    if isinstance(data, gl.Tensor):
        return data if dtype is None else data.astype(as_dtype(dtype), copy=False)
    return gl.tensor(data, dtype)


def from_numpy(array: np.ndarray[Any, Any]) -> Any:
    """A tensor with a copy of the array's numbers, in its dtype."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    return faced(gl.tensor(array))


def _linspace(start: Any, end: Any, steps: int, *, dtype: Any = None) -> Any:
    """`steps` evenly spaced numbers from start to end."""
    return gl.linspace(float(start), float(end), steps, dtype=dtype)


def _logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None) -> Any:
    """`base` to the power of `steps` evenly spaced numbers from start to end."""
    values = np.power(base, np.linspace(float(start), float(end), steps))
    return gl.tensor(values.astype(np.float32 if dtype is None else as_dtype(dtype)))


def _arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None) -> Any:
    """The numbers start, start + step, ... below end."""
    given = [v.item() if isinstance(v, gl.Tensor) else v for v in (start, end, step)]
    return gl.arange(*given, dtype=dtype)


def _eye(n: int, m: int | None = None, *, dtype: Any = None) -> Any:
    """Ones on the diagonal of a matrix, zeros elsewhere."""
    return gl.eye(n, m, dtype=dtype)


def _full(size: Any, fill_value: Any, *, dtype: Any = None) -> Any:
    """A tensor with one number everywhere."""
    return gl.full(size, fill_value, dtype)


def _randint(
    low: int, high: Any = None, size: Any = None, *, dtype: Any = None, generator: Any = None
) -> Any:
    """Whole numbers uniform in [low, high): randint(high, size) or randint(low, high, size)."""
    if size is None:
        if not isinstance(high, (tuple, list)):
            raise TypeError("randint: give a size: randint(high, size) or randint(low, high, size)")
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    return gl.randint(low, high, size, dtype=dtype, generator=generator)


def _rand_like(input: Any, *, dtype: Any = None, generator: Any = None) -> Any:
    """Numbers uniform in [0, 1) in the shape of the input, and in its dtype unless another."""
    x = as_tensor(input)
    return gl.rand(tuple(x.shape), dtype=dtype or x.dtype, generator=generator)


def _randn_like(input: Any, *, dtype: Any = None, generator: Any = None) -> Any:
    """Normal numbers in the shape of the input, and in its dtype unless another is given."""
    x = as_tensor(input)
    return gl.randn(tuple(x.shape), dtype=dtype or x.dtype, generator=generator)


def _randint_like(input: Any, low: int, high: int | None = None, *, dtype: Any = None) -> Any:
    """Whole numbers uniform in [low, high) in the shape and dtype of the input."""
    x = as_tensor(input)
    first, last = (0, low) if high is None else (low, high)
    return gl.randint(first, last, tuple(x.shape), dtype=dtype or x.dtype)


def _normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, dtype: Any = None,
            generator: Any = None) -> Any:  # fmt: skip
    """Normal numbers; mean and std are numbers (with a size) or tensors."""
    if size is not None:
        return gl.normal(mean, std, size, dtype=dtype, generator=generator)
    shape = np.broadcast_shapes(*(tuple(v.shape) for v in (mean, std) if hasattr(v, "shape")))
    return gl.randn(shape, dtype=dtype, generator=generator) * std + mean


def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Any:
    """Indices drawn by their weights, from a vector or from each row (worked out now)."""
    weights = as_tensor(input).numpy().astype(np.float64)
    rows = np.atleast_2d(weights)
    if (rows < 0).any() or not (rows.sum(1) > 0).all():
        raise ValueError("multinomial: the weights must not be negative, nor all of a row zero")
    if not replacement and ((rows > 0).sum(1) < num_samples).any():
        raise ValueError(f"multinomial: a row has fewer than {num_samples} weights above zero")
    draws = gl.rand((len(rows), num_samples if replacement else rows.shape[1]), dtype="float64",
                    generator=generator).numpy()  # fmt: skip
    if replacement:
        steps = np.cumsum(rows, 1) / rows.sum(1, keepdims=True)
        found = np.stack([np.searchsorted(s, d, "right") for s, d in zip(steps, draws)])
        found = np.minimum(found, rows.shape[1] - 1)
    else:  # the exponential race: the first to arrive are drawn without putting back
        with np.errstate(divide="ignore"):
            arrival = np.where(rows > 0, -np.log1p(-draws) / rows, np.inf)
        found = np.argsort(arrival, axis=1, kind="stable")[:, :num_samples]
    return faced(gl.tensor(found.reshape((*weights.shape[:-1], num_samples)).astype(np.int64)))


def bernoulli(input: Any, p: float | None = None, *, generator: Any = None) -> Any:
    """1 with the probability that each element is (or p), else 0."""
    chance = as_tensor(input)
    if p is not None:
        chance = gl.full_like(chance, p)
    return faced(gl.bernoulli(chance, generator=generator))


def _one_hot(input: Any, num_classes: int = -1) -> Any:
    """For each index a row with 1 at that place (int64); -1 classes are as many as there are."""
    x = as_tensor(input)
    count = int(x.numpy().max()) + 1 if num_classes == -1 else num_classes
    return gl.one_hot(x, count, "int64")


def _meshgrid(*tensors: Any, indexing: str = "ij") -> Any:
    """Coordinate tensors from vectors; rows first unless indexing is 'xy'."""
    several = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    return tuple(gl.meshgrid(*several, indexing=indexing))


FUNCTIONS: dict[str, Any] = {
    **{n: _made(getattr(gl, n)) for n in ("zeros", "ones", "empty", "rand", "randn", "randperm")},
    **{n: _made(getattr(gl, n)) for n in ("zeros_like", "ones_like", "empty_like", "full_like")},
    "rand_like": _made(_rand_like, "rand_like"),
    "randn_like": _made(_randn_like, "randn_like"),
    "tensor": _made(_tensor, "tensor"),
    "as_tensor": _made(_as_tensor, "as_tensor"),
    "asarray": _made(_as_tensor, "asarray"),
    "arange": _made(_arange, "arange"),
    "linspace": _made(_linspace, "linspace"),
    "logspace": _made(_logspace, "logspace"),
    "eye": _made(_eye, "eye"),
    "full": _made(_full, "full"),
    "randint": _made(_randint, "randint"),
    "randint_like": _made(_randint_like, "randint_like"),
    "normal": _made(_normal, "normal"),
    "meshgrid": _made(_meshgrid, "meshgrid"),
    "from_numpy": from_numpy,
    "multinomial": multinomial,
    "bernoulli": bernoulli,
}
one_hot = _made(_one_hot, "one_hot")

__all__ = ["FUNCTIONS", "Size", "from_numpy", "one_hot"]
