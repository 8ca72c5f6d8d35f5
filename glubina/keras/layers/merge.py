"""Layers with several inputs: sum, difference, product, mean, extremes, products, side by side."""

from __future__ import annotations

from functools import reduce
from typing import Any

from glubina.graph import ShapeError
from glubina.keras.layer import Layer, known
from glubina.tensor import Tensor, concat, matmul, maximum, minimum, permute_dims, reshape, sqrt


class _Merge(Layer):
    """Called with a list of tensors."""

    def call(self, inputs: Any) -> Tensor:
        """One tensor from several."""
        if not isinstance(inputs, list) or len(inputs) < 2:
            raise ShapeError(
                f"{type(self).__name__} merges a list of at least 2 tensors, got "
                f"{len(inputs) if isinstance(inputs, list) else 1}"
            )
        return self.merged(inputs)

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """What the layer makes of the list."""
        raise NotImplementedError

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The first mask there is."""
        masks = mask if isinstance(mask, list) else [mask]
        return next((m for m in masks if m is not None), None)


@known
class Add(_Merge):
    """The sum."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The sum."""
        return reduce(lambda a, b: a + b, tensors)


@known
class Subtract(_Merge):
    """The first less the second."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The difference."""
        if len(tensors) != 2:
            raise ShapeError(f"Subtract takes exactly 2 tensors, got {len(tensors)}")
        return tensors[0] - tensors[1]


@known
class Multiply(_Merge):
    """The product, element by element."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The product."""
        return reduce(lambda a, b: a * b, tensors)


@known
class Average(_Merge):
    """The mean."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The mean."""
        return reduce(lambda a, b: a + b, tensors) * (1 / len(tensors))


@known
class Maximum(_Merge):
    """The largest, element by element."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The largest."""
        return reduce(maximum, tensors)


@known
class Minimum(_Merge):
    """The smallest, element by element."""

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The smallest."""
        return reduce(minimum, tensors)


@known
class Concatenate(_Merge):
    """Side by side along an axis, the channels unless told."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """All of them as one tensor."""
        return concat(tensors, axis=self.axis)


@known
class Dot(_Merge):
    """Sums of products along an axis of each: (N, a) and (N, a) to (N, 1) with axes=1.

    axes: one for both or one for each, counted from 1. normalize: to the cosine of the angle.
    """

    def __init__(self, axes: Any, normalize: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.axes = (axes, axes) if isinstance(axes, int) else tuple(axes)
        self.normalize = normalize

    def merged(self, tensors: list[Tensor]) -> Tensor:
        """The products."""
        if len(tensors) != 2:
            raise ShapeError(f"Dot takes exactly 2 tensors, got {len(tensors)}")
        left, right = (self._last(t, axis) for t, axis in zip(tensors, self.axes))
        if left.shape[-1] != right.shape[-1]:
            raise ShapeError(
                f"Dot: axes {self.axes} of {tensors[0].shape} and {tensors[1].shape} differ"
            )
        n, k = left.shape[0], left.shape[-1]
        rows, columns = reshape(left, (n, -1, k)), reshape(right, (n, -1, k))
        y = matmul(rows, permute_dims(columns, (0, 2, 1)))
        kept = (*left.shape[1:-1], *right.shape[1:-1])
        return reshape(y, (n, *(kept or (1,))))

    def _last(self, x: Tensor, axis: int) -> Tensor:
        """The axis that is summed over at the end, and of length 1 if wanted."""
        axis %= len(x.shape)
        others = [i for i in range(len(x.shape)) if i != axis]
        x = permute_dims(x, (*others, axis))
        return x / sqrt((x * x).sum(axis=-1, keepdims=True) + 1e-12) if self.normalize else x


def add(inputs: Any, **options: Any) -> Any:
    """`Add` as a function."""
    return Add(**options)(inputs)


def subtract(inputs: Any, **options: Any) -> Any:
    """`Subtract` as a function."""
    return Subtract(**options)(inputs)


def multiply(inputs: Any, **options: Any) -> Any:
    """`Multiply` as a function."""
    return Multiply(**options)(inputs)


def average(inputs: Any, **options: Any) -> Any:
    """`Average` as a function."""
    return Average(**options)(inputs)


def concatenate(inputs: Any, axis: int = -1, **options: Any) -> Any:
    """`Concatenate` as a function."""
    return Concatenate(axis, **options)(inputs)


def dot(inputs: Any, axes: Any, normalize: bool = False, **options: Any) -> Any:
    """`Dot` as a function."""
    return Dot(axes, normalize, **options)(inputs)
