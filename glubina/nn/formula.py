"""How layers speak to the graph: formulas on nodes, applied to tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

import numpy as np

from glubina.graph import IndexRangeError, Node, ops, origins
from glubina.graph.node import DType
from glubina.graph.ops.composite import COMPOSITE
from glubina.nn.parameter import put
from glubina.tensor import Tensor
from glubina.tensor.base import consume, consume_value, wrap
from glubina.tensor.creation import tensor as held
from glubina.tensor.inplace import write as write_node
from glubina.tensor.mode import mode
from glubina.tensor.random import default_generator
from glubina.tensor.ranges import out_of_range


def apply(
    formula: Callable[..., Node], *tensors: Tensor, settings: tuple[Hashable, ...] = ()
) -> Tensor:
    """The tensor that a formula in graph operations gives for these tensors.

    settings: what a `Formula` is given besides.
    """
    sources = [consume(t) for t in tensors]
    node = formula(*sources, settings=settings) if settings else formula(*sources)
    for source in sources:
        if source.dtype.kind in "iu" and getattr(source, "buffer", None) is None:
            _note_late(node)
            break
    if mode.grad:
        for t in tensors:
            if t._requires_grad:
                return wrap(node, True)
    return wrap(node)


def _note_late(node: Node) -> None:
    """Remember the place of a formula that uses indices whose values are not there yet."""
    if node.op is COMPOSITE:
        a = node.attributes
        if a.formula.uses_indices(node.sources, a.settings):
            origins.note_site(node)


def write(
    target: Tensor,
    formula: Callable[..., Node],
    *tensors: Tensor,
    settings: tuple[Hashable, ...] = (),
) -> None:
    """Replace a state tensor's value by what a formula gives, without derivatives."""
    sources = [consume_value(t) for t in tensors]
    write_node(target, formula(*sources, settings=settings) if settings else formula(*sources))


def spread(reduced: Node, axis: int, shape: tuple[int, ...]) -> Node:
    """A reduction's result back along the axis that it removed."""
    return ops.restored(reduced, (axis,), shape)


def largest(z: Node, axis: int) -> Node:
    """The maximum along an axis, in the shape of z, as a mere number for derivatives."""
    if not z.shape[axis]:
        return z  # empty
    return spread(ops.detach(ops.max(z, (axis,))), axis, z.shape)


def scaled(x: Node, factor: float) -> Node:
    """The node times a number that belongs to the formula."""
    return ops.multiply(x, ops.full_like(x, factor))


def share(count: int) -> float:
    """What one of so many is of all of them: 1 / count; the mean of nothing is NaN."""
    return 1 / count if count else math.nan


def number(x: Node, value: float) -> Node:
    """A number that belongs to the formula, in the shape of x."""
    return ops.full_like(x, value)


@lru_cache(maxsize=64)
def zeros(count: int, dtype: DType) -> Tensor:
    """A vector of zeros that is never written to."""
    made = held(np.zeros(count, dtype))
    made._cell.node.number = 0  # type: ignore[attr-defined]  # every element: it is no input
    return made


def check_labels(labels: Tensor, classes: int) -> None:
    """IndexRangeError for a label outside 0 to classes − 1, where the labels are there already.

    Labels that are still to be computed are checked by the program that uses them.
    """
    wrong = out_of_range(labels, 0, classes)
    if wrong is not None:
        raise IndexRangeError(
            f"label {wrong} is out of range: logits of {classes} classes need labels from 0 to "
            f"{classes - 1}"
        )


def fill(tensor: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    """Give a tensor these elements in its own dtype, and return it."""
    put(tensor, values.astype(tensor.dtype))
    return tensor


def draws() -> np.random.Generator:
    """A source of random numbers on the host, by the seed and the next counter of `gl`."""
    seed, counter = default_generator.reserve(1)
    return np.random.Generator(np.random.Philox(key=np.array([seed, counter], np.uint64)))
