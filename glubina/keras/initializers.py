"""Initialisers with Keras's names and formulas: called with a shape, they give an array.

Fans are those of Keras's layouts: a matrix is (in, out), a filter (*window, in, out).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.keras.lookup import Described, found, unknown
from glubina.nn.formula import draws

Shape = tuple[int, ...]
Array = NDArray[Any]


def fans(shape: Shape) -> tuple[float, float]:
    """(fan_in, fan_out) of a weight of this shape."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    window = math.prod(shape[:-2])
    return float(window * shape[-2]), float(window * shape[-1])


class Initializer(Described):
    """Called with a shape: an array of it. `seed` fixes the numbers of every call."""

    seed: int | None = None

    def __call__(self, shape: Shape, dtype: Any = "float32") -> Array:
        """The numbers."""
        return np.asarray(self.values(tuple(shape)), dtype)

    def values(self, shape: Shape) -> Array:
        """The numbers, in any floating dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define values(shape)")

    def source(self) -> np.random.Generator:
        """Where random numbers come from: `gl.manual_seed`, or the own seed."""
        return draws() if self.seed is None else np.random.default_rng(self.seed)


class Zeros(Initializer):
    """Zeros."""

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        return np.zeros(shape)


class Ones(Initializer):
    """Ones."""

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        return np.ones(shape)


class Constant(Initializer):
    """The same number everywhere (or an array of the shape)."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        return np.array(np.broadcast_to(self.value, shape))


class RandomUniform(Initializer):
    """Uniform from minval to maxval."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        return self.source().uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Normal with this mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        return self.source().normal(self.mean, self.stddev, shape)


def truncated(source: np.random.Generator, shape: Shape) -> Array:
    """Standard normal numbers, drawn again beyond two standard deviations."""
    values = source.normal(size=shape)
    while (outside := np.abs(values) > 2).any():
        values = np.where(outside, source.normal(size=shape), values)
    return values


class TruncatedNormal(RandomNormal):
    """Normal, drawn again beyond two standard deviations."""

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        return self.mean + self.stddev * truncated(self.source(), shape)


class VarianceScaling(Initializer):
    """Of variance scale / n, n by `mode`: 'fan_in', 'fan_out' or 'fan_avg'.

    distribution: 'truncated_normal' (also 'normal'), 'untruncated_normal' or 'uniform'.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise unknown("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        known = ("normal", "truncated_normal", "untruncated_normal", "uniform")
        if distribution not in known:
            raise unknown("distribution", distribution, known)
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        fan_in, fan_out = fans(shape)
        by_mode = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = self.scale / max(1.0, by_mode[self.mode])
        if self.distribution == "uniform":
            bound = math.sqrt(3 * variance)
            return self.source().uniform(-bound, bound, shape)
        if self.distribution == "untruncated_normal":
            return self.source().normal(0, math.sqrt(variance), shape)
        # what is cut off beyond two deviations is made up for
        return math.sqrt(variance) / 0.87962566103423978 * truncated(self.source(), shape)


class _Scaled(VarianceScaling):
    """A named setting of `VarianceScaling`."""

    setting: tuple[float, str, str] = (1.0, "fan_in", "uniform")

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self.setting, seed=seed)


class GlorotUniform(_Scaled):
    """Uniform in ±√(6 / (fan_in + fan_out)). Source: Glorot and Bengio, 2010."""

    setting = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out). Source: Glorot and Bengio, 2010."""

    setting = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform in ±√(6 / fan_in). Source: He et al., 2015, arXiv:1502.01852."""

    setting = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in. Source: He et al., 2015, arXiv:1502.01852."""

    setting = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform in ±√(3 / fan_in). Source: LeCun et al., 1998."""

    setting = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in. Source: LeCun et al., 1998."""

    setting = (1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """Orthogonal rows or columns (of all axes but the last against the last), times `gain`."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs at least 2 axes, got shape {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = self.source().normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q = q * np.sign(np.diagonal(r))  # without this the distribution is not uniform
        orthogonal: Array = self.gain * (q if rows >= columns else q.T).reshape(shape)
        return orthogonal


class Identity(Initializer):
    """The identity matrix, times `gain`."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def values(self, shape: Shape) -> Array:
        """The numbers."""
        if len(shape) != 2:
            raise ValueError(f"Identity needs a matrix, got shape {shape}")
        return self.gain * np.eye(*shape)


KNOWN: dict[str, Any] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "random_uniform": RandomUniform,
    "uniform": RandomUniform,
    "random_normal": RandomNormal,
    "normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
    "identity": Identity,
}

glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
zeros, ones, constant, orthogonal = Zeros, Ones, Constant, Orthogonal


def get(identifier: Any) -> Any:
    """An initialiser from a name, a class, an object, or any function of a shape."""
    if callable(identifier) and not isinstance(identifier, (type, Initializer)):
        return identifier
    return found("initializer", identifier, KNOWN, Initializer)
