"""What `fit`, `evaluate` and `predict` are given, checked and brought into one form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data import DataError, DataLoader, Dataset, DataTypeError, TensorDataset, split_order
from glubina.data.checks import (
    as_array,
    require_examples,
    require_finite,
    require_labels,
    require_same_length,
)
from glubina.graph.node import Shape
from glubina.tensor import Tensor
from glubina.tensor.arguments import whole
from glubina.train.several import Several, each, first

Array = NDArray[Any]


@dataclass(frozen=True)
class Examples:
    """Inputs and targets in memory, checked and in the dtypes that the model takes.

    Each is an array, or `Several` of them.
    """

    x: Any
    y: Any

    def __len__(self) -> int:
        return len(first(self.x))

    def rows(self, chosen: NDArray[np.int64]) -> Examples:
        """The chosen examples."""
        return Examples(each(lambda a: a[chosen], self.x), each(lambda a: a[chosen], self.y))


@dataclass(frozen=True)
class Batches:
    """What an epoch runs over.

    Either examples in memory with the size of the mini-batches (`examples`), or a loader that
    makes mini-batches one by one (`loader`); a loader over arrays in memory counts as the former
    and keeps its own order. accumulate: how many mini-batches make a step.
    """

    batch_size: int
    examples: Examples | None = None
    loader: DataLoader | None = None
    drop_last: bool = False
    accumulate: int = 1

    @property
    def unit(self) -> str:
        """What an example is called: pictures have more than one axis."""
        pictures = self.examples is not None and first(self.examples.x).ndim > 2
        return "images" if pictures else "examples"

    @property
    def count(self) -> int:
        """Examples in an epoch."""
        if self.examples is None:
            assert self.loader is not None
            whole = len(self.loader.dataset)
        else:
            whole = len(self.examples)
        return whole - whole % self.batch_size if self.drop_last else whole

    @property
    def step_size(self) -> int:
        """Examples in a step, but for the epoch's last one."""
        return self.batch_size * self.accumulate

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return -(-self.count // self.step_size)


def checked_size(batch_size: Any) -> int:
    """The size of mini-batches, a whole number of at least 1; else DataError."""
    try:
        return whole("batch_size", batch_size)
    except ValueError as error:
        raise DataError(str(error)) from None


def batches(x: Any, y: Any, batch_size: int, dtype: np.dtype[Any], name: str = "") -> Batches:
    """Arrays, a TensorDataset, a data set of one's own or a DataLoader, in one form.

    `dtype` is the model's; `name` is put before "x" and "y" in errors ("validation ").
    """
    batch_size = checked_size(batch_size)
    if isinstance(x, DataLoader):
        _no_targets(y, "a DataLoader")
        if isinstance(x.dataset, TensorDataset) and not makes_own_batches(x):
            examples = _pair(x.dataset, dtype, name)
            return Batches(x.batch_size, examples, x, x.drop_last)
        return Batches(x.batch_size, None, x, x.drop_last)
    if isinstance(x, TensorDataset):
        _no_targets(y, "a TensorDataset")
        return Batches(batch_size, _pair(x, dtype, name))
    if y is None:
        if isinstance(x, tuple) and len(x) == 2:
            return batches(x[0], x[1], batch_size, dtype, name)
        if _is_dataset(x):
            return Batches(batch_size, None, DataLoader(x, batch_size))
        if hasattr(x, "__next__"):
            raise DataError(
                f"{name}x is a {type(x).__name__}, which ends after one epoch: give arrays, a data "
                "set with a length, or a DataLoader"
            )
        raise DataError(
            f"{name}y is missing: give inputs and targets, a pair of them, a data set whose "
            "examples are pairs, or a DataLoader"
        )
    return Batches(batch_size, examples_of(x, y, dtype, name))


def makes_own_batches(loader: DataLoader) -> bool:
    """Whether it is of a class of one's own that says itself what its mini-batches are."""
    return type(loader).__iter__ is not DataLoader.__iter__


def examples_of(x: Any, y: Any, dtype: np.dtype[Any], name: str = "") -> Examples:
    """Inputs and targets as arrays. Raises DataError for empty, unequal or non-finite data."""
    inputs, targets = inputs_of(x, dtype, f"{name}x"), _targets_of(y, f"{name}y")
    require_same_length(first(inputs), first(targets), (f"{name}x", f"{name}y"))
    return Examples(inputs, targets)


def _targets_of(y: Any, name: str) -> Any:
    """Targets as an array, or as several."""
    if isinstance(y, Several):
        return _several(y, name, _targets_of)
    array = as_array(y, name)
    require_examples(array, name)
    require_finite(array, name)
    return array


def _several(values: Several, name: str, made: Callable[[Any, str], Any]) -> Several:
    """Each one made an array; all must have the same number of examples."""
    arrays = Several(made(value, f"{name}[{i}]") for i, value in enumerate(values))
    if not arrays:
        raise DataError(f"{name} is empty: it has no array")
    for number, array in enumerate(arrays):
        require_same_length(arrays[0], array, (f"{name}[0]", f"{name}[{number}]"))
    return arrays


def inputs_of(x: Any, dtype: np.dtype[Any], name: str = "x") -> Any:
    """Inputs as an array: real numbers and booleans in the model's dtype, integers as they are."""
    if isinstance(x, Several):
        return _several(x, name, lambda value, own: inputs_of(value, dtype, own))
    array = as_array(x, name)
    require_examples(array, name)
    if array.dtype.kind not in "fb":
        return np.ascontiguousarray(array)
    converted = np.ascontiguousarray(array, dtype)
    require_finite(converted, name)
    return converted


def split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """The training part and the validation part, chosen by the seed."""
    train, held = split_order(len(examples), share, seed, name="validation_split")
    return examples.rows(train), examples.rows(held)


def fit_targets(y: Array, outputs: Shape, labels: bool, dtype: np.dtype[Any], name: str) -> Array:
    """The targets as the loss takes them: checked against the shape of the outputs, converted.

    With `labels` (class numbers against logits) they must be integers of the outputs' shape
    without the last axis, in range; otherwise numbers of the outputs' shape, where a missing last
    axis of length 1 is put in.
    """
    shape, example = outputs[1:], y.shape[1:]
    if labels and not (y.dtype.kind == "f" and example == shape):
        if example == (1,) and shape != (1,):
            y, example = y[:, 0], ()
        if example != shape[:-1]:
            one_hot = f". For one-hot targets give {name}.argmax(-1)" if example == shape else ""
            raise DataError(
                f"{name} has shape {y.shape}; cross-entropy over outputs of shape (n, "
                f"{', '.join(map(str, shape))}) expects one class number per example: shape "
                f"({', '.join(map(str, (len(y), *shape[:-1])))}{',' if len(shape) == 1 else ''})"
                f"{one_hot}"
            )
        require_labels(y, shape[-1], name)
        return np.ascontiguousarray(y, np.int64)
    if example == shape[:-1] and shape[-1:] == (1,):
        y = y[..., None]
    elif example != shape:
        raise DataError(
            f"{name} has examples of shape {example} and the model's outputs are of shape {shape}"
        )
    return np.ascontiguousarray(y, dtype)


def model_dtype(parameters: Iterable[Tensor]) -> np.dtype[Any]:
    """The dtype of the model's first real parameter; float32 for a model without one."""
    for parameter in parameters:
        if parameter.dtype.kind == "f":
            return parameter.dtype
    return np.dtype(np.float32)


def _pair(dataset: TensorDataset, dtype: np.dtype[Any], name: str) -> Examples:
    if len(dataset.arrays) != 2:
        raise DataTypeError(
            f"the data set has {len(dataset.arrays)} arrays; training takes two: inputs and targets"
        )
    return examples_of(*dataset.arrays, dtype, name)


def pair(example: Any) -> tuple[Any, Any]:
    """Inputs and targets of an example or a mini-batch from a data set."""
    if not isinstance(example, (tuple, list)) or len(example) != 2:
        raise DataTypeError(
            "training needs examples that are pairs (inputs, target); the data set gives "
            f"{type(example).__name__}"
        )
    return example[0], example[1]


def _no_targets(y: Any, what: str) -> None:
    if y is not None:
        raise DataError(f"{what} holds its targets itself: leave y out")


def _is_dataset(x: Any) -> bool:
    return isinstance(x, Dataset) and not isinstance(x, (np.ndarray, Tensor, list, tuple, dict))


def check_rows(inputs: Any, outputs: Any, batch_size: int) -> None:
    """DataError if the outputs are not one for each example, as of an example without its axis."""
    rows = min(len(inputs), batch_size)
    if outputs.shape[:1] != (rows,):
        raise DataError(
            f"x of shape {inputs.shape} is {len(inputs)} examples along the first axis, and the "
            f"model gave outputs of shape {outputs.shape} for {rows} of them; a single example "
            "needs an axis in front: x[None]"
        )


def check_trained(parameters: Iterable[Tensor], optimizer: Any) -> None:
    """ValueError if the optimizer changes none of the model's parameters."""
    parameters = list(parameters)
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        raise ValueError(
            "all of the model's parameters are frozen (requires_grad is False), so there is "
            "nothing to train: requires_grad_(True) thaws one"
        )
    groups = getattr(optimizer, "param_groups", None)
    if groups is None:
        return
    changed = {id(tensor) for group in groups for tensor in group["params"]}
    if changed.isdisjoint(map(id, parameters)):
        raise ValueError(
            "the optimizer has none of the model's parameters: make it of model.parameters(), or "
            "give its class (or name) alone"
        )
