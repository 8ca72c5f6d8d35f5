"""Initialisers: fill a tensor in place, and return it.

The numbers are drawn on the host, from the state of `gl.manual_seed`: a network is drawn once, so
a program for it would cost more than it saves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph.names import unknown
from glubina.nn.formula import draws, fill
from glubina.tensor import Tensor


def _shape(tensor: Tensor) -> tuple[int, ...]:
    given: Any = tensor
    if not isinstance(given, Tensor):
        weight = isinstance(getattr(given, "weight", None), Tensor)
        hint = "; did you mean its weight?" if weight else ""
        raise TypeError(f"an initialiser fills a tensor, got {type(given).__name__}{hint}")
    return tensor.shape


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output sees, and how many outputs an input reaches: (fan_in, fan_out).

    A matrix is (out, in), as in `Linear`; with more axes it is a filter (*window, in, out), as in
    `Conv2d`, and both count the window's positions.
    """
    shape = _shape(tensor)
    if len(shape) < 2:
        raise ValueError(f"fans need a tensor of at least 2 axes, got shape {shape}")
    if len(shape) == 2:
        return shape[1], shape[0]
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation that keeps the variance through a nonlinearity.

    'linear', 'sigmoid', 'conv1d', 'conv_transpose1d'...: 1; 'tanh': 5/3; 'relu': √2;
    'leaky_relu': √(2 / (1 + a²)), a = 0.01 unless given; 'selu': 3/4.
    """
    if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
        raise ValueError(f"param must be a number, the slope of leaky_relu, got {param!r}")
    gains = {
        **dict.fromkeys(("linear", "sigmoid"), 1.0),
        **{f"conv{kind}{n}d": 1.0 for kind in ("", "_transpose") for n in (1, 2, 3)},
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2)),
        "selu": 0.75,
    }
    if nonlinearity not in gains:
        raise ValueError(unknown("nonlinearity", nonlinearity, gains))
    return gains[nonlinearity]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform numbers from a to b."""
    if not a <= b:
        raise ValueError(f"uniform_: a must be at most b, got a={a!r} and b={b!r}")
    return fill(tensor, draws().uniform(a, b, _shape(tensor)))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal numbers with this mean and standard deviation."""
    if not std >= 0:
        raise ValueError(f"normal_: std must not be negative, got {std!r}")
    return fill(tensor, draws().normal(mean, std, _shape(tensor)))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Normal numbers, drawn again where they lie outside a to b (no multiples of std)."""
    if not a < b:
        raise ValueError(f"trunc_normal_: a must be below b, got {a} and {b}")
    if not std > 0:
        raise ValueError(f"trunc_normal_: std must be above 0, got {std!r}")
    source = draws()
    values = source.normal(mean, std, _shape(tensor))
    for _ in range(1000):
        outside = (values < a) | (values > b)
        if not outside.any():
            return fill(tensor, values)
        values = np.where(outside, source.normal(mean, std, tensor.shape), values)
    raise ValueError(f"hardly any number of mean {mean} and std {std} lies in {a} to {b}")


def constant_(tensor: Tensor, value: float) -> Tensor:
    """The same number everywhere."""
    return fill(tensor, np.full(_shape(tensor), value))


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if len(_shape(tensor)) != 2:
        raise ValueError(f"eye_ needs a matrix, got shape {tensor.shape}")
    rows, columns = tensor.shape
    return fill(tensor, np.eye(rows, columns))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform in ±gain · √(6 / (fan_in + fan_out)). Source: Glorot and Bengio, 2010."""
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with std gain · √(2 / (fan_in + fan_out)). Source: Glorot and Bengio, 2010."""
    return normal_(tensor, 0, gain * math.sqrt(2 / sum(fans(tensor))))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Uniform in ±gain · √(3 / fan). Source: He et al., 2015, arXiv:1502.01852."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Normal with std gain / √fan. Source: He et al., 2015, arXiv:1502.01852."""
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Orthogonal rows or columns (of the matrix of all axes but the last against the last).

    A matrix (out, in) is taken as it is. Source: Saxe et al., 2014, arXiv:1312.6120.
    """
    if len(_shape(tensor)) < 2:
        raise ValueError(f"orthogonal_ needs at least 2 axes, got shape {tensor.shape}")
    rows, columns = math.prod(tensor.shape[:-1]), tensor.shape[-1]
    tall: NDArray[np.float64] = draws().normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diagonal(r))  # without this the distribution is not uniform
    q = q if rows >= columns else q.T
    return fill(tensor, gain * q.reshape(tensor.shape))


def lecun_uniform_(tensor: Tensor) -> Tensor:
    """Uniform in ±√(3 / fan_in). Source: LeCun et al., "Efficient BackProp", 1998."""
    bound = math.sqrt(3 / fans(tensor)[0])
    return uniform_(tensor, -bound, bound)


def lecun_normal_(tensor: Tensor) -> Tensor:
    """Normal with std √(1 / fan_in), as SELU wants it. Source: LeCun et al., 1998."""
    return normal_(tensor, 0, math.sqrt(1 / fans(tensor)[0]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Filters (*window, in, out) that pass each channel on as it is, group by group.

    Output i of a group is its input i, as far as there are both; the others are zero.
    """
    shape = _shape(tensor)
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"dirac_ needs a filter of 3 to 5 axes, got shape {shape}")
    if not (groups >= 1 and shape[-1] % groups == 0):
        raise ValueError(
            f"dirac_: groups must divide the outputs ({shape[-1]} of shape {shape}), got {groups!r}"
        )
    values = np.zeros(shape)
    middle, each = tuple(n // 2 for n in shape[:-2]), shape[-1] // groups
    for group in range(groups):
        for i in range(min(each, shape[-2])):
            values[(*middle, i, group * each + i)] = 1
    return fill(tensor, values)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """A matrix of normal numbers in which this share of each column is zero.

    Source: Martens, "Deep learning via Hessian-free optimization", 2010.
    """
    if len(_shape(tensor)) != 2:
        raise ValueError(f"sparse_ needs a matrix, got shape {tensor.shape}")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity must be from 0 to 1, got {sparsity!r}")
    if not std >= 0:
        raise ValueError(f"sparse_: std must not be negative, got {std!r}")
    source, (rows, columns) = draws(), tensor.shape
    values = source.normal(0, std, tensor.shape)
    for column in range(columns):
        values[source.permutation(rows)[: math.ceil(sparsity * rows)], column] = 0
    return fill(tensor, values)


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """How layers begin: weight and bias uniform in ±1/√fan_in (LeCun et al., 1998)."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(fans(weight)[0])
        uniform_(bias, -bound, bound)
