"""Preprocessing: steps that are fitted on the training part only and saved with the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError
from glubina.data.scaling import MinMax, Standardize

Config = dict[str, Any]


class Step(Protocol):
    """One step of preprocessing."""

    def fit(self, x: NDArray[Any]) -> Self:
        """Learn from the training part whatever the step needs."""

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """The data after the step, float32."""

    def arguments(self) -> Config:
        """The arguments that make this step again, as JSON has them."""


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


class OneHot:
    """Columns of categories, given as numbers, become a column of 0 or 1 for each category.

    `fit` learns the categories of each column (n, columns) of the training part, in order; those
    of `columns` (places from 0; None: all) are replaced by their indicators and come after the
    columns that stay. A category that was not there when fitted is 0 everywhere.
    """

    def __init__(
        self,
        columns: Sequence[int] | None = None,
        categories: Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.columns = None if columns is None else [int(column) for column in columns]
        self.categories = None if categories is None else [list(c) for c in categories]

    def fit(self, x: NDArray[Any]) -> Self:
        """Learn the categories of the training part, of shape (examples, columns)."""
        self.categories = [np.unique(x[:, column]).tolist() for column in self._columns(x)]
        return self

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The columns that stay, then the indicators, float32."""
        if self.categories is None:
            raise DataError("OneHot has not been fitted: call fit(x_train) first")
        columns = self._columns(x)
        if len(columns) != len(self.categories):
            raise DataError(
                f"OneHot was fitted on {len(self.categories)} columns and is given {len(columns)}"
            )
        parts = [np.delete(x, columns, axis=1)]
        for column, categories in zip(columns, self.categories):
            parts.append(x[:, column, None] == np.asarray(categories))
        return np.concatenate([part.astype(np.float32) for part in parts], axis=1)

    def _columns(self, x: NDArray[Any]) -> list[int]:
        if x.ndim != 2:
            raise DataError(f"OneHot takes a table (examples, columns), got shape {x.shape}")
        columns = list(range(x.shape[1])) if self.columns is None else self.columns
        if any(not 0 <= column < x.shape[1] for column in columns):
            raise DataError(f"OneHot: the table has columns 0 to {x.shape[1] - 1}, not {columns}")
        return columns

    def arguments(self) -> Config:
        """The columns and the categories of each."""
        return {"columns": self.columns, "categories": self.categories}


KINDS: dict[str, Callable[..., Step]] = {
    kind.__name__: kind for kind in (Standardize, MinMax, Rescale, Reshape, OneHot)
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
