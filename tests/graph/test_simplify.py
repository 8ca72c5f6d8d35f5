"""Simplified graphs: the same values, bit for bit where no sum is reordered, and cheaper."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import Program, programs
from strategies import BOOL, F32, F64, I32, U8, awkward, shapes, steady

from glubina.graph import GraphError, Node, expand, interpret, ops, simplify, topological, verify

REORDERS = {"sum", "matmul"}


@given(programs(20))
@steady(80)
def test_random_graphs_keep_their_values(program: Program) -> None:
    before = expand(program.outputs)
    after = simplify(before)
    verify(after)
    assert [(n.shape, n.dtype) for n in after] == [(n.shape, n.dtype) for n in before]
    assert all(a is b for a, b in zip(simplify(after), after, strict=True))
    exact = not REORDERS & {n.op.name for n in topological(before)}
    values = interpret(before, program.bindings), interpret(after, program.bindings)
    for want, found in zip(*values, strict=True):
        if exact:
            np.testing.assert_array_equal(found, want)
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)


X, Y = ops.input((2, 3), F32), ops.input((2, 3), F32)
SQUARE = ops.input((3, 3), F64)
WHOLE = ops.input((2, 3), I32)
TRUTH = ops.input((2, 3), BOOL)


def full(value: float, like: Node = X) -> Node:
    return ops.full_like(like, value)


SAME: list[tuple[Node, Node]] = [
    (ops.multiply(X, full(1)), X),
    (ops.multiply(full(1), X), X),
    (ops.multiply(X, full(-1)), ops.negative(X)),
    (ops.multiply(full(-1), X), ops.negative(X)),
    (ops.divide(X, full(1)), X),
    (ops.subtract(X, full(0)), X),
    (ops.negative(ops.negative(X)), X),
    (ops.add(X, ops.negative(Y)), ops.subtract(X, Y)),
    (ops.add(ops.negative(X), Y), ops.subtract(Y, X)),
    (ops.power(X, full(1)), X),
    (ops.power(X, full(0)), full(1)),
    (ops.where(full(1, TRUTH), X, Y), X),
    (ops.where(full(0, TRUTH), X, Y), Y),
    (ops.where(TRUTH, X, X), X),
    (ops.logical_and(TRUTH, full(1, TRUTH)), TRUTH),
    (ops.logical_and(full(0, TRUTH), TRUTH), full(0, TRUTH)),
    (ops.logical_or(TRUTH, full(0, TRUTH)), TRUTH),
    (ops.logical_or(full(1, TRUTH), TRUTH), full(1, TRUTH)),
    (ops.multiply(WHOLE, full(1, WHOLE)), WHOLE),
    (ops.detach(ops.exp(X)), ops.exp(X)),
    (ops.reshape(ops.reshape(X, (6,)), (3, 2)), ops.reshape(X, (3, 2))),
    (ops.reshape(ops.reshape(X, (6,)), (2, 3)), X),
    (ops.transpose(ops.transpose(SQUARE, (1, 0)), (1, 0)), SQUARE),
    (ops.broadcast(ops.broadcast(X, (4, 2, 3)), (5, 4, 2, 3)), ops.broadcast(X, (5, 4, 2, 3))),
    (ops.broadcast(X, (1, 2, 3)), ops.reshape(X, (1, 2, 3))),
    (ops.sum(ops.sum(X, (0,)), (0,)), ops.sum(X, (0, 1))),
    (ops.sum(ops.reshape(X, (2, 1, 3)), (1,)), X),
    (ops.flip(ops.flip(X, (0, 1)), (0, 1)), X),
    (ops.exp(ops.reshape(X, (6,))), ops.reshape(ops.exp(X), (6,))),
    (ops.add(full(2), full(3)), full(5)),
    (ops.sqrt(ops.constant(4, F32)), ops.constant(2, F32)),
    (ops.reshape(ops.constant(2, F32), (1, 1)), ops.broadcast(ops.constant(2, F32), (1, 1))),
    (
        ops.swap_last(ops.matmul(SQUARE, ops.swap_last(SQUARE))),
        ops.matmul(SQUARE, ops.swap_last(SQUARE)),
    ),
]


@pytest.mark.parametrize(("before", "after"), SAME)
def test_rules(before: Node, after: Node) -> None:
    assert simplify([before]) == [after]


KEPT: list[Node] = [
    ops.add(X, full(0)),  # turns -0 into 0
    ops.subtract(X, full(-0.0)),  # the same
    ops.multiply(X, full(0)),  # NaN and infinity stay NaN
    ops.subtract(X, X),
    ops.divide(X, X),
    ops.where(TRUTH, X, Y),
    ops.multiply(X, full(2)),
    ops.maximum(X, X),
]


@pytest.mark.parametrize("node", KEPT)
def test_what_would_change_special_values_stays(node: Node) -> None:
    assert simplify([node]) == [node]


@given(shapes(max_rank=2), st.data())
@steady(40)
def test_rules_keep_the_bits_of_special_values(shape: tuple[int, ...], data: st.DataObject) -> None:
    x, y = ops.input(shape, F32), ops.input(shape, F32)
    one, zero = ops.full_like(x, 1), ops.full_like(x, 0)
    outputs = [
        ops.multiply(one, x),
        ops.divide(x, one),
        ops.subtract(x, zero),
        ops.add(x, zero),
        ops.multiply(x, zero),
        ops.negative(ops.negative(x)),
        ops.multiply(x, ops.full_like(x, -1)),
        ops.add(ops.negative(x), y),
        ops.power(x, one),
        ops.power(x, zero),
        ops.relu(ops.reshape(x, (x.size,))),
    ]
    bindings = {n: data.draw(awkward(shape, F32)) for n in (x, y)}
    for before, want, found in zip(
        outputs, interpret(outputs, bindings), interpret(simplify(outputs), bindings), strict=True
    ):
        number = ~np.isnan(want)
        assert np.array_equal(np.isnan(found), ~number), before
        bits = [a[number].view(np.uint32) for a in (found, want)]
        np.testing.assert_array_equal(*bits, err_msg=repr(before))


def test_placeholders_must_be_expanded_before() -> None:
    """By x 1 is not by x: a rule that makes them one would change the derivative."""
    x = ops.input((), F64)
    with pytest.raises(GraphError, match="expanded first"):
        simplify([ops.gradient(ops.exp(x), ops.multiply(x, ops.constant(1, F64)))])


EMPTY = ops.input((0, 3), F64)


@pytest.mark.parametrize(
    ("node", "value"),
    [
        (ops.sum(EMPTY, (0,)), 0),
        (ops.prod(EMPTY, (0,)), 1),
        (ops.matmul(ops.swap_last(EMPTY), EMPTY), 0),
        (ops.pad(EMPTY, (1, 0), (1, 0)), 0),
        (ops.concat([EMPTY, full(2, ops.input((2, 3), F64))], 0), 2),
    ],
)
def test_nothing_is_computed_from_empty_arrays(node: Node, value: float) -> None:
    (found,) = simplify([node])
    assert all(n.size for n in topological([found]))
    assert found is ops.full_like(node, value)
    assert (interpret([node], {EMPTY: np.zeros((0, 3))})[0] == value).all()


def test_powers_with_a_constant_exponent_have_a_plain_derivative() -> None:
    """No trace is left of the case 0^0, which a constant exponent excludes."""
    x = ops.input((4,), F64)
    loss = ops.sum(ops.power(x, ops.full_like(x, 3)), (0,))
    names = [n.op.name for n in topological(simplify(expand([ops.gradient(loss, x)])))]
    assert not {"where", "equal", "logical_and"} & set(names)


def test_integers_fold_with_wrapping() -> None:
    node = ops.add(ops.constant(250, U8), ops.constant(10, U8))
    assert simplify([node]) == [ops.constant(4, U8)]


@pytest.mark.parametrize("grow", [ops.negative, ops.relu, lambda x: ops.add(x, X)])
def test_long_chains_are_simplified_in_a_few_rounds(grow: Callable[[Node], Node]) -> None:
    node = X
    for _ in range(3000):
        node = grow(ops.reshape(ops.reshape(node, (6,)), (2, 3)))
    (found,) = simplify([node])
    assert not any(n.op.name == "reshape" for n in topological([found]))
