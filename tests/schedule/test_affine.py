"""Symbolic indices: equal to plain integers for every value, and folded where they can be."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import steady

from glubina.graph import ops
from glubina.schedule.affine import Affine, Space, Term, bounds
from glubina.schedule.views import affine_view, steady_inputs

F32 = np.dtype(np.float32)


def value(a: Affine, given_values: dict[Term, int]) -> int:
    def term(t: Term) -> int:
        if t.kind in ("loop", "lane"):
            return given_values[t]
        inner = value(t.inner, given_values)
        return inner // t.divisor if t.kind == "div" else inner % t.divisor

    return a.const + sum(k * term(t) for t, k in a.terms)


@given(st.randoms(use_true_random=False))
@steady(300)
def test_symbols_mean_what_integers_mean(chance: random.Random) -> None:
    space = Space()
    variables = []
    for _ in range(3):
        extent, multiple = chance.choice([2, 3, 4, 6, 8]), chance.choice([1, 1, 2, 4, 16])
        variables.append((space.counter((extent - 1) * multiple, multiple), extent, multiple))
    lane = space.term("lane", 0, 7)
    start = space.combine(
        [
            (Affine(0, ((lane, 1),)), chance.choice([0, 1, 3])),
            *((v, chance.choice([-3, -1, 0, 1, 2, 4, 8, 12])) for v, _, _ in variables),
        ],
        chance.randint(-9, 9),
    )
    points = []
    for _ in range(12):
        point = {v.terms[0][0]: chance.randrange(e) * m for v, e, m in variables}
        points.append({**point, lane: chance.randrange(8)})
    index, expected = start, [value(start, p) for p in points]
    for _ in range(5):
        step, c = (
            chance.choice(["div", "mod", "add", "scale", "shape"]),
            chance.choice([2, 3, 4, 8]),
        )
        if step == "div":
            index, expected = space.floordiv(index, c), [e // c for e in expected]
        elif step == "mod":
            index, expected = space.mod(index, c), [e % c for e in expected]
        elif step == "add":
            index = space.add(index, start)
            expected = [e + value(start, p) for e, p in zip(expected, points, strict=True)]
        elif step == "scale":
            index, expected = space.scale(index, -c), [-c * e for e in expected]
        else:
            shape = (3, c, 4)
            index = space.flatten(space.unflatten(index, shape), shape)
        assert [value(index, p) for p in points] == expected
        low, high = bounds(index)
        assert all(low <= e <= high for e in expected)


@pytest.mark.parametrize(
    "shapes", [[(7, 3, 4, 5)], [(7, 12, 5), (7, 3, 20)], [(2, 3), (3, 2), (6,)]]
)
def test_reshapes_of_a_running_index_fold_back(shapes: list[tuple[int, ...]]) -> None:
    space = Space()
    index = flat = space.loop(None)
    for shape in shapes:
        index = space.flatten(space.unflatten(index, shape), shape)
    assert index == flat


def test_lanes_within_a_row_leave_the_row_alone() -> None:
    space = Space()
    column = space.counter(48, 16)
    lane = Affine(0, ((space.term("lane", 0, 15), 1),))
    row = space.loop(None)
    flat = space.combine(((row, 64), (column, 1), (lane, 1)))
    assert space.floordiv(flat, 64) == row
    assert space.mod(flat, 16) == lane


def test_views() -> None:
    x = ops.input((4, 6, 10), F32)
    assert affine_view(ops.transpose(x, (2, 0, 1))) == (x, 0, (1, 60, 10))
    assert affine_view(ops.slice(x, (3, 1, 0), (2, 2, 5), (-2, 3, 2))) == (x, 190, (-120, 30, 2))
    assert affine_view(ops.broadcast(ops.reshape(x, (4, 1, 60)), (4, 7, 60))) == (x, 0, (60, 0, 1))
    split = ops.transpose(ops.reshape(x, (4, 6, 2, 5)), (0, 2, 1, 3))
    assert affine_view(split) == (x, 0, (60, 5, 10, 1))
    assert affine_view(ops.reshape(split, (4, 2, 30))) is None
    total = ops.add(x, x)
    assert affine_view(ops.reshape(total, (24, 10))) == (total, 0, (10, 1))


def test_inputs_that_outputs_follow_may_change() -> None:
    from glubina.schedule.kernel import Kernel

    x, y, bias = ops.input((4, 6), F32), ops.input((24,), F32), ops.input((6,), F32)
    output = ops.add(ops.multiply(x, ops.reshape(y, (4, 6))), ops.broadcast(bias, (4, 6)))
    kernel = Kernel("map", (), (x, y, bias), (output,), (4, 6))
    assert steady_inputs(kernel) == {bias}
