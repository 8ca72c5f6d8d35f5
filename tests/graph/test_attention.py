"""Attention's primitives against plain operations, and the errors of shapes that do not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from primitives import Case, cases
from strategies import BOOL, F32, F64, I64, U64, steady

from glubina.graph import DTypeError, Node, ShapeError, interpret, ops
from glubina.graph.ops import attention_plain


def plain(node: Node) -> Node:
    a = node.attributes
    if node.op.name == "attention":
        return attention_plain.result(a, *node.sources)
    if node.op.name == "attention_total":
        return attention_plain.total(a, *node.sources)
    return attention_plain.gradient(a.of, a.which, *node.sources)


@pytest.mark.parametrize("name", ["attention", "attention_total", "attention_gradient"])
def test_values_are_those_of_plain_operations(name: str) -> None:
    @given(cases(name, F64))
    @steady(40)
    def check(case: Case) -> None:
        found, wanted = interpret([case.node, plain(case.node)], case.bindings)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)

    check()


def test_number_by_number() -> None:
    random = np.random.default_rng(0)
    q, k, v = (ops.input(s, F64) for s in ((1, 2, 1, 3), (1, 4, 1, 3), (1, 4, 1, 2)))
    bindings = {x: random.standard_normal(x.shape) for x in (q, k, v)}
    (found,) = interpret([ops.attention(q, k, v, causal=True)], bindings)
    for t in range(2):
        seen = range(t + 1)
        e = [math.exp(bindings[q][0, t, 0] @ bindings[k][0, s, 0] / math.sqrt(3)) for s in seen]
        mean = sum(x * bindings[v][0, s, 0] for x, s in zip(e, seen)) / sum(e)
        np.testing.assert_allclose(found[0, t, 0], mean, rtol=1e-12)


def test_a_query_that_sees_nothing() -> None:
    q, mask = ops.input((1, 2, 1, 3), F64), ops.input((1, 1, 2, 2), BOOL)
    result = ops.attention(q, q, q, mask)
    seen = np.array([[[[True, True], [False, False]]]])
    values = {q: np.ones(q.shape), mask: seen}
    found, total = interpret([result, ops.attention_total(result)], values)
    np.testing.assert_allclose(found[0, :, 0], [[1.0] * 3, [0.0] * 3], rtol=1e-12)
    assert total[0, 0, 1] == np.inf


def test_errors() -> None:
    q, k, v = (ops.input(s, F32) for s in ((1, 2, 1, 3), (1, 4, 1, 3), (1, 5, 1, 2)))
    with pytest.raises(ShapeError, match=r"query \(1, 2, 1, 3\), key .* do not fit"):
        ops.attention(q, k, v)
    with pytest.raises(DTypeError, match="one dtype, float32 or float64, got float32, int64"):
        ops.attention(q, ops.input((1, 4, 1, 3), I64), ops.input((1, 4, 1, 3), F32))
    with pytest.raises(ShapeError, match=r"a mask \(2, 4\) for weights \(1, 1, 2, 4\)"):
        ops.attention(q, k, k, ops.input((2, 4), BOOL))
    with pytest.raises(DTypeError, match="the mask is bool or float32, got float64"):
        ops.attention(q, k, k, ops.input((1, 1, 2, 4), F64))
    with pytest.raises(DTypeError, match="the random key is uint64"):
        ops.attention(q, k, k, dropout=(ops.input((3,), U64), 0, 0.5))
    result = ops.attention(q, k, k)
    with pytest.raises(ShapeError, match="are not those of"):
        ops.attention_gradient(
            result.attributes, 0, q, k, k, result, ops.input((1, 1, 3), F32), result
        )
