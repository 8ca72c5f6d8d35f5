"""The settings that Keras programs ask `backend` for, and its most used functions of tensors."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

import glubina.tensor as gl
from glubina.keras.activations import (
    elu,
    hard_sigmoid,
    relu,
    sigmoid,
    softmax,
    softplus,
    softsign,
    tanh,
)
from glubina.nn.parameter import put
from glubina.tensor import Tensor

__all__ = [
    "abs",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "backend",
    "batch_dot",
    "batch_flatten",
    "binary_crossentropy",
    "cast",
    "categorical_crossentropy",
    "clear_session",
    "clip",
    "concatenate",
    "constant",
    "cos",
    "cumsum",
    "dot",
    "dtype",
    "elu",
    "epsilon",
    "equal",
    "eval",
    "exp",
    "expand_dims",
    "eye",
    "flatten",
    "floatx",
    "gather",
    "get_session",
    "get_uid",
    "get_value",
    "gradients",
    "greater",
    "greater_equal",
    "hard_sigmoid",
    "image_data_format",
    "int_shape",
    "l2_normalize",
    "learning_phase",
    "less",
    "less_equal",
    "log",
    "logsumexp",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "ndim",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "permute_dimensions",
    "pow",
    "prod",
    "random_normal",
    "random_uniform",
    "relu",
    "repeat",
    "repeat_elements",
    "reshape",
    "round",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_learning_phase",
    "set_value",
    "shape",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "softsign",
    "sparse_categorical_crossentropy",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sum",
    "switch",
    "tanh",
    "tile",
    "transpose",
    "var",
    "variable",
    "zeros",
    "zeros_like",
]


_EPSILON = 1e-7
_counts: defaultdict[str, int] = defaultdict(int)


def backend() -> str:
    """The name of what computes."""
    return "glubina"


def epsilon() -> float:
    """The small number that losses and divisions are kept from zero by: 1e-7."""
    return _EPSILON


def set_epsilon(value: float) -> None:
    """Refused unless it is 1e-7: there is no global state to change."""
    if value != _EPSILON:
        raise ValueError(f"epsilon is {_EPSILON} here; give epsilon to the layer or the optimizer")


def floatx() -> str:
    """The dtype of weights: 'float32'."""
    return "float32"


def set_floatx(value: str) -> None:
    """Refused unless it is 'float32': `model.double()` converts one model."""
    if value != "float32":
        raise ValueError(f"floatx is 'float32' here, got {value!r}; model.double() converts one")


def image_data_format() -> str:
    """Where an image's channels stand: 'channels_last'."""
    return "channels_last"


def set_image_data_format(value: str) -> None:
    """Refused unless it is 'channels_last'."""
    if value != "channels_last":
        raise ValueError(
            f"images are 'channels_last' here, got {value!r}; transpose them: x.transpose(0, 2, 3, "
            "1)"
        )


def clear_session() -> None:
    """Layers without a name are counted from the beginning again."""
    _counts.clear()


def get_session() -> None:
    """Nothing: there is no session."""


def set_learning_phase(value: Any) -> None:
    """Nothing: `fit` trains and `predict` does not; `model(x, training=True)` says it itself."""


def get_uid(prefix: str = "") -> int:
    """The next number for this prefix, from 1."""
    _counts[prefix] += 1
    return _counts[prefix]


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape; None where it is not known before there is data."""
    return tuple(x.shape)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(x.shape)


def dtype(x: Any) -> str:
    """The dtype's name."""
    return str(x.dtype)


shape = int_shape


def cast(x: Tensor, dtype: Any) -> Tensor:
    """The tensor in another dtype."""
    return x.astype(np.dtype(dtype))


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor from a number or an array."""
    array = np.asarray(value, dtype or np.float32)
    return gl.asarray(array if shape is None else np.array(np.broadcast_to(array, shape)))


def variable(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """A tensor that is trained."""
    made = constant(value, dtype)
    made.requires_grad_()
    return made


def get_value(x: Any) -> Any:
    """The tensor as an array; a number as it is (an optimizer's learning rate)."""
    return x.numpy() if isinstance(x, Tensor) else x


eval = get_value


def set_value(x: Any, value: Any) -> None:
    """Give a tensor, or an optimizer's number (`optimizer.lr`), another value."""
    if isinstance(x, Tensor):
        put(x, np.asarray(value, x.dtype))
    elif hasattr(x, "assign"):
        x.assign(value)
    else:
        raise TypeError(f"set_value needs a tensor or optimizer.lr, got {type(x).__name__}")


def dot(x: Tensor, y: Tensor) -> Tensor:
    """The matrix product."""
    return gl.matmul(x, y)


def batch_flatten(x: Tensor) -> Tensor:
    """One row per example."""
    return gl.reshape(x, (x.shape[0], -1))


def flatten(x: Tensor) -> Tensor:
    """One axis."""
    return gl.reshape(x, (-1,))


def permute_dimensions(x: Tensor, pattern: Any) -> Tensor:
    """The axes in another order."""
    return gl.permute_dims(x, tuple(pattern))


def concatenate(tensors: Any, axis: int = -1) -> Tensor:
    """Side by side along an axis."""
    return gl.concat(list(tensors), axis=axis)


def switch(condition: Tensor, then: Any, otherwise: Any) -> Tensor:
    """One or the other, element by element."""
    first = then() if callable(then) else then
    return gl.where(condition, first, otherwise() if callable(otherwise) else otherwise)


def sqrt(x: Tensor) -> Tensor:
    """The root, of 0 where x is negative."""
    return gl.sqrt(gl.maximum(x, 0.0))


def l2_normalize(x: Tensor, axis: Any = -1) -> Tensor:
    """The tensor divided by its norm along an axis."""
    norm = (x * x).sum(axis=axis, keepdims=True)
    return x / gl.sqrt(gl.maximum(norm, 1e-12))


def random_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, **_: Any) -> Tensor:
    """Normal numbers, drawn in every step."""
    return gl.randn(*shape) * stddev + mean


def random_uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, **_: Any) -> Tensor:
    """Uniform numbers, drawn in every step."""
    return gl.rand(*shape) * (maxval - minval) + minval


def max(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest along an axis."""
    return gl.max(x, axis=axis, keepdims=keepdims)


def min(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest along an axis."""
    return gl.min(x, axis=axis, keepdims=keepdims)


def argmax(x: Tensor, axis: int = -1) -> Tensor:
    """The place of the largest."""
    return gl.argmax(x, axis=axis)


def argmin(x: Tensor, axis: int = -1) -> Tensor:
    """The place of the smallest."""
    return gl.argmin(x, axis=axis)


abs, clip, cos, equal, exp, expand_dims = gl.abs, gl.clip, gl.cos, gl.equal, gl.exp, gl.expand_dims
greater, less, log, maximum, minimum = gl.greater, gl.less, gl.log, gl.maximum, gl.minimum
mean, not_equal, ones_like, pow, prod = gl.mean, gl.not_equal, gl.ones_like, gl.pow, gl.prod
reshape, round, sign, sin, square, squeeze = (
    gl.reshape,
    gl.round,
    gl.sign,
    gl.sin,
    gl.square,
    gl.squeeze,
)
stack, std, sum, var, zeros_like = gl.stack, gl.std, gl.sum, gl.var, gl.zeros_like
all, any, eye, tile, zeros, ones = gl.all, gl.any, gl.eye, gl.tile, gl.zeros, gl.ones
greater_equal, less_equal, logsumexp = gl.greater_equal, gl.less_equal, gl.logsumexp


def transpose(x: Tensor) -> Tensor:
    """The axes in reverse order."""
    return gl.transpose(x)


def cumsum(x: Tensor, axis: int = 0) -> Tensor:
    """The sums of the first 1, 2, ... elements along an axis."""
    return gl.cumulative_sum(x, axis)


def gather(reference: Tensor, indices: Tensor) -> Tensor:
    """The slices that the indices name along the first axis."""
    return gl.take(reference, indices, 0)


def one_hot(indices: Tensor, num_classes: int) -> Tensor:
    """For each index a row with 1 at that place."""
    return gl.one_hot(indices, num_classes, "float32")


def repeat_elements(x: Tensor, rep: int, axis: int) -> Tensor:
    """Every slice along an axis several times."""
    return gl.repeat(x, rep, axis)


def repeat(x: Tensor, n: int) -> Tensor:
    """Rows (batch, features) n times over: (batch, n, features)."""
    return gl.repeat(gl.expand_dims(x, 1), n, 1)


def arange(start: int, stop: int | None = None, step: int = 1, dtype: Any = "int32") -> Tensor:
    """Whole numbers from start (or 0) to below stop."""
    first, last = (0, start) if stop is None else (start, stop)
    return gl.arange(first, last, step, dtype=dtype)


def batch_dot(x: Tensor, y: Tensor, axes: Any = None) -> Tensor:
    """For each example the product of x and y over one axis of each."""
    first, second = (axes, axes) if isinstance(axes, int) else axes or (x.ndim - 1, y.ndim - 2)
    a, b = gl.moveaxis(x, first, -1), gl.moveaxis(y, second, 1)
    rows, columns = a.shape[1:-1], b.shape[2:]
    flat = gl.matmul(
        gl.reshape(a, (a.shape[0], -1, a.shape[-1])), gl.reshape(b, (*b.shape[:2], -1))
    )
    shape = (*rows, *columns)
    return gl.reshape(flat, (a.shape[0], *(shape or (1,))))


def binary_crossentropy(target: Any, output: Tensor, from_logits: bool = False) -> Tensor:
    """−t ln p − (1 − t) ln(1 − p), element by element."""
    if from_logits:
        return gl.subtract(gl.logaddexp(output, gl.zeros_like(output)), output * target)
    p = gl.clip(output, _EPSILON, 1 - _EPSILON)
    return gl.negative(target * gl.log(p) + (1 - target) * gl.log(1 - p))


def categorical_crossentropy(target: Any, output: Tensor, from_logits: bool = False) -> Tensor:
    """−Σ t ln p over the last axis."""
    if from_logits:
        return -gl.sum(target * gl.log_softmax(output, -1), axis=-1)
    shares = output / gl.sum(output, axis=-1, keepdims=True)
    return -gl.sum(target * gl.log(gl.clip(shares, _EPSILON, 1 - _EPSILON)), axis=-1)


def sparse_categorical_crossentropy(
    target: Tensor, output: Tensor, from_logits: bool = False
) -> Tensor:
    """−ln p of the class numbers."""
    rows = gl.one_hot(gl.reshape(target, output.shape[:-1]).astype("int64"), output.shape[-1])
    return categorical_crossentropy(rows.astype(output.dtype), output, from_logits)


def learning_phase() -> int:
    """0: `call(inputs, training)` is told whether it is training."""
    return 0


def gradients(loss: Any, variables: Any) -> Any:
    """NotImplementedError: tensors have `backward()`, functions `gl.grad`."""
    raise NotImplementedError(
        "K.gradients is not there: use glubina.grad(function), or loss.backward() and tensor.grad"
    )


Array = NDArray[Any]
