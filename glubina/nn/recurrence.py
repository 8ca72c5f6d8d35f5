"""Recurrences in graph operations: one step of each kind, and the loop over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from glubina.graph import Node, ops
from glubina.graph.ops import Formula

States = tuple[Node, ...]
Step = Callable[[Node, Node, States], States]


def _parts(gates: Node, count: int) -> list[Node]:
    """A row's gates, which lie one after another, each by itself."""
    rows, width = gates.shape[0], gates.shape[1] // count
    parted = ops.reshape(gates, (rows, count, width))
    ones = (1, 1, 1)
    return [
        ops.reshape(ops.slice(parted, (0, i, 0), (rows, 1, width), ones), (rows, width))
        for i in range(count)
    ]


def _simple(activation: Callable[[Node], Node]) -> Step:
    def step(x: Node, h: Node, states: States) -> States:
        return (activation(ops.add(x, h)),)

    return step


def _lstm(x: Node, h: Node, states: States) -> States:
    """c' = σ(f) c + σ(i) tanh(g);  h' = σ(o) tanh(c')."""
    i, f, g, o = _parts(ops.add(x, h), 4)
    c = ops.add(ops.multiply(ops.sigmoid(f), states[1]), ops.multiply(ops.sigmoid(i), ops.tanh(g)))
    return ops.multiply(ops.sigmoid(o), ops.tanh(c)), c


def _gru(x: Node, h: Node, states: States) -> States:
    """n = tanh(x_n + σ(r) h_n);  h' = n + σ(z) (h − n)."""
    (xr, xz, xn), (hr, hz, hn) = _parts(x, 3), _parts(h, 3)
    r, z = ops.sigmoid(ops.add(xr, hr)), ops.sigmoid(ops.add(xz, hz))
    n = ops.tanh(ops.add(xn, ops.multiply(r, hn)))
    return (ops.add(n, ops.multiply(z, ops.subtract(states[0], n))),)


_STEPS: dict[str, Step] = {
    "tanh": _simple(ops.tanh),
    "relu": _simple(ops.relu),
    "lstm": _lstm,
    "gru": _gru,
}

GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}
"""How many blocks of rows the weights of each kind have."""


def _affine(x: Node, weight: Node, bias: Node | None) -> Node:
    product = ops.matmul(x, ops.swap_last(weight))
    return product if bias is None else ops.add(product, ops.broadcast(bias, product.shape))


def _next(kind: str, x: Node, states: States, weights: Sequence[Node]) -> States:
    """The states after one step. weights: of the input and of the state, then their biases."""
    w, u, *biases = weights
    b, v = biases or (None, None)
    return _STEPS[kind](_affine(x, w, b), _affine(states[0], u, v), states)


def _zeros(kind: str, rows: int, u: Node) -> list[Node]:
    zero = ops.broadcast(ops.constant(0, u.dtype), (rows, u.shape[1]))
    return [zero] * state_count(kind)


def state_count(kind: str) -> int:
    """How many states a kind of recurrence carries: h, and c in an LSTM."""
    return 2 if kind == "lstm" else 1


@Formula
def cell(kind: str, which: int, bias: bool, *nodes: Node) -> Node:
    """One step from x, the weights (and biases), and the states if they are not zero."""
    x, *rest = nodes
    count = 4 if bias else 2
    weights, states = rest[:count], rest[count:] or _zeros(kind, x.shape[0], rest[1])
    return _next(kind, x, tuple(states), weights)[which]


@Formula
def sequence(
    kind: str, which: int, bias: bool, given: bool, lengths: bool, reverse: bool, *nodes: Node
) -> Node:
    """A recurrence along x [T, B, in]: the outputs [T, B, H] (which = −1) or a final state.

    nodes: x, the weights (and biases), the initial states if they are given, and the sequences'
    lengths [B] if they differ: beyond its length a sequence keeps its state, and its output is
    zero. A mask [T, B] in place of the lengths does the same wherever it is False.
    """
    x, *rest = nodes
    count = 4 if bias else 2
    weights, rest = rest[:count], rest[count:]
    states = rest[: state_count(kind)] if given else _zeros(kind, x.shape[1], weights[1])
    sequences = [x]
    if lengths:
        sequences.append(_there(rest[-1], (*x.shape[:2], 1)))

    def body(
        before: Sequence[Node], slices: Sequence[Node], fixed: Sequence[Node]
    ) -> tuple[Sequence[Node], Sequence[Node]]:
        after = _next(kind, slices[0], tuple(before), fixed)
        if not lengths:
            return after, after[:1]
        there = ops.broadcast(slices[1], after[0].shape)
        output = ops.where(there, after[0], ops.full_like(after[0], 0))
        return [ops.where(there, new, old) for new, old in zip(after, before, strict=True)], [
            output
        ]

    finals, (outputs,) = ops.scan(body, states, sequences, weights, reverse=reverse)
    return outputs if which < 0 else finals[which]


def _there(limits: Node, shape: tuple[int, ...]) -> Node:
    """Which steps [T, B, 1] belong to the sequences, from their lengths or from a mask."""
    if len(limits.shape) == 2:
        return ops.reshape(limits, shape)
    steps = ops.iota(shape, 0, np.dtype(np.int64))
    return ops.less(steps, ops.broadcast(ops.reshape(limits, (shape[1], 1)), shape))


@Formula
def steps_first(x: Node) -> Node:
    """The first two axes exchanged."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))


@Formula
def side_by_side(*parts: Node) -> Node:
    """The outputs of the directions, joined along the features."""
    return ops.concat(parts, len(parts[0].shape) - 1)


@Formula
def one_above_another(*parts: Node) -> Node:
    """The final states of layers and directions along a new first axis."""
    return ops.concat([ops.reshape(x, (1, *x.shape)) for x in parts], 0)


@Formula
def row(number: int, x: Node) -> Node:
    """x[number]."""
    rest = x.shape[1:]
    zeros, ones = (0,) * len(rest), (1,) * len(x.shape)
    return ops.reshape(ops.slice(x, (number, *zeros), (1, *rest), ones), rest)


@Formula
def with_axis(axis: int, x: Node) -> Node:
    """x with an axis of extent 1 before this one."""
    return ops.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


@Formula
def without_axis(axis: int, x: Node) -> Node:
    """x without an axis, whose extent is 1."""
    return ops.reshape(x, (*x.shape[:axis], *x.shape[axis + 1 :]))
