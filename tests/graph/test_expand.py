"""Placeholders become gradients: nested ones, of inner nodes, of what is not reached."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from random_graphs import Program, programs
from strategies import F32, F64, steady

from glubina.graph import Node, expand, gradients, interpret, ops, topological, verify


def value(node: Node, **numbers: float) -> float:
    (expanded,) = expand([node])
    verify([expanded])
    assert all(n.op.name != "gradient" for n in topological([expanded]))
    bindings = {n: np.array(numbers[name], F64) for name, n in LEAVES.items() if name in numbers}
    return float(interpret([expanded], bindings)[0])


LEAVES = {name: ops.input((), F64) for name in "xyz"}
X, Y, Z = LEAVES.values()


def cube(x: Node) -> Node:
    return ops.multiply(x, ops.multiply(x, x))


def test_a_gradient() -> None:
    assert value(ops.gradient(cube(X), X), x=2) == 12


def test_without_placeholders_nothing_changes() -> None:
    outputs = [cube(X), ops.exp(X)]
    assert expand(outputs) == outputs


def test_derivatives_of_derivatives() -> None:
    first = ops.gradient(cube(X), X)
    second = ops.gradient(first, X)
    third = ops.gradient(second, X)
    assert value(second, x=2) == 12
    assert value(third, x=2) == 6
    assert value(ops.gradient(third, X), x=2) == 0


def test_a_gradient_inside_a_loss_of_another_variable() -> None:
    """The penalty (∂(x² y)/∂x)² = 4 x² y², by y: 8 x² y."""
    slope = ops.gradient(ops.multiply(ops.multiply(X, X), Y), X)
    penalty = ops.multiply(slope, slope)
    assert value(ops.gradient(penalty, Y), x=3, y=2) == 144
    assert value(ops.add(ops.gradient(penalty, X), ops.gradient(penalty, Y)), x=3, y=2) == 240


def test_what_is_not_reached_has_the_gradient_zero() -> None:
    unused = ops.input((2, 3), F32)
    (found,) = expand([ops.gradient(cube(X), unused)])
    (zeros,) = interpret([found], {})
    assert zeros.shape == (2, 3)
    assert zeros.dtype == F32
    assert not zeros.any()


def test_a_node_that_only_meets_the_loss_elsewhere_is_not_reached() -> None:
    later = ops.exp(cube(X))
    assert value(ops.gradient(cube(X), later), x=1) == 0


def test_the_gradient_by_the_loss_itself_is_one() -> None:
    loss = cube(X)
    assert value(ops.gradient(loss, loss), x=5) == 1


def test_the_gradient_by_an_inner_node() -> None:
    inner = ops.multiply(X, X)
    assert value(ops.gradient(ops.multiply(inner, inner), inner), x=3) == 18


def test_the_gradient_by_an_inner_gradient() -> None:
    slope = ops.gradient(cube(X), X)
    assert value(ops.gradient(cube(slope), slope), x=1) == 27


def test_detached_values_are_constants() -> None:
    loss = ops.multiply(X, ops.detach(cube(X)))
    assert value(ops.gradient(loss, X), x=2) == 8
    assert value(ops.gradient(ops.detach(loss), X), x=2) == 0
    frozen = ops.detach(ops.gradient(cube(X), X))
    assert value(ops.gradient(ops.multiply(frozen, X), X), x=2) == 12


def test_many_gradients_of_one_loss_share_their_work() -> None:
    node = X
    for _ in range(20):
        node = ops.sin(node)
    loss = ops.add(ops.multiply(node, Y), ops.multiply(node, Z))
    together = expand([ops.gradient(loss, n) for n in (X, Y, Z)])
    alone = [expand([ops.gradient(loss, n)])[0] for n in (X, Y, Z)]
    assert all(a is b for a, b in zip(together, alone, strict=True))
    assert len(topological(together)) < 100


def test_hundreds_of_placeholders_are_expanded_together() -> None:
    """Each derivative once, whether the loss reaches the variable or not."""
    used = [ops.input((), F64) for _ in range(300)]
    unused = [ops.input((), F64) for _ in range(300)]
    loss = used[0]
    for node in used[1:]:
        loss = ops.multiply(loss, node)
    calls = []
    placeholders = [ops.gradient(loss, n) for n in (*used, *unused)]
    with pytest.MonkeyPatch.context() as patch:
        import glubina.graph.autodiff as autodiff

        patch.setattr(autodiff, "gradients", lambda *a: calls.append(len(a[1])) or gradients(*a))
        found = expand(placeholders)
    assert len(found) == 600
    assert len(calls) <= 2


@given(programs(8))
@steady(40)
def test_expanding_at_once_equals_expanding_by_hand(program: Program) -> None:
    """The gradient of the sum of the outputs, as placeholders and worked out directly."""
    plain = [o for o in program.outputs if all(n.op.name != "gradient" for n in topological([o]))]
    loss = ops.constant(0, F64)
    for output in plain:
        loss = ops.add(loss, ops.sum(output, tuple(range(len(output.shape)))))
    leaves = [n for n in program.bindings if n.dtype == F64]
    by_hand = gradients(loss, leaves)
    found = expand([ops.gradient(loss, leaf) for leaf in leaves])
    verify(found)
    assert all(a is b for a, b in zip(found, by_hand, strict=True))
