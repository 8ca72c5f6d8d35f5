"""Kernels of attention against the interpreter: tails, masks, dropout, strided operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled import Compiled, assert_close

from glubina.graph import Node, gradients, interpret, ops
from glubina.schedule.plan import schedule

F32, F64, BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.bool_)


class Case:
    """An attention of random inputs with its totals and gradients."""

    def __init__(
        self,
        sizes: tuple[int, int, int, int, int, int],
        mask: np.dtype[Any] | None = None,
        causal: bool = False,
        dropout: bool = False,
        dtype: np.dtype[Any] = F32,
    ) -> None:
        b, t, h, s, d, e = sizes
        random = np.random.default_rng(0)
        q, k, v = (ops.input(x, dtype) for x in ((b, t, h, d), (b, s, h, d), (b, s, h, e)))
        self.values: dict[Node, Any] = {
            x: random.standard_normal(x.shape).astype(dtype) for x in (q, k, v)
        }
        given = None
        if mask is not None:
            given = ops.input((b, h, t, s), mask)
            numbers = random.standard_normal(given.shape)
            numbers[:, 0, t // 2] = -np.inf  # a query that sees nothing
            self.values[given] = numbers > -0.5 if mask == BOOL else numbers.astype(mask)
        drops = None
        if dropout:
            key = ops.input((2,), np.dtype(np.uint64))
            self.values[key] = np.array([3, 4], np.uint64)
            drops = key, 2, 0.7
        result = ops.attention(q, k, v, given, None, causal, drops)
        slope = ops.input(result.shape, dtype)
        self.values[slope] = random.standard_normal(slope.shape).astype(dtype)
        wrt = [q, k, v] if mask != dtype else [q, k, v, given]
        slopes = gradients(result, [x for x in wrt if x is not None], slope)
        self.outputs = [result, ops.attention_total(result), *slopes]

    def check(self) -> None:
        wanted = interpret(self.outputs, self.values)
        found = Compiled(self.outputs, list(self.values)).run_alike(self.values)
        for a, b in zip(found, wanted, strict=True):
            assert_close(a, b)


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1, 1, 1, 1),
        (2, 16, 3, 32, 16, 16),
        (2, 17, 2, 37, 20, 24),
        (1, 150, 2, 300, 32, 8),
        (1, 3, 2, 140, 8, 70),
        (1, 530, 1, 65, 4, 4),
        (2, 5, 1, 0, 3, 3),
    ],
)
@pytest.mark.parametrize("causal", [False, True])
def test_sizes(sizes: tuple[int, int, int, int, int, int], causal: bool) -> None:
    Case(sizes, causal=causal).check()


@pytest.mark.parametrize("mask", [None, BOOL, F64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dropout", [False, True])
def test_settings(mask: np.dtype[Any] | None, causal: bool, dropout: bool) -> None:
    Case((2, 37, 2, 75, 8, 10), mask, causal, dropout, F64).check()
    if mask != F64:
        Case((1, 70, 2, 70, 8, 40), mask, causal, dropout).check()


def test_heads_of_one_projection_are_read_where_they_lie() -> None:
    x = ops.input((2, 40, 3, 4, 8), F32)
    parts = [
        ops.reshape(ops.slice(x, (0, 0, i, 0, 0), (2, 40, 1, 4, 8), (1,) * 5), (2, 40, 4, 8))
        for i in range(3)
    ]
    mask = ops.input((40, 40), BOOL)
    four = ops.broadcast(mask, (2, 4, 40, 40))
    result = ops.attention(*parts, four)
    (kernel,) = schedule([result], [x, mask], [-1]).kernels
    assert (kernel.kind, kernel.inputs) == ("attention", (x, mask))
    random = np.random.default_rng(0)
    values = {
        x: random.standard_normal(x.shape).astype(F32),
        mask: random.random((40, 40)) < 0.5,
    }
    (slope,) = gradients(ops.sum(ops.multiply(result, result), (0, 1, 2, 3)), [x])
    found = Compiled([result, slope], [x, mask]).run_alike(values)
    for a, b in zip(found, interpret([result, slope], values), strict=True):
        assert_close(a, b)


def test_operands_without_neighbours_are_copied() -> None:
    x = ops.input((1, 8, 2, 9), F32)  # features before the length
    turned = ops.transpose(x, (0, 3, 2, 1))
    result = ops.attention(turned, turned, ops.exp(turned))
    values = {x: np.random.default_rng(0).standard_normal(x.shape).astype(F32)}
    (slope,) = gradients(ops.sum(result, (0, 1, 2, 3)), [x])
    found = Compiled([result, slope], [x]).run_alike(values)
    for a, b in zip(found, interpret([result, slope], values), strict=True):
        assert_close(a, b)


def test_large_scores_and_special_numbers() -> None:
    q, v = ops.input((1, 40, 1, 2), F32), ops.input((1, 40, 1, 1), F32)
    result = ops.attention(q, q, v, scale=1.0)
    values = {q: np.zeros(q.shape, F32), v: np.arange(40, dtype=F32).reshape(v.shape)}
    values[q][0, :, 0, 0] = np.linspace(-50, 50, 40)
    (found,) = Compiled([result], [q, v]).run_alike(values)
    assert_close(found, interpret([result], values)[0])
    values[q][0, 7] = np.nan
    (found,) = Compiled([result], [q, v]).run_alike(values)
    assert np.isnan(found).all()
