from __future__ import annotations

import numpy as np
import pytest

from glubina.graph import Node, ShapeError, expand, interpret, ops, simplify, topological, verify
from glubina.graph.ops import Formula, opened

F = np.dtype(np.float64)


@Formula
def affine(factor: float, x: Node, bias: Node | None = None) -> Node:
    y = ops.multiply(x, ops.full_like(x, factor))
    return y if bias is None else ops.add(y, ops.broadcast(bias, y.shape))


@Formula
def twice(x: Node) -> Node:
    return affine(affine(x, settings=(3.0,)), settings=(2.0,))


def test_a_formula_is_one_node_with_the_shape_of_its_result() -> None:
    x, b = ops.input((2, 3), F), ops.input((3,), F)
    y = affine(x, b, settings=(2.0,))
    assert (y.shape, y.dtype, y.sources) == ((2, 3), F, (x, b))
    assert opened([y]) == opened([affine(x, b, settings=(2.0,))])
    assert opened([y]) != opened([affine(x, b, settings=(3.0,))])
    verify([y])
    with pytest.raises(ShapeError, match="broadcast"):
        affine(x, ops.input((4,), F), settings=(2.0,))


def test_opening_gives_the_operations_that_were_written() -> None:
    x = ops.input((2, 3), F)
    (found,) = opened([twice(x)])
    three, two = ops.full_like(x, 3.0), ops.full_like(x, 2.0)
    assert found is ops.multiply(ops.multiply(x, three), two)
    assert opened([found]) == [found]


def test_its_meaning_is_that_of_the_operations() -> None:
    x, b = ops.input((2, 3), F), ops.input((3,), F)
    values = {x: np.arange(6.0).reshape(2, 3), b: np.array([1.0, 2.0, 3.0])}
    (found,) = interpret([affine(twice(x), b, settings=(0.5,))], values)
    np.testing.assert_array_equal(found, values[x] * 3 + values[b])


def test_derivatives_go_through() -> None:
    x, b = ops.input((2, 3), F), ops.input((3,), F)
    loss = ops.sum(affine(ops.multiply(x, x), b, settings=(2.0,)), (0, 1))
    second = ops.sum(ops.gradient(loss, x), (0, 1))
    outputs = simplify(
        expand([ops.gradient(loss, x), ops.gradient(loss, b), ops.gradient(second, x)])
    )
    assert not any(node.op.family == "marker" for node in topological(outputs))
    values = {x: np.arange(6.0).reshape(2, 3), b: np.zeros(3)}
    by_x, by_b, again = interpret(outputs, values)
    np.testing.assert_array_equal(by_x, 4 * values[x])
    np.testing.assert_array_equal(by_b, [2, 2, 2])
    np.testing.assert_array_equal(again, np.full((2, 3), 4))


def test_its_name_does_not_depend_on_the_process() -> None:
    attributes = affine(ops.input((1,), F), settings=(2.0,)).attributes
    assert repr(attributes).startswith("CompositeAttributes(formula=")
    assert "0x" not in repr(attributes)
