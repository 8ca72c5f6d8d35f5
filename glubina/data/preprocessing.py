"""Preprocessing: steps that are fitted on the training part only and saved with the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glubina.data.errors import DataError

Config = dict[str, Any]


class Step(Protocol):
    """One step of preprocessing."""

    def fit(self, x: NDArray[Any]) -> Self:
        """Learn from the training part whatever the step needs."""

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """The data after the step, float32."""

    def arguments(self) -> Config:
        """The arguments that make this step again, as JSON has them."""


class Standardize:
    """Every feature to mean 0 and standard deviation 1: `(x - mean) / std`.

    `fit` learns the mean and the (population) standard deviation over the training part: with
    `axis=0` of each feature (all axes but the first), with `axis=None` of all values together,
    as for images. A constant feature is only shifted.
    """

    def __init__(
        self, mean: ArrayLike | None = None, std: ArrayLike | None = None, axis: int | None = 0
    ) -> None:
        if axis not in (0, None):
            raise DataError(f"Standardize takes axis=0 or axis=None, got {axis!r}")
        self.mean = None if mean is None else np.asarray(mean, np.float64)
        self.std = None if std is None else np.asarray(std, np.float64)
        self.axis = axis

    def fit(self, x: NDArray[Any]) -> Self:
        """Learn from the training part, of shape (examples, *features)."""
        if len(x) == 0:
            raise DataError("Standardize cannot be fitted on an empty array")
        self.mean = np.asarray(x.mean(axis=self.axis, dtype=np.float64))
        std = x.std(axis=self.axis, dtype=np.float64)
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
        """Mean and standard deviation, in float32 if the data are, so that they stay so."""
        if self.mean is None or self.std is None:
            raise DataError("Standardize has not been fitted: call fit(x_train) first")
        if self.mean.ndim and x.shape[1:] != self.mean.shape:
            raise DataError(
                f"Standardize was fitted on examples of shape {self.mean.shape} and is given "
                f"examples of shape {x.shape[1:]}"
            )
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        return self.mean.astype(dtype), self.std.astype(dtype)

    def arguments(self) -> Config:
        """The fitted mean and standard deviation, as numbers or nested lists, and the axis."""
        mean = None if self.mean is None else self.mean.tolist()
        std = None if self.std is None else self.std.tolist()
        return {"mean": mean, "std": std, "axis": self.axis}


class Rescale:
    """A fixed change of scale: `x * scale + offset`. Images: `Rescale(1 / 255)`."""

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        self.scale, self.offset = float(scale), float(offset)

    def fit(self, x: NDArray[Any]) -> Self:
        """Nothing is learnt."""
        return self

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The data in the new scale, float32."""
        scaled: NDArray[np.float32] = np.multiply(x, np.float32(self.scale), dtype=np.float32)
        scaled += np.float32(self.offset)
        return scaled

    def arguments(self) -> Config:
        """The scale and the offset."""
        return {"scale": self.scale, "offset": self.offset}


class Reshape:
    """Give every example a shape: `Reshape((28, 28, 1))` adds the axis of the channels."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(int(extent) for extent in shape)

    def fit(self, x: NDArray[Any]) -> Self:
        """Nothing is learnt."""
        return self

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """The data with examples of the shape. Raises DataError if the sizes differ."""
        if int(np.prod(x.shape[1:])) != int(np.prod(self.shape)):
            raise DataError(
                f"examples of shape {x.shape[1:]} cannot be given the shape {self.shape}: the "
                "model was made for other data"
            )
        return x.reshape(len(x), *self.shape)

    def arguments(self) -> Config:
        """The shape of an example."""
        return {"shape": list(self.shape)}


KINDS: dict[str, type[Standardize] | type[Rescale] | type[Reshape]] = {
    "Standardize": Standardize,
    "Rescale": Rescale,
    "Reshape": Reshape,
}


class Preprocessing:
    """Steps one after another, fitted together and saved together."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps

    def fit(self, x: NDArray[Any]) -> Self:
        """Fit every step on the training part as the steps before it leave it."""
        for index, step in enumerate(self.steps):
            step.fit(x)
            if index + 1 < len(self.steps):
                x = step.transform(x)
        return self

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The data after all steps, float32 in C order."""
        for step in self.steps:
            x = step.transform(x)
        return np.ascontiguousarray(x, np.float32)

    def config(self) -> list[Config]:
        """The steps by name and arguments, as they stand in model.json."""
        return [{"type": type(step).__name__, "arguments": step.arguments()} for step in self.steps]

    @classmethod
    def from_config(cls, config: Sequence[Any]) -> Preprocessing:
        """The steps again from what `config` gave; only the kinds known here can be named."""
        steps = []
        for entry in config:
            name = entry.get("type") if isinstance(entry, dict) else None
            kind = KINDS.get(name) if isinstance(name, str) else None
            if kind is None:
                raise DataError(f"unknown preprocessing {name!r}; known are {', '.join(KINDS)}")
            try:
                steps.append(kind(**entry["arguments"]))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"the arguments of {name} are not as they must be: {error}") from (
                    error
                )
        return cls(*steps)
