"""The verifier passes what `make` built and finds what was tampered with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from random_graphs import Program, programs
from strategies import F32, F64, steady

from glubina.graph import GraphError, Node, ops, verify
from glubina.graph.node import new


def forged(node: Node, **changes: object) -> Node:
    """A copy of a node, unknown to the table, with some of it changed."""
    copy = new(node.op, node.sources, node.attributes, node.shape, node.dtype)
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy


X = ops.input((2, 3), F32)


@given(programs(10))
@steady(30)
def test_graphs_as_they_are_made_are_right(program: Program) -> None:
    verify(program.outputs)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"shape": (3, 2)}, r"<exp float32 3x2> should be float32 \(2, 3\)"),
        ({"dtype": F64}, r"<exp float64 2x3> should be float32 \(2, 3\)"),
        ({"dtype": np.float32}, "exp: shape"),
        ({"shape": (np.int64(2), 3)}, "exp: shape"),
        ({"shape": [2, 3]}, "exp: shape"),
        ({"shape": (-2, -3)}, "negative extent"),
    ],
)
def test_a_wrong_shape_or_dtype_is_found_deep_inside(changes: dict[str, object], text: str) -> None:
    bad = forged(ops.exp(X), **changes)
    chain = new(ops.negative(X).op, (bad,), (), bad.shape, bad.dtype)
    with pytest.raises(GraphError, match=text):
        verify([X, chain])


def test_a_wrong_input_is_found() -> None:
    with pytest.raises(GraphError, match="negative extent"):
        verify([forged(X, shape=(2, -3))])


def test_sources_that_no_longer_fit_are_found() -> None:
    total = ops.add(X, ops.exp(X))
    with pytest.raises(GraphError, match="shapes"):
        verify([forged(total, sources=(X, ops.input((3, 2), F32)))])


def test_a_circle_is_found() -> None:
    first = forged(ops.exp(X))
    second = forged(ops.negative(first))
    first.sources = (second,)
    with pytest.raises(GraphError, match="depends on itself"):
        verify([second])


def test_a_node_used_twice_is_not_a_circle() -> None:
    y = ops.exp(X)
    verify([ops.add(y, ops.multiply(y, ops.add(y, X))), y, y])
