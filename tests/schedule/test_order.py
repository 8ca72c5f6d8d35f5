"""The order of kernels: what ends in a result runs as soon as it can."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glubina.graph import Node, gradients, ops
from glubina.schedule.order import ends_early, in_order
from glubina.schedule.plan import schedule

F32 = np.dtype(np.float32)


@given(st.data())
def test_ends_move_up_behind_what_they_need(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    after = [set(data.draw(st.sets(st.integers(0, max(i - 1, 0))))) - {i} for i in range(count)]
    before = in_order([sorted(needed) for needed in after])
    order = ends_early(before, after)
    assert sorted(order) == list(range(count))
    place = {kernel: position for position, kernel in enumerate(order)}
    assert all(place[n] < place[k] for k in range(count) for n in after[k])
    needed = set().union(*after)
    assert [k for k in order if k in needed] == [k for k in before if k in needed]
    for kernel in set(order) - needed:
        if after[kernel]:
            between = order[max(place[n] for n in after[kernel]) + 1 : place[kernel]]
            assert not set(between) & needed


def test_a_weight_is_updated_when_its_gradient_can_be_made() -> None:
    x, rate = ops.input((64, 32), F32), ops.input((), F32)
    weights = [ops.input((32, 32), F32) for _ in range(3)]
    y: Node = x
    for w in weights:
        y = ops.tanh(ops.matmul(y, w))
    slopes = gradients(ops.sum(ops.multiply(y, y), (0, 1)), weights)
    stepped = [
        ops.subtract(w, ops.multiply(ops.broadcast(rate, w.shape), g))
        for w, g in zip(weights, slopes, strict=True)
    ]
    plan = schedule(stepped, [x, rate, *weights], [2, 3, 4])
    assert plan.donated == (2, 3, 4)
    made = [kernel.outputs for kernel in plan.kernels]
    places = [next(i for i, out in enumerate(made) if s in out) for s in plan.results]
    assert places[2] < min(places[:2]), "the last layer's weight is there first"
