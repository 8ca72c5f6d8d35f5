"""The interpreter: values of several outputs, and nothing kept longer than needed."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from strategies import F64, I32

from glubina.graph import GraphError, Node, Primitive, interpret, ops
from glubina.graph.node import make


def test_outputs_may_be_inputs_repeated_or_part_of_each_other() -> None:
    x = ops.input((2,), F64)
    y = ops.exp(x)
    bindings = {x: np.array([0.0, 1.0])}
    values = interpret([y, x, y, ops.add(y, y)], bindings)
    np.testing.assert_array_equal(values[0], values[2])
    assert values[1].tolist() == [0, 1]
    np.testing.assert_array_equal(values[3], 2 * values[0])
    assert interpret([], {}) == []


def probe(seen: list[int], alive: list[weakref.ref[np.ndarray]]) -> Primitive:
    """An identity that notes how many earlier values are still alive when it runs."""

    def value(attributes: object, x: np.ndarray) -> np.ndarray:
        seen.append(sum(watch() is not None for watch in alive))
        result = x + 1
        alive.append(weakref.ref(result))
        return result

    return Primitive("probe", "elementwise", "x", lambda s, a: (s[0].shape, s[0].dtype), value)


def test_values_are_dropped_after_their_last_use() -> None:
    seen: list[int] = []
    op, node = probe(seen, []), ops.input((4,), F64)
    x = node
    for _ in range(20):
        node = make(op, (node,))
    assert interpret([node], {x: np.zeros(4)})[0].tolist() == [20] * 4
    assert max(seen) == 1


def test_a_value_that_contradicts_its_node_is_an_error() -> None:
    x = ops.input((2,), F64)
    wrong = Primitive("wrong", "elementwise", "x", lambda s, a: ((2,), I32), lambda a, x: x)
    with pytest.raises(GraphError, match="evaluated to float64"):
        interpret([make(wrong, (x,))], {x: np.zeros(2)})


def test_warnings_stay_silent_and_values_follow_ieee() -> None:
    x = ops.input((2,), F64)
    bindings = {x: np.array([0.0, -1.0])}
    with np.errstate(all="raise"):
        found = interpret([ops.log(x), ops.divide(x, ops.full_like(x, 0))], bindings)
    assert np.isneginf(found[0][0])
    assert np.isnan(found[1][0])


def test_the_bound_arrays_are_not_changed() -> None:
    x: Node = ops.input((3, 2), F64)
    array = np.arange(6.0).reshape(3, 2)
    array.flags.writeable = False
    outputs = [
        ops.relu(x),
        ops.scatter_add(ops.iota((3,), 0, I32), x, (3, 2), 0),
        ops.flip(x, (0,)),
    ]
    interpret(outputs, {x: array})
