"""Where values come from: inputs, constants, counting, random bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import (
    Array,
    DType,
    Node,
    Primitive,
    Shape,
    Typed,
    check_extents,
    leaf_number,
    make,
    new,
)
from glubina.graph.philox import random_bits as philox_bits


class InputAttributes(NamedTuple):
    """The identity of an input."""

    number: int


def _no_infer(sources: tuple[Node, ...], attributes: Any) -> Typed:
    raise ShapeError("an input is made with `input`, not with `make`")


def _no_value(attributes: Any) -> Array:
    raise ValueError("an input has no value of its own: bind one to it")


INPUT = Primitive("input", "source", r"x", _no_infer, _no_value)


def input(shape: Shape, dtype: DType) -> Node:
    """A leaf: a value given from outside. Two inputs are never the same node."""
    check_extents("input", shape)
    return new(INPUT, (), InputAttributes(leaf_number()), shape, dtype)


class ConstantAttributes(NamedTuple):
    """A scalar constant by its bits, so that 0.0 and -0.0 differ and NaN equals itself."""

    bits: bytes
    dtype: str


def _constant_value(attributes: ConstantAttributes) -> Array:
    return np.frombuffer(attributes.bits, dtype=attributes.dtype).reshape(()).copy()


CONSTANT = Primitive(
    "constant",
    "source",
    r"c",
    lambda sources, a: ((), np.dtype(a.dtype)),
    _constant_value,
)


def constant(value: complex | np.generic | Array, dtype: DType) -> Node:
    """A scalar that is part of the structure (kept for the numbers that formulas contain)."""
    if np.ndim(value):
        raise ShapeError(f"constant: a scalar is needed, got shape {np.shape(value)}")
    bits = np.asarray(value).astype(dtype).tobytes()
    return make(CONSTANT, (), ConstantAttributes(bits, dtype.name))


class IotaAttributes(NamedTuple):
    """An index array: its shape, the axis that counts, its dtype."""

    shape: Shape
    axis: int
    dtype: str


def _iota_value(a: IotaAttributes) -> Array:
    line = np.arange(a.shape[a.axis], dtype=a.dtype)
    around = [1] * len(a.shape)
    around[a.axis] = -1
    return np.broadcast_to(line.reshape(around), a.shape).copy()


def _iota_infer(sources: tuple[Node, ...], a: IotaAttributes) -> Typed:
    if not 0 <= a.axis < len(a.shape):
        raise ShapeError(f"iota: axis {a.axis} is not an axis of shape {a.shape}")
    return a.shape, np.dtype(a.dtype)


IOTA = Primitive("iota", "source", r"i", _iota_infer, _iota_value)


def iota(shape: Shape, axis: int, dtype: DType) -> Node:
    """The index along one axis, at every element."""
    return make(IOTA, (), IotaAttributes(shape, axis, dtype.name))


class RandomAttributes(NamedTuple):
    """A draw site (stream) and the shape drawn there."""

    stream: int
    shape: Shape


def _random_infer(sources: tuple[Node, ...], a: RandomAttributes) -> Typed:
    (key,) = sources
    if key.shape != (2,) or key.dtype != np.uint64:
        raise DTypeError(f"random_bits: the key is uint64 of shape (2,), got {key!r}")
    return a.shape, np.dtype(np.uint32)


RANDOM_BITS = Primitive(
    "random_bits",
    "random",
    r"\mathrm{Philox}_{seed}(stream, counter, i)",
    _random_infer,
    lambda a, key: philox_bits(key, a.stream, a.shape),
    lambda node, gradient: (None,),
    cost=40,
)


def random_bits(key: Node, stream: int, shape: Shape) -> Node:
    """Uniform 32-bit numbers from (seed, counter) = key and a stream: the same wherever drawn."""
    return make(RANDOM_BITS, (key,), RandomAttributes(stream, shape))
