"""Random graphs of reductions over rows with what lies between and after them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from strategies import F64, I32, I64, Array, Draw

from glubina.graph import Node, ops


class RowGrowth:
    """A pool of values over rows, full-size ones and one number per row, that grows by steps."""

    def __init__(self, draw: Draw, outer: tuple[int, ...], inner: tuple[int, ...]) -> None:
        self.draw = draw
        self.outer, self.inner = outer, inner
        self.bindings: dict[Node, Array] = {}
        self.chance = np.random.default_rng(draw(st.integers(0, 999)))
        self.wide = [self.leaf((*outer, *inner)), self.leaf((*outer, *inner))]
        self.narrow = [self.leaf(outer)]
        labels = self.chance.integers(0, inner[-1], outer).astype(I64)
        self.labels = ops.input(outer, I64)
        self.bindings[self.labels] = labels

    def leaf(self, shape: tuple[int, ...]) -> Node:
        """A new input, small so that nothing explodes."""
        node = ops.input(shape, F64)
        self.bindings[node] = np.asarray(self.chance.uniform(-1, 1, shape))
        return node

    def below(self, top: int) -> int:
        """A number in [0, top)."""
        number: int = self.draw(st.integers(0, top - 1))
        return number

    def pick(self, pool: list[Node]) -> Node:
        """One of the nodes so far, the latest ones more often."""
        return pool[-1 - self.below(2 * len(pool)) % len(pool)]

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a row."""
        return tuple(range(len(self.outer), len(self.outer) + len(self.inner)))

    def spread(self, number: Node) -> Node:
        """A number per row along it, in one of the ways that a user may write."""
        shape = (*self.outer, *self.inner)
        if self.below(2):
            return ops.restored(number, self.axes, shape)
        rows = int(np.prod(self.outer))
        flat = ops.broadcast(ops.reshape(number, (rows, 1)), (rows, int(np.prod(self.inner))))
        return ops.reshape(flat, shape)

    def step(self) -> None:
        """Add one node."""
        _STEPS[self.below(len(_STEPS))](self)


def _unary(g: RowGrowth) -> None:
    functions = (ops.tanh, ops.exp, ops.negative, ops.sigmoid, ops.detach)
    pool = (g.wide, g.wide, g.narrow)[g.below(3)]
    value = functions[g.below(len(functions))](ops.sin(g.pick(pool)))
    pool.append(value)


def _binary(g: RowGrowth) -> None:
    functions = (ops.add, ops.multiply, ops.subtract, ops.maximum)
    pool = (g.wide, g.wide, g.narrow)[g.below(3)]
    pool.append(functions[g.below(len(functions))](g.pick(pool), g.pick(pool)))


def _with_row(g: RowGrowth) -> None:
    functions = (ops.add, ops.multiply, ops.subtract)
    spread = g.spread(g.pick(g.narrow))
    g.wide.append(functions[g.below(len(functions))](g.pick(g.wide), spread))


def _with_column(g: RowGrowth) -> None:
    x = g.pick(g.wide)
    g.wide.append(ops.multiply(x, ops.broadcast(g.leaf(g.inner), x.shape)))


def _reduce(g: RowGrowth) -> None:
    x, kind = g.pick(g.wide), g.below(5)
    if kind == 0:
        g.narrow.append(ops.max(x, g.axes))
    elif kind == 1 and len(g.inner) == 1:
        g.narrow.append(ops.cast(ops.argmax(x, g.axes[0]), F64))
    elif kind == 2:
        g.narrow.append(ops.prod(ops.sigmoid(x), g.axes))
    else:
        g.narrow.append(ops.sum(x, g.axes))


def _pick_label(g: RowGrowth) -> None:
    x = g.pick(g.wide)
    axis = len(x.shape) - 1
    labels = ops.broadcast(ops.reshape(g.labels, (*g.outer, *(1 for _ in g.inner))), x.shape)
    there = ops.equal(ops.iota(x.shape, axis, I32), ops.cast(labels, I32))
    g.narrow.append(ops.sum(ops.where(there, x, ops.full_like(x, 0)), g.axes))


def _softmax(g: RowGrowth) -> None:
    x = g.pick(g.wide)
    grown = ops.exp(ops.subtract(x, g.spread(ops.max(x, g.axes))))
    g.wide.append(ops.divide(grown, g.spread(ops.sum(grown, g.axes))))


def _turned(g: RowGrowth) -> None:
    """A value of other rows: what needs it cannot be in the same kernel."""
    g.wide.append(ops.flip(g.pick(g.wide), (0,)))


_STEPS: tuple[Callable[[RowGrowth], None], ...] = (
    *(_unary, _binary, _binary, _with_row, _with_row, _with_column),
    *(_reduce, _reduce, _reduce, _pick_label, _softmax, _turned),
)


@st.composite
def row_programs(draw: Draw) -> tuple[list[Node], dict[Node, Array]]:
    """Outputs over rows, their derivatives perhaps, and values for the inputs."""
    outer = draw(st.sampled_from([(17,), (4, 5), (16, 1), (33,), (2, 3, 4)]))
    inner = draw(st.sampled_from([(2,), (3,), (7,), (10,), (16,), (3, 4), (33,), (70,), (200,)]))
    growth = RowGrowth(draw, outer, inner)
    for _ in range(draw(st.integers(2, 12))):
        growth.step()
    outputs = [growth.pick(growth.wide), growth.pick(growth.narrow)]
    outputs += [growth.pick(growth.wide)] * draw(st.integers(0, 1))
    if draw(st.booleans()):
        wide = growth.wide[-1]
        loss = ops.sum(ops.multiply(wide, wide), tuple(range(len(wide.shape))))
        leaves = [n for n in growth.bindings if n.dtype == F64][:4]
        outputs += [ops.gradient(loss, leaf) for leaf in leaves]
    return outputs, growth.bindings
