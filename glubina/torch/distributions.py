"""`torch.distributions`: the distributions of reinforcement learning and variational models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.tensor.convert import as_tensor
from glubina.tensor.mode import no_grad
from glubina.torch.creation import multinomial
from glubina.torch.tensor import Size, faced


def _floats(*values: Any) -> list[gl.Tensor]:
    """The parameters as floating tensors of one shape."""
    tensors = [as_tensor(v) for v in values]
    tensors = [t if t.dtype.kind == "f" else t.astype("float32") for t in tensors]
    shape = np.broadcast_shapes(*(tuple(t.shape) for t in tensors))
    return [gl.broadcast_to(t, shape) for t in tensors]


def _shape(sample_shape: Any) -> tuple[int, ...]:
    return (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)


class Distribution:
    """A distribution of which numbers are drawn, and whose logarithm of the density is known.

    batch_shape: the shape of the parameters; event_shape: that of one draw, () for a number.
    """

    has_rsample = False
    event_shape: Any = Size()

    def __init__(self, batch_shape: Any) -> None:
        self.batch_shape = Size(batch_shape)

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draws of the shape sample_shape + batch_shape + event_shape, without derivatives."""
        with no_grad():
            return faced(self._draw(_shape(sample_shape)))

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draws through which derivatives go to the parameters."""
        if not self.has_rsample:
            raise NotImplementedError(f"{type(self).__name__} has no rsample; use sample()")
        return faced(self._draw(_shape(sample_shape)))

    def sample_n(self, n: int) -> Any:
        """`sample((n,))`."""
        return self.sample((n,))

    def _draw(self, shape: tuple[int, ...]) -> gl.Tensor:
        raise NotImplementedError(f"{type(self).__name__} needs a method _draw(shape)")

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density, or of the probability, at a value."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def prob(self, value: Any) -> Any:
        """The density, or the probability, at a value."""
        return faced(gl.exp(self.log_prob(value)))


class Normal(Distribution):
    """N(loc, scale²): the density exp(−(x − loc)² / 2 scale²) / (scale √2π)."""

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None) -> None:
        self.loc, self.scale = (faced(t) for t in _floats(loc, scale))
        super().__init__(self.loc.shape)

    mean = property(lambda self: self.loc)
    mode = mean
    stddev = property(lambda self: self.scale)
    variance = property(lambda self: self.scale * self.scale)

    def _draw(self, shape: tuple[int, ...]) -> gl.Tensor:
        noise = gl.randn((*shape, *self.batch_shape), dtype=self.loc.dtype)
        return gl.add(self.loc, gl.multiply(self.scale, noise))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density."""
        apart = gl.divide(gl.subtract(value, self.loc), self.scale)
        constant = math.log(math.sqrt(2 * math.pi))
        return faced(-0.5 * gl.square(apart) - gl.log(self.scale) - constant)

    def entropy(self) -> Any:
        """½ + ½ ln 2π + ln scale."""
        return faced(gl.log(self.scale) + (0.5 + 0.5 * math.log(2 * math.pi)))

    def cdf(self, value: Any) -> Any:
        """The probability of what is at most value."""
        apart = gl.divide(gl.subtract(value, self.loc), self.scale)
        return faced(0.5 * (1 + gl.erf(apart / math.sqrt(2))))


class Uniform(Distribution):
    """1 / (high − low) between low and high."""

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: Any = None) -> None:
        self.low, self.high = (faced(t) for t in _floats(low, high))
        super().__init__(self.low.shape)

    mean = property(lambda self: (self.high + self.low) / 2)
    variance = property(lambda self: (self.high - self.low) ** 2 / 12)

    def _draw(self, shape: tuple[int, ...]) -> gl.Tensor:
        noise = gl.rand((*shape, *self.batch_shape), dtype=self.low.dtype)
        return gl.add(self.low, gl.multiply(noise, gl.subtract(self.high, self.low)))

    def log_prob(self, value: Any) -> Any:
        """−ln(high − low) inside, −∞ outside."""
        inside = gl.logical_and(gl.less_equal(self.low, value), gl.less(value, self.high))
        width = -gl.log(gl.subtract(self.high, self.low))
        return faced(gl.where(inside, width, -math.inf))

    def entropy(self) -> Any:
        """Ln(high − low)."""
        return faced(gl.log(gl.subtract(self.high, self.low)))


class Exponential(Distribution):
    """Rate · exp(−rate · x) for x ≥ 0."""

    has_rsample = True

    def __init__(self, rate: Any, validate_args: Any = None) -> None:
        self.rate = faced(_floats(rate)[0])
        super().__init__(self.rate.shape)

    mean = property(lambda self: 1 / self.rate)

    def _draw(self, shape: tuple[int, ...]) -> gl.Tensor:
        noise = gl.rand((*shape, *self.batch_shape), dtype=self.rate.dtype)
        return gl.divide(-gl.log1p(-noise), self.rate)

    def log_prob(self, value: Any) -> Any:
        """Ln rate − rate · x."""
        return faced(gl.log(self.rate) - gl.multiply(self.rate, value))

    def entropy(self) -> Any:
        """1 − ln rate."""
        return faced(1 - gl.log(self.rate))


def _one_of(name: str, probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError(f"{name}: give either probs or logits, not both")


class Bernoulli(Distribution):
    """1 with the probability `probs`, else 0; logits are ln(p / (1 − p))."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        _one_of("Bernoulli", probs, logits)
        given = faced(_floats(probs if logits is None else logits)[0])
        self._probs: Any = given if logits is None else None
        self._logits: Any = given if probs is None else None
        super().__init__(given.shape)

    @property
    def probs(self) -> Any:
        """The probabilities of 1."""
        return faced(gl.sigmoid(self._logits)) if self._probs is None else self._probs

    @property
    def logits(self) -> Any:
        """Ln(p / (1 − p))."""
        if self._logits is not None:
            return self._logits
        p = gl.clip(self._probs, 1.2e-7, 1 - 1.2e-7)
        return faced(gl.log(p) - gl.log1p(-p))

    mean = probs
    variance = property(lambda self: self.probs * (1 - self.probs))

    def _draw(self, shape: tuple[int, ...]) -> gl.Tensor:
        chance = gl.broadcast_to(self.probs, (*shape, *self.batch_shape))
        return gl.bernoulli(chance)

    def log_prob(self, value: Any) -> Any:
        """Ln p for 1, ln(1 − p) for 0."""
        x = gl.multiply(self.logits, value)
        return faced(x - gl.logaddexp(self.logits, gl.zeros_like(self.logits)))

    def entropy(self) -> Any:
        """−p ln p − (1 − p) ln(1 − p)."""
        p = self.probs
        return faced(-(p * self.log_prob(1.0) + (1 - p) * self.log_prob(0.0)))


class Categorical(Distribution):
    """The numbers 0 ... n − 1 by probabilities (which are divided by their sum) or logits."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        _one_of("Categorical", probs, logits)
        given = _floats(probs if logits is None else logits)[0]
        if given.ndim < 1:
            raise ValueError("Categorical: probs or logits need at least one axis")
        if logits is None:
            self.probs = faced(gl.divide(given, gl.sum(given, -1, keepdims=True)))
            self.logits = faced(gl.log(gl.clip(self.probs, 1.1920929e-07, 1 - 1.1920929e-07)))
        else:
            self.logits = faced(given - gl.logsumexp(given, -1, keepdims=True))
            self.probs = faced(gl.softmax(given, -1))
        super().__init__(given.shape[:-1])

    @property
    def mode(self) -> Any:
        """The likeliest number."""
        return faced(gl.argmax(self.probs, -1))

    def _draw(self, shape: tuple[int, ...]) -> gl.Tensor:
        count, classes = math.prod(shape), self.probs.shape[-1]
        rows = self.probs.detach().reshape(-1, classes)
        drawn = gl.transpose(multinomial(rows, count, True))
        return gl.reshape(drawn, (*shape, *self.batch_shape))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of a number's probability."""
        places = as_tensor(value).astype("int64")
        shape = np.broadcast_shapes(tuple(places.shape), tuple(self.batch_shape))
        table = gl.broadcast_to(self.logits, (*shape, self.logits.shape[-1]))
        index = gl.expand_dims(gl.broadcast_to(places, shape), -1)
        return faced(gl.squeeze(gl.take_along_axis(table, index, -1), -1))

    def entropy(self) -> Any:
        """−Σ p ln p."""
        low = float(np.finfo(self.logits.dtype).min)
        return faced(-gl.sum(self.probs * gl.clip(self.logits, low), -1))


class OneHotCategorical(Categorical):
    """`Categorical` with one-hot vectors for numbers."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        super().__init__(probs, logits)
        self.event_shape = Size(self.probs.shape[-1:])

    def _draw(self, shape: tuple[int, ...]) -> gl.Tensor:
        return gl.one_hot(super()._draw(shape), self.probs.shape[-1], self.probs.dtype)

    def log_prob(self, value: Any) -> Any:
        """The logarithm of a vector's probability."""
        return faced(gl.sum(gl.multiply(value, self.logits), -1))


class Independent(Distribution):
    """A distribution whose last batch axes are taken for one draw: their log_probs are summed."""

    def __init__(self, base: Distribution, count: int, validate_args: Any = None) -> None:
        self.base_dist, self._count = base, count
        cut = len(base.batch_shape) - count
        super().__init__(base.batch_shape[:cut])
        self.event_shape = Size((*base.batch_shape[cut:], *base.event_shape))
        self.has_rsample = base.has_rsample

    mean = property(lambda self: self.base_dist.mean)

    def _draw(self, shape: tuple[int, ...]) -> gl.Tensor:
        return self.base_dist._draw(shape)

    def _summed(self, x: Any) -> Any:
        return faced(gl.sum(x, tuple(range(-self._count, 0)))) if self._count else x

    def log_prob(self, value: Any) -> Any:
        """The sum of the base's over the axes of a draw."""
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self) -> Any:
        """The sum of the base's."""
        return self._summed(self.base_dist.entropy())  # type: ignore[attr-defined]


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """KL(p ‖ q) of two distributions of one kind."""
    if isinstance(p, Normal) and isinstance(q, Normal):
        ratio = gl.square(p.scale / q.scale)
        apart = gl.square((p.loc - q.loc) / q.scale)
        return faced(0.5 * (ratio + apart - 1 - gl.log(ratio)))
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        each = gl.multiply(p.probs, gl.subtract(p.logits, q.logits))
        return faced(gl.sum(gl.where(gl.equal(p.probs, 0.0), 0.0, each), -1))
    if isinstance(p, Bernoulli) and isinstance(q, Bernoulli):
        one, other = p.probs, 1 - p.probs
        return faced(
            one * (p.log_prob(1.0) - q.log_prob(1.0)) + other * (p.log_prob(0.0) - q.log_prob(0.0))
        )
    if isinstance(p, Independent) and isinstance(q, Independent) and p._count == q._count:
        return p._summed(kl_divergence(p.base_dist, q.base_dist))
    names = f"{type(p).__name__} and {type(q).__name__}"
    raise NotImplementedError(f"kl_divergence: not known for {names}")


__all__ = [
    *("Bernoulli", "Categorical", "Distribution", "Exponential", "Independent", "Normal"),
    *("OneHotCategorical", "Uniform", "kl_divergence"),
]


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"glubina.torch.distributions has no {name!r}; there are {', '.join(__all__[:-1])}"
    )
