"""Nodes: equal ones are one object, leaves never are, orders put sources first, none is kept."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from primitives import PRIMITIVES, Case, cases
from strategies import BOOL, F32, F64, I32, I64, U8, steady

from glubina.graph import Node, interpret, ops, topological
from glubina.graph.node import make, rebuild, remake


@pytest.mark.parametrize("name", PRIMITIVES)
def test_equal_nodes_are_the_same_object(name: str) -> None:
    @given(cases(name))
    @steady(3)
    def check(case: Case) -> None:
        node = case.node
        if node.op.name != "input":
            assert make(node.op, node.sources, node.attributes) is node

    check()


def test_inputs_have_an_identity() -> None:
    x, y = ops.input((2,), F32), ops.input((2,), F32)
    assert x is not y
    assert ops.negative(x) is not ops.negative(y)
    assert len(topological([ops.add(x, y)])) == 3


def test_order_of_sources_and_attributes_make_a_difference() -> None:
    x, y = ops.input((2, 3), F32), ops.input((2, 3), F32)
    assert ops.subtract(x, y) is not ops.subtract(y, x)
    assert ops.sum(x, (0,)) is not ops.sum(x, (1,))
    assert ops.max(x, (0,)) is not ops.sum(x, (0,))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0.0, F32), (-0.0, F32)),
        ((1, BOOL), (1, I64)),
        ((1, U8), (1, BOOL)),
        ((1, I32), (1, I64)),
        ((1.0, F32), (1.0, F64)),
        ((float("nan"), F32), (float("nan"), F64)),
        ((float("nan"), F64), (0.0, F64)),
    ],
)
def test_constants_differ_in_bits_or_dtype(
    one: tuple[float, np.dtype], other: tuple[float, np.dtype]
) -> None:
    assert ops.constant(*one) is not ops.constant(*other)
    assert ops.constant(*one) is ops.constant(*one)


def test_a_constant_keeps_its_bits() -> None:
    nan = np.array(0x7FC12345, np.uint32).view(np.float32)[()]
    assert interpret([ops.constant(nan, F32)], {})[0].view(np.uint32) == 0x7FC12345
    assert np.signbit(interpret([ops.constant(-0.0, F64)], {})[0])


def test_nodes_die_with_their_last_user() -> None:
    x = ops.input((2,), F32)
    node = ops.exp(ops.negative(x))
    watched = [weakref.ref(node), weakref.ref(node.sources[0])]
    del node
    gc.collect()
    assert [watch() for watch in watched] == [None, None]


def test_long_chains_neither_overflow_the_stack_nor_linger() -> None:
    x = node = ops.input((), F32)
    for _ in range(50_000):
        node = ops.negative(node)
    assert len(topological([node])) == 50_001
    watched = weakref.ref(node.sources[0])
    del node
    gc.collect()
    assert watched() is None
    assert ops.negative(x).sources == (x,)


def random_dag(choices: list[tuple[int, int]]) -> list[Node]:
    nodes = [ops.input((2,), F64), ops.input((2,), F64)]
    for i, j in choices:
        nodes.append(ops.add(nodes[i % len(nodes)], nodes[j % len(nodes)]))
    return nodes


pairs = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20)


@given(pairs)
@steady(30)
def test_topological_puts_sources_first_and_each_node_once(choices: list[tuple[int, int]]) -> None:
    nodes = random_dag(choices)
    order = topological([nodes[-1], nodes[-1], nodes[0]])
    place = {node: i for i, node in enumerate(order)}
    assert len(place) == len(order)
    assert nodes[-1] in place
    assert all(place[s] < place[n] for n in order for s in n.sources)


@given(pairs)
@steady(15)
def test_rebuild_without_changes_gives_the_same_nodes(choices: list[tuple[int, int]]) -> None:
    outputs = random_dag(choices)[-3:]
    assert all(a is b for a, b in zip(rebuild(outputs, remake), outputs, strict=True))


def test_rebuild_replaces_everywhere() -> None:
    x, y = ops.input((2,), F64), ops.input((2,), F64)
    both = ops.add(ops.exp(x), ops.multiply(x, ops.exp(x)))
    (new,) = rebuild([both], lambda node, sources: y if node is x else remake(node, sources))
    assert new is ops.add(ops.exp(y), ops.multiply(y, ops.exp(y)))


def test_a_node_prints_its_operation_dtype_and_shape() -> None:
    x = ops.input((2, 3), F32)
    assert repr(ops.exp(x)) == "<exp float32 2x3>"
    assert repr(ops.sum(x, (0, 1))) == "<sum float32 scalar>"
