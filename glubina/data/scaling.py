"""Scaling by statistics of the training part: standardisation and min-max."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glubina.data.errors import DataError

Axes = int | Sequence[int] | None
Config = dict[str, Any]


class _Scaling:
    """What they share: the axes that statistics are taken over, and their place in the data."""

    def __init__(self, axis: Axes) -> None:
        axes = tuple(axis) if isinstance(axis, Sequence) else axis
        inner = isinstance(axes, tuple) and (0 not in axes or any(a < 0 for a in axes))
        if inner or not (axes is None or axes == 0 or isinstance(axes, tuple)):
            raise DataError(
                f"{type(self).__name__} takes axis=0 (each feature), None (all values) or axes "
                f"with 0 among them, as (0, 1, 2) for each channel of images; got {axis!r}"
            )
        self.axis = axes

    def _over(self, x: NDArray[Any], statistic: Any, **options: Any) -> NDArray[np.float64]:
        """A statistic in the shape of an example, of extent 1 where it is taken over an axis."""
        if len(x) == 0:
            raise DataError(f"{type(self).__name__} cannot be fitted on an empty array")
        several = isinstance(self.axis, tuple)
        if isinstance(self.axis, tuple) and max(self.axis) >= x.ndim:
            raise DataError(f"data of shape {x.shape} have no axis {max(self.axis)}")
        found = statistic(x, axis=self.axis, keepdims=several, **options)
        return np.asarray(found[0] if several else found, np.float64)

    def _fits(self, x: NDArray[Any], learnt: NDArray[np.float64] | None) -> np.dtype[Any]:
        """The dtype to compute in: float32 if the data are, so that they stay so."""
        name = type(self).__name__
        if learnt is None:
            raise DataError(f"{name} has not been fitted: call fit(x_train) first")
        free = self.axis if isinstance(self.axis, tuple) else ()
        fits = learnt.ndim == x.ndim - 1 and all(
            n == m or (m == 1 and axis in free)
            for axis, (n, m) in enumerate(zip(x.shape[1:], learnt.shape), 1)
        )
        if learnt.ndim and not fits:
            raise DataError(
                f"{name} was fitted on examples of shape {learnt.shape} and is given "
                f"examples of shape {x.shape[1:]}"
            )
        return np.dtype(np.float32 if x.dtype == np.float32 else np.float64)

    def _axes(self) -> Any:
        """The axes as JSON has them."""
        return list(self.axis) if isinstance(self.axis, tuple) else self.axis


def _given(value: ArrayLike | None) -> NDArray[np.float64] | None:
    return None if value is None else np.asarray(value, np.float64)


def _listed(value: NDArray[np.float64] | None) -> Any:
    return None if value is None else value.tolist()


class Standardize(_Scaling):
    """Every feature to mean 0 and standard deviation 1: `(x - mean) / std`.

    `fit` learns the mean and the (population) standard deviation over the training part: with
    `axis=0` of each feature (all axes but the first), with `axis=None` of all values together, with
    axes such as `(0, 1, 2)` over these: for images (N, H, W, C) of each channel. A constant
    feature is only shifted.
    """

    def __init__(
        self, mean: ArrayLike | None = None, std: ArrayLike | None = None, axis: Axes = 0
    ) -> None:
        super().__init__(axis)
        self.mean, self.std = _given(mean), _given(std)

    def fit(self, x: NDArray[Any]) -> Self:
        """Learn from the training part, of shape (examples, *features)."""
        self.mean = self._over(x, np.mean, dtype=np.float64)
        std = self._over(x, np.std, dtype=np.float64)
        # Rounding leaves a constant feature a tiny spread; dividing by it would blow up noise.
        negligible = std <= 1e-12 * np.maximum(np.abs(self.mean), np.finfo(np.float64).tiny)
        self.std = np.where(negligible, 1.0, std)
        return self

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The standardised data, float32."""
        mean, std = self._fitted(x)
        made: NDArray[Any] = x - mean
        made /= std
        return made.astype(np.float32, copy=False)

    def inverse(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The data before `transform`: `x * std + mean`, float32."""
        mean, std = self._fitted(x)
        made: NDArray[Any] = x * std + mean
        return made.astype(np.float32, copy=False)

    def _fitted(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        dtype = self._fits(x, self.mean if self.std is not None else None)
        assert self.mean is not None
        assert self.std is not None
        return self.mean.astype(dtype), self.std.astype(dtype)

    def arguments(self) -> Config:
        """The fitted mean and standard deviation, as numbers or nested lists, and the axis."""
        return {"mean": _listed(self.mean), "std": _listed(self.std), "axis": self._axes()}


class MinMax(_Scaling):
    """Every feature into a range: `low + (x − least) / (largest − least) · (high − low)`.

    `fit` learns the least and the largest value of the training part, over the axes as in
    `Standardize`; other data may come to lie outside the range. A constant feature becomes `low`.
    """

    def __init__(
        self,
        low: float = 0.0,
        high: float = 1.0,
        axis: Axes = 0,
        least: ArrayLike | None = None,
        largest: ArrayLike | None = None,
    ) -> None:
        super().__init__(axis)
        if not low < high:
            raise DataError(f"MinMax needs low < high, got {low} and {high}")
        self.low, self.high = float(low), float(high)
        self.least, self.largest = _given(least), _given(largest)

    def fit(self, x: NDArray[Any]) -> Self:
        """Learn from the training part, of shape (examples, *features)."""
        self.least, self.largest = self._over(x, np.min), self._over(x, np.max)
        return self

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The data in the range, float32."""
        least, span = self._fitted(x)
        made: NDArray[Any] = (x - least) / span * (self.high - self.low) + self.low
        return made.astype(np.float32, copy=False)

    def inverse(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The data before `transform`, float32."""
        least, span = self._fitted(x)
        made: NDArray[Any] = (x - self.low) / (self.high - self.low) * span + least
        return made.astype(np.float32, copy=False)

    def _fitted(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        dtype = self._fits(x, self.least if self.largest is not None else None)
        assert self.least is not None
        assert self.largest is not None
        span = self.largest - self.least
        return self.least.astype(dtype), np.where(span > 0, span, 1.0).astype(dtype)

    def arguments(self) -> Config:
        """The range, the axis and what was learnt."""
        return {
            "low": self.low,
            "high": self.high,
            "axis": self._axes(),
            "least": _listed(self.least),
            "largest": _listed(self.largest),
        }
