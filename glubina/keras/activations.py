"""Activations with Keras's names; softmax and sigmoid remember what they were computed from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glubina.keras.lookup import named
from glubina.nn import functional as F
from glubina.tensor import Tensor, clip, exp, maximum

Activation = Callable[[Tensor], Tensor]


class Probabilities(Tensor):
    """Probabilities that know their logits: a loss takes those, for their digits and speed.

    kind: 'softmax' or 'sigmoid'. Whatever is computed from this tensor is a plain one.
    """

    __slots__ = ("kind", "logits")
    kind: str
    logits: Tensor

    def detach(self) -> Tensor:
        """The same without derivatives."""
        return Probabilities.of(super().detach(), self.logits.detach(), self.kind)

    @staticmethod
    def of(values: Tensor, logits: Tensor, kind: str) -> Probabilities:
        """The values with their origin."""
        made: Probabilities = object.__new__(Probabilities)
        made._cell, made._requires_grad = values._cell, values._requires_grad
        made._done, made.grad = values._done, values.grad
        made.logits, made.kind = logits, kind
        return made


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x_i / Σ_j e^x_j along an axis."""
    y = F.softmax(x, axis)
    return Probabilities.of(y, x, "softmax") if axis in (-1, len(x.shape) - 1) else y


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return Probabilities.of(F.sigmoid(x), x, "sigmoid")


def linear(x: Tensor) -> Tensor:
    """X itself."""
    return x


def relu(
    x: Tensor, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Tensor:
    """max(x, 0); with a slope below the threshold, and a largest value, if they are given."""
    if threshold:
        y = F.threshold(x, threshold, 0.0)
        y = y + (x - threshold - F.relu(x - threshold)) * negative_slope if negative_slope else y
    else:
        y = F.leaky_relu(x, negative_slope) if negative_slope else F.relu(x)
    return y if max_value is None else -maximum(-y, -max_value)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """X where x > 0, else α (e^x − 1)."""
    return F.elu(x, alpha)


def hard_sigmoid(x: Tensor) -> Tensor:
    """0.2 x + 0.5, cut at 0 and 1: Keras 2's form (PyTorch's and Keras 3's is x / 6 + 0.5)."""
    return clip(x * 0.2 + 0.5, 0.0, 1.0)


def exponential(x: Tensor) -> Tensor:
    """e^x."""
    return exp(x)


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """X Φ(x); `approximate` takes tanh for it."""
    return F.gelu(x, "tanh" if approximate else "none")


def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """X where x > 0, else negative_slope · x."""
    return F.leaky_relu(x, negative_slope)


KNOWN: dict[str, Activation] = {
    "linear": linear,
    "relu": relu,
    "sigmoid": sigmoid,
    "tanh": F.tanh,
    "softmax": softmax,
    "elu": elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hard_sigmoid": hard_sigmoid,
    "exponential": exponential,
    "gelu": gelu,
    "swish": F.silu,
    "silu": F.silu,
    "mish": F.mish,
    "relu6": F.relu6,
    "leaky_relu": leaky_relu,
    "log_softmax": F.log_softmax,
    "hard_tanh": F.hardtanh,
}

tanh, selu, softplus, softsign = F.tanh, F.selu, F.softplus, F.softsign
silu = swish = F.silu
mish, relu6, log_softmax = F.mish, F.relu6, F.log_softmax

_NAMES = {function: name for name, function in reversed(KNOWN.items())}


def get(identifier: Any) -> Any:
    """An activation from a name, a layer or a function of a tensor; None is the linear one."""
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        return named("activation", identifier, KNOWN)
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    raise TypeError(f"activation must be a name or a function, got {identifier!r}")


def name_of(function: Any) -> Any:
    """The name of an activation of this module; anything else as it is."""
    try:
        return _NAMES.get(function, function)
    except TypeError:  # what cannot be hashed is not ours
        return function
