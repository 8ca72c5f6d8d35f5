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
    little = data.draw(st.sets(st.integers(0, count - 1)))
    eager = ends_early(before, after, little)
    assert sorted(eager) == list(range(count))
    spot = {kernel: position for position, kernel in enumerate(eager)}
    assert all(spot[n] < spot[k] for k in range(count) for n in after[k])
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


def _stepped(weights: list[Node], rate: Node, loss: Node) -> list[Node]:
    return [
        ops.subtract(w, ops.multiply(ops.broadcast(rate, w.shape), g))
        for w, g in zip(weights, gradients(loss, weights), strict=True)
    ]


def test_updates_do_not_wait_for_what_is_checked_already() -> None:
    """The gradient of an embedding comes last, and checks what the look-up has checked."""
    words, steps = ops.input((64,), np.dtype(np.int64)), ops.input((), F32)
    table, weight, last = (ops.input((32, 32), F32) for _ in range(3))
    y = ops.take(table, words, 0)
    for w in (weight, last):
        y = ops.tanh(ops.matmul(y, w))
    rate = ops.divide(ops.sqrt(steps), ops.exp(steps))  # a kernel of its own, for all weights
    weights = [table, weight, last]
    results = _stepped(weights, rate, ops.sum(ops.multiply(y, y), (0, 1)))
    plan = schedule(results, [words, steps, *weights], [2, 3, 4])
    assert plan.donated == (2, 3, 4)
    made = [kernel.outputs for kernel in plan.kernels]
    places = [next(i for i, out in enumerate(made) if s in out) for s in plan.results]
    assert places[2] < min(places[:2]) - 1, "the last layer's weight, before more gradients"


def test_what_is_checked_in_part_is_waited_for() -> None:
    """A look-up of which only a few rows are read checks no more than these."""
    words = ops.input((64,), np.dtype(np.int64))
    table, weight, factor = (ops.input((32, 32), F32) for _ in range(3))
    taken = ops.take(table, words, 0)
    few = ops.sum(ops.exp(ops.slice(taken, (0, 0), (2, 32), (1, 1))), (0, 1))
    changed = ops.add(weight, ops.matmul(factor, factor))
    added = ops.scatter_add(words, ops.exp(ops.matmul(ops.tanh(taken), factor)), (32, 32), 0)
    plan = schedule([few, changed, added], [words, table, weight, factor], [-1, 2, -1])
    assert plan.donated == (-1, 2, -1)
    writing = next(i for i, k in enumerate(plan.kernels) if plan.results[1] in k.outputs)
    checking = [i for i, k in enumerate(plan.kernels) if words in k.inputs]
    assert min(i for i in checking if plan.results[0] not in plan.kernels[i].outputs) < writing
