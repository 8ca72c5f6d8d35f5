"""Random tensors: counter-based, so that the same seed gives the same numbers everywhere.

A draw is named by a seed and a counter that goes up by one with each draw; its bits are Philox's
(see `glubina.graph.philox`). Threads, fusion and backends change nothing.
"""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from glubina.graph import ops
from glubina.graph.errors import ShapeError
from glubina.graph.node import DType, Node, Shape
from glubina.tensor.arguments import not_negative
from glubina.tensor.axes import as_shape, given_shape
from glubina.tensor.base import consume_value, wrap
from glubina.tensor.cell import leaf_of_array
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.errors import DTypeError
from glubina.tensor.mode import mode
from glubina.tensor.promotion import DEFAULT, as_dtype, float32, int32, int64, uint64

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor

_UINT32 = np.dtype(np.uint32)
_LIMIT = 1 << 64


class Generator:
    """A source of random numbers: a seed, and a counter of the draws made so far.

    Threads that draw from one generator get different numbers, which of them in no fixed order.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed % _LIMIT
        self.counter = 0

    def manual_seed(self, seed: int) -> Generator:
        """Begin anew with another seed."""
        try:
            self.seed = operator.index(seed) % _LIMIT
        except TypeError:
            raise TypeError(f"seed must be a whole number, got {seed!r}") from None
        self.counter = 0
        return self

    def get_state(self) -> tuple[int, int]:
        """The seed and the counter, for `set_state`."""
        return self.seed, self.counter

    def set_state(self, state: Sequence[int]) -> None:
        """Go back to where `get_state` was called."""
        seed, counter = state
        self.seed, self.counter = int(seed) % _LIMIT, int(counter)

    def key(self) -> Node:
        """The (seed, counter) of the next draw, as a node."""
        if mode.trace is not None:
            return mode.trace.random_key(self)
        return leaf_of_array(np.array(self.reserve(1), np.uint64))

    def reserve(self, draws: int) -> tuple[int, int]:
        """Count so many draws as made; returns the state before them, by which they are made."""
        with _reserving:
            counter = self.counter
            self.counter = counter + draws
        return self.seed, counter

    def restore(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Go back to the state `before` if nobody drew since it was `after`."""
        with _reserving:
            if self.get_state() == after:
                self.set_state(before)

    def bits(self, shape: Shape) -> Node:
        """Uniform 32-bit numbers (uint32): one draw."""
        return ops.random_bits(self.key(), 0, shape)


class _OfThread(threading.local):
    generator: Generator | None = None


class _DefaultGenerator(Generator):
    """The process's generator, or a thread's own where the thread has set a seed."""

    def __init__(self) -> None:
        self._of_thread = _OfThread()
        self._shared = Generator()

    def _here(self) -> Generator:
        return self._of_thread.generator or self._shared

    @property
    def seed(self) -> int:
        return self._here().seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._here().seed = value

    @property
    def counter(self) -> int:
        return self._here().counter

    @counter.setter
    def counter(self, value: int) -> None:
        self._here().counter = value

    def reserve(self, draws: int) -> tuple[int, int]:
        return self._here().reserve(draws)

    def manual_seed(self, seed: int) -> Generator:
        if threading.current_thread() is not threading.main_thread():
            self._of_thread.generator = Generator(seed)
        else:
            self._shared.manual_seed(seed)
        return self


_reserving = threading.Lock()
default_generator: Generator = _DefaultGenerator()


def _after_fork() -> None:
    global _reserving
    _reserving = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def manual_seed(seed: int) -> Generator:
    """Make the random numbers that follow a function of this seed.

    In the main thread this is for the whole process. Any other thread that sets a seed has numbers
    of its own from then on: what it computes does not depend on what others draw meanwhile.
    """
    return default_generator.manual_seed(seed)


def _generator(generator: Generator | None) -> Generator:
    return generator or default_generator


# -- nodes --------------------------------------------------------------------------------------


def uniform_node(shape: Shape, dtype: DType, generator: Generator) -> Node:
    """Uniform in [0, 1): the top 24 bits of a draw (of two draws 53 for float64)."""
    if dtype == float32:
        return _fraction(generator.bits(shape), dtype, 24)
    high = _fraction(generator.bits(shape), dtype, 26)
    low = _fraction(generator.bits(shape), dtype, 27)
    return ops.add(high, ops.multiply(low, ops.full_like(low, 2.0**-26)))


def _fraction(bits: Node, dtype: DType, digits: int) -> Node:
    shifted = ops.shift_right(bits, ops.full_like(bits, 32 - digits))
    # through a signed type: vector units convert signed integers
    whole = ops.cast(ops.cast(shifted, int32), dtype)
    return ops.multiply(whole, ops.full_like(whole, 2.0**-digits))


def normal_node(shape: Shape, dtype: DType, generator: Generator) -> Node:
    """Standard normal numbers by Box and Muller: √(−2 ln u) cos(2π v), u in (0, 1].

    Source: G. Box, M. Muller, "A note on the generation of random normal deviates", 1958.
    """
    u = uniform_node(shape, dtype, generator)
    v = uniform_node(shape, dtype, generator)
    radius = ops.sqrt(
        ops.multiply(ops.log(ops.subtract(ops.full_like(u, 1), u)), ops.full_like(u, -2))
    )
    return ops.multiply(radius, ops.cos(ops.multiply(v, ops.full_like(v, 2 * math.pi))))


# -- functions ----------------------------------------------------------------------------------


def _float(name: str, dtype: object) -> DType:
    found = DEFAULT if dtype is None else as_dtype(dtype)
    if found.kind != "f":
        raise DTypeError(f"{name}: needs a floating dtype, got {found}")
    return found


def rand(
    *shape: int | Sequence[int],
    dtype: object = None,
    generator: Generator | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers uniform in [0, 1); the shape may be written as (2, 3) or as 2, 3."""
    node = uniform_node(given_shape("rand", shape), _float("rand", dtype), _generator(generator))
    return _finish(node, requires_grad)


def randn(
    *shape: int | Sequence[int],
    dtype: object = None,
    generator: Generator | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal numbers; the shape may be written as (2, 3) or as 2, 3."""
    node = normal_node(given_shape("randn", shape), _float("randn", dtype), _generator(generator))
    return _finish(node, requires_grad)


def _finish(node: Node, requires_grad: bool) -> Tensor:
    result = wrap(node)
    return result.requires_grad_() if requires_grad else result


def rand_like(x: Operand, *, generator: Generator | None = None) -> Tensor:
    """Numbers uniform in [0, 1) in the shape and dtype of x."""
    x = as_tensor(x)
    return rand(x.shape, dtype=x.dtype, generator=generator)


def randn_like(x: Operand, *, generator: Generator | None = None) -> Tensor:
    """Standard normal numbers in the shape and dtype of x."""
    x = as_tensor(x)
    return randn(x.shape, dtype=x.dtype, generator=generator)


def normal(
    mean: float = 0.0,
    std: float = 1.0,
    size: int | Sequence[int] = (),
    *,
    dtype: object = None,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers with a mean and a standard deviation."""
    if isinstance(std, (int, float)):
        not_negative("std", std)
    return randn(as_shape("normal", size), dtype=dtype, generator=generator) * std + mean


def randint(
    low: int,
    high: int | None = None,
    size: int | Sequence[int] = (),
    *,
    dtype: object = None,
    generator: Generator | None = None,
) -> Tensor:
    """Whole numbers uniform in [low, high), or with one bound in [0, low)."""
    first, last = (0, low) if high is None else (low, high)
    if not first < last or last - first > 1 << 32:
        raise ShapeError(f"randint: the range [{first}, {last}) is empty or too wide")
    shape = as_shape("randint", size)
    wide = ops.cast(_generator(generator).bits(shape), uint64)
    span = ops.multiply(wide, wrap_number(last - first, uint64, shape))
    found = ops.cast(ops.shift_right(span, ops.full_like(span, 32)), int64)
    moved = ops.add(found, wrap_number(first, int64, shape))
    return wrap(ops.cast(moved, int64 if dtype is None else as_dtype(dtype)))


def wrap_number(number: int, dtype: DType, shape: Shape) -> Node:
    """A run-time number in every element of a shape."""
    from glubina.tensor.promotion import scalar_node

    return scalar_node(number, dtype, shape)


def bernoulli(p: Operand, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability p, else 0, in the shape and dtype of p."""
    chance = as_tensor(p)
    node = consume_value(chance)
    if node.dtype.kind != "f":
        raise DTypeError(f"bernoulli: the probabilities must be floating, got {node.dtype}")
    leaf = chance._cell.value()
    if leaf is not None and leaf.buffer is not None and chance.size:
        values = leaf.buffer.array(leaf.shape, leaf.dtype)
        if values.min() < 0 or values.max() > 1:
            bad = values[(values < 0) | (values > 1)].flat[0]
            raise ValueError(f"bernoulli: the probabilities must lie between 0 and 1, got {bad:g}")
    draw = uniform_node(node.shape, node.dtype, _generator(generator))
    return wrap(ops.cast(ops.less(draw, node), node.dtype))


def randperm(n: int, *, generator: Generator | None = None) -> Tensor:
    """The numbers 0 ... n − 1 in random order (int64)."""
    from glubina.tensor.convert import settled

    source = _generator(generator)
    keys = wrap(source.bits((n,))).numpy().astype(np.uint64)
    more = wrap(source.bits((n,))).numpy().astype(np.uint64)
    order = np.argsort((keys << np.uint64(32)) | more, kind="stable")
    return settled(leaf_of_array(order.astype(np.int64)))


# -- in place -----------------------------------------------------------------------------------


def uniform_(
    self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """In place: numbers uniform in [low, high)."""
    from glubina.tensor.inplace import store

    draw = rand(self.shape, dtype=self.dtype, generator=generator)
    return store(self, draw if (low, high) == (0, 1) else draw * (high - low) + low, "uniform_")


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """In place: normal numbers with a mean and a standard deviation."""
    from glubina.tensor.inplace import store

    draw = randn(self.shape, dtype=self.dtype, generator=generator)
    if std != 1:
        draw = draw * std
    return store(self, draw if mean == 0 else draw + mean, "normal_")


def bernoulli_(self: Tensor, p: float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """In place: 1 with the probability p, else 0."""
    from glubina.tensor.inplace import store

    draw = rand(self.shape, dtype=DEFAULT, generator=generator)
    return store(self, (draw < p).astype(self.dtype), "bernoulli_")
