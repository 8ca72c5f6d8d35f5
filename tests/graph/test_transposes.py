"""Transposes move behind what can work on values that were not turned, and cancel there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glubina.graph import Node, interpret, ops
from glubina.graph.node import topological
from glubina.graph.simplify import simplify

FLOAT = np.dtype(np.float32)
LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def turned(node: Node, between: int = 0) -> int:
    """How many transposes a simplified graph holds."""
    return sum(n.op.name == "transpose" for n in topological(simplify([node])))


def same(node: Node, *inputs: Node) -> None:
    """The simplified graph gives the same numbers."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(i.shape).astype(i.dtype) for i in inputs]
    (before,) = interpret([node], dict(zip(inputs, values, strict=True)))
    (after,) = interpret(simplify([node]), dict(zip(inputs, values, strict=True)))
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def image() -> Node:
    return ops.input((2, 4, 5, 3), FLOAT)


def test_a_function_between_two_layers_is_applied_to_what_was_not_turned() -> None:
    x = image()
    first = ops.transpose(x, FIRST)
    back = ops.transpose(ops.relu(ops.multiply(first, ops.full_like(first, 3.0))), LAST)
    assert turned(back) == 0
    same(back, x)


def test_a_sum_of_two_branches_and_a_choice() -> None:
    x, y = image(), image()
    a, b = ops.transpose(x, FIRST), ops.transpose(y, FIRST)
    chosen = ops.where(ops.less(a, b), ops.add(a, b), ops.full_like(a, 0.0))
    back = ops.transpose(chosen, LAST)
    assert turned(back) == 0
    same(back, x, y)


@pytest.mark.parametrize("axis", range(4))
def test_a_join(axis: int) -> None:
    x, y = image(), image()
    joined = ops.concat([ops.transpose(x, FIRST), ops.transpose(y, FIRST)], axis)
    back = ops.transpose(joined, LAST)
    assert turned(back) == 0
    same(back, x, y)


@pytest.mark.parametrize("reduce", [ops.sum, ops.max])
@pytest.mark.parametrize("axes", [(2, 3), (1,), (0, 2), (0, 1, 2, 3)])
def test_a_reduction(reduce, axes) -> None:  # type: ignore[no-untyped-def]
    x = image()
    reduced = reduce(ops.transpose(x, FIRST), axes)
    kept = [n for i, n in enumerate((2, 3, 4, 5)) if i not in axes]
    assert reduced.shape == tuple(kept)
    same(reduced, x)
    if axes == (2, 3):
        assert turned(reduced) == 0


def test_sources_that_are_turned_differently_stay() -> None:
    x, y = ops.input((2, 3, 3, 3), FLOAT), ops.input((2, 3, 3, 3), FLOAT)
    node = ops.add(ops.transpose(x, FIRST), ops.transpose(y, LAST))
    assert simplify([node]) == [node]
    mixed = ops.add(ops.transpose(x, FIRST), y)
    assert simplify([mixed]) == [mixed]


@given(st.permutations(range(4)), st.permutations(range(4)), st.lists(st.integers(1, 4), min_size=4,
       max_size=4), st.sets(st.integers(0, 3), min_size=1, max_size=3))  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_permutations_and_shapes(
    first: list[int], second: list[int], shape: list[int], axes: set[int]
) -> None:
    x, y = ops.input(tuple(shape), FLOAT), ops.input(tuple(shape), FLOAT)
    a, b = ops.transpose(x, tuple(first)), ops.transpose(y, tuple(first))
    node = ops.transpose(ops.tanh(ops.multiply(a, ops.add(b, a))), tuple(second))
    same(node, x, y)
    same(ops.sum(ops.concat([a, ops.negative(b)], 1), tuple(sorted(axes))), x, y)
