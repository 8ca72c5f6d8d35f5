"""Random programs: graphs of all kinds of operations, with inputs, outputs and donations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from primitives import Inputs
from strategies import F64, I32, I64, U32, U64, Array, Draw, factorised, pool_geometries, ranges

from glubina.graph import Node, ops

LARGEST = 150  # elements of a node, so that a graph runs in a millisecond


@dataclass
class Program:
    """What a step computes: outputs from inputs, some of them in the memory of an input.

    donated: for each output the number of the input whose memory it may take, or -1.
    """

    outputs: list[Node]
    inputs: list[Node]
    donated: list[int]
    bindings: dict[Node, Array]


class Growth:
    """A pool of floating nodes that grows by random steps."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.made = Inputs(draw)
        self.key = self.made.bind(np.array([7, 3], U64))
        self.pool: list[Node] = [self.leaf((3, 4)), self.leaf((4,)), self.leaf((2, 3, 4))]

    def leaf(self, shape: tuple[int, ...]) -> Node:
        """A new input, small so that nothing explodes."""
        return self.made.numbers(shape, F64, -1, 1)

    def pick(self) -> Node:
        """One of the nodes so far; the latest ones more often, so that graphs get deep."""
        back = self.draw(st.integers(0, 2 * len(self.pool)))
        return self.pool[-1 - back % len(self.pool)]

    def below(self, top: int) -> int:
        """A number in [0, top)."""
        number: int = self.draw(st.integers(0, top - 1))
        return number

    def fitted(self, node: Node, shape: tuple[int, ...]) -> Node:
        """A node brought to a shape: broadcast, reshaped, or summed to a scalar first."""
        tail = shape[max(len(shape) - len(node.shape), 0) :]
        if len(node.shape) <= len(shape) and all(
            a in (1, b) for a, b in zip(node.shape, tail, strict=True)
        ):
            return ops.broadcast(node, shape)
        if node.size == math.prod(shape):
            return ops.reshape(node, shape)
        return ops.broadcast(ops.tanh(ops.sum(node, tuple(range(len(node.shape))))), shape)

    def step(self) -> None:
        """Add one node; too large or empty ones are left out."""
        node = _STEPS[self.below(len(_STEPS))](self)
        if node is not None and 0 < node.size <= LARGEST and len(node.shape) <= 5:
            self.pool.append(node)


def _unary(g: Growth) -> Node:
    functions = (ops.tanh, ops.relu, ops.sigmoid, ops.negative, ops.sin, ops.absolute, ops.detach)
    return functions[g.below(len(functions))](g.pick())


def _binary(g: Growth) -> Node:
    x = g.pick()
    functions = (ops.add, ops.multiply, ops.subtract, ops.maximum)
    return functions[g.below(len(functions))](x, g.fitted(g.pick(), x.shape))


def _select(g: Growth) -> Node:
    x = g.pick()
    y = g.fitted(g.pick(), x.shape)
    return ops.where(ops.less(x, y), ops.exp(ops.negative(ops.multiply(x, x))), y)


def _scaled(g: Growth) -> Node:
    x = g.pick()
    return ops.multiply(x, ops.full_like(x, (0.5, 0.1, -1, 1)[g.below(4)]))


def _reshape(g: Growth) -> Node:
    x = g.pick()
    return ops.reshape(x, g.draw(factorised(x.size)))


def _transpose(g: Growth) -> Node:
    x = g.pick()
    return ops.transpose(x, tuple(g.draw(st.permutations(range(len(x.shape))))))


def _stretch(g: Growth) -> Node:
    x = g.pick()
    return ops.broadcast(x, (2 + g.below(2), *x.shape))


def _slice(g: Growth) -> Node | None:
    x = g.pick()
    if not x.shape:
        return None
    return ops.slice(x, *zip(*[g.draw(ranges(n)) for n in x.shape], strict=True))


def _pad(g: Growth) -> Node:
    x = g.pick()
    low, high, gaps = (tuple(g.below(2) for _ in x.shape) for _ in range(3))
    return ops.pad(x, low, high, gaps)


def _concat(g: Growth) -> Node | None:
    x = g.pick()
    if not x.shape:
        return None
    return ops.concat([x, g.fitted(g.pick(), x.shape), ops.negative(x)], g.below(len(x.shape)))


def _reduce(g: Growth) -> Node | None:
    x = g.pick()
    if not x.shape:
        return None
    axes = tuple(sorted({g.below(len(x.shape)) for _ in range(2)}))
    kind = g.below(5)
    if kind == 0:
        return ops.cast(ops.argmax(x, axes[0]), F64)
    if kind == 1:
        return ops.prod(ops.sigmoid(x), axes)
    return ops.max(x, axes) if kind == 2 else ops.sum(x, axes)


def _normalise(g: Growth) -> Node | None:
    x = g.pick()
    if not x.shape:
        return None
    axes = (len(x.shape) - 1,)
    shifted = ops.subtract(x, ops.restored(ops.max(x, axes), axes, x.shape))
    powers = ops.exp(shifted)
    return ops.divide(powers, ops.restored(ops.sum(powers, axes), axes, x.shape))


def _matrix_product(g: Growth) -> Node | None:
    x = g.pick()
    if not x.shape:
        return None
    rows = ops.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    kind, columns = g.below(4), 1 + g.below(4)
    if kind == 0:
        return ops.matmul(rows, ops.swap_last(rows))
    if kind == 1 and len(x.shape) >= 2:
        return ops.matmul(x, ops.swap_last(ops.tanh(x)))
    weights = g.leaf((columns, x.shape[-1]))
    product = ops.matmul(rows, ops.swap_last(weights))
    if kind == 2:
        product = ops.relu(ops.add(product, ops.broadcast(g.leaf((columns,)), product.shape)))
    return ops.reshape(product, (*x.shape[:-1], columns))


def _image(g: Growth) -> Node:
    x = g.pick()
    shape = (1,) * (3 - len(x.shape)) + x.shape
    return ops.reshape(x, shape)


def _convolution(g: Growth) -> Node:
    x = _image(g)
    rank = len(x.shape) - 2
    geometry = ops.ConvAttributes(
        (1 + g.below(2),) * rank, ((1, 1),) * rank, (1,) * rank, (1 + g.below(2),) * rank, 1
    )
    w = g.leaf((*(1 + g.below(3) for _ in range(rank)), x.shape[-1], 1 + g.below(3)))
    y = ops.conv(x, w, geometry)
    return ops.relu(ops.add(y, ops.broadcast(g.leaf((y.shape[-1],)), y.shape)))


def _pooling(g: Growth) -> Node | None:
    x = _image(g)
    geometry, least = g.draw(pool_geometries(len(x.shape) - 2))
    if any(n < m for n, m in zip(x.shape[1:-1], least, strict=True)):
        return None
    if g.below(2):
        return ops.pool_sum(x, geometry)
    return ops.pool_gather(x, ops.pool_index(ops.sin(x), geometry), geometry)


def _max_pooling(g: Growth) -> Node:
    x = _image(g)
    window = tuple(min(2, n) for n in x.shape[1:-1])
    return ops.pool_max(x, ops.WindowAttributes(window, window, ((0, 0),) * len(window)))


def _dropout(g: Growth) -> Node:
    x = g.pick()
    bits = ops.random_bits(g.key, g.below(3), x.shape)
    half = ops.broadcast(ops.constant(2**31, U32), x.shape)
    return ops.where(
        ops.less(bits, half), ops.multiply(x, ops.full_like(x, 2)), ops.full_like(x, 0)
    )


def _take(g: Growth) -> Node | None:
    x = g.pick()
    if not x.shape:
        return None
    axis = g.below(len(x.shape))
    indices = g.made.numbers((1 + g.below(4),), I32, 0, x.shape[axis] - 1)
    return ops.take(x, indices, axis)


def _scatter(g: Growth) -> Node | None:
    x = g.pick()
    if not x.shape:
        return None
    indices = g.made.numbers((x.shape[0],), I64, 0, 3)
    return ops.scatter_add(indices, x, (4, *x.shape[1:]), 0)


def _after(g: Growth) -> Node:
    return ops.after(g.pick(), [g.pick() for _ in range(1 + g.below(2))])


_STEPS: tuple[Callable[[Growth], Node | None], ...] = (
    *(_unary, _unary, _binary, _binary, _binary, _select, _scaled),
    *(_reshape, _transpose, _stretch, _slice, _pad, _concat),
    *(_reduce, _reduce, _reduce, _normalise, _matrix_product, _matrix_product),
    *(_convolution, _pooling, _max_pooling, _dropout, _take, _scatter, _after),
)


@st.composite
def programs(draw: Draw, steps: int = 14) -> Program:
    """A program with some of the nodes as outputs, gradients of a loss, and updates in place."""
    growth = Growth(draw)
    for _ in range(draw(st.integers(1, steps))):
        growth.step()
    outputs = [growth.pick() for _ in range(draw(st.integers(1, 4)))]
    leaves = [n for n in growth.made.bindings if n.dtype == F64]
    if draw(st.booleans()):
        last = growth.pool[-1]
        loss = ops.sum(ops.multiply(last, last), tuple(range(len(last.shape))))
        for leaf in leaves[:6]:
            slope = ops.gradient(loss, leaf)
            outputs.append(ops.subtract(leaf, ops.multiply(slope, ops.full_like(slope, 0.1))))
        outputs.append(loss)
    inputs = list(growth.made.bindings)
    free, donated = set(leaves), []
    for output in outputs:
        fits = [n for n in leaves if n in free and n.size == output.size]
        taken = fits[draw(st.integers(0, len(fits) - 1))] if fits and draw(st.booleans()) else None
        free.discard(taken)  # type: ignore[arg-type]
        donated.append(-1 if taken is None else inputs.index(taken))
    return Program(outputs, inputs, donated, growth.made.bindings)
