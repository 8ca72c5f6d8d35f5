"""Which outputs take the memory of which inputs, and that nobody reads it too late."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from emulator import emulate
from hypothesis import given
from hypothesis import strategies as st
from strategies import F32, F64, I64, steady

from glubina.graph import Node, interpret, ops
from glubina.schedule.plan import Schedule, needed_inputs, schedule


def run(outputs: list[Node], inputs: list[Node], donated: list[int]) -> Schedule:
    random = np.random.default_rng(3)
    bindings = {n: random.standard_normal(n.shape).astype(n.dtype) for n in inputs}
    plan = schedule(outputs, inputs, donated)
    for found, want in zip(emulate(plan, bindings), interpret(outputs, bindings), strict=True):
        np.testing.assert_array_equal(found.reshape(want.shape), want)
    return plan


def test_an_update_in_place() -> None:
    w, g = ops.input((3, 4), F64), ops.input((3, 4), F64)
    assert run([ops.subtract(w, g)], [w, g], [0]).donated == (0,)


def test_two_moments_and_a_parameter_in_place() -> None:
    w, m, v, g = (ops.input((5,), F64) for _ in range(4))
    tenth = ops.full_like(w, 0.1)
    m2 = ops.add(m, ops.multiply(tenth, ops.subtract(g, m)))
    v2 = ops.add(v, ops.multiply(tenth, ops.subtract(ops.multiply(g, g), v)))
    w2 = ops.subtract(w, ops.divide(m2, ops.add(ops.sqrt(ops.absolute(v2)), tenth)))
    plan = run([m2, v2, w2], [w, m, v, g], [1, 2, 0])
    assert plan.donated == (1, 2, 0)
    assert len(plan.kernels) == 1


def test_the_update_waits_for_other_readers() -> None:
    """The product reads the old weights; the update of the weights must come after it."""
    w, x = ops.input((4, 4), F64), ops.input((4, 4), F64)
    product = ops.sum(ops.matmul(x, w), (0, 1))
    plan = run([ops.multiply(w, ops.full_like(w, 0.5)), product], [w, x], [0, -1])
    assert plan.donated == (0, -1)


def test_the_old_value_can_be_an_output_too() -> None:
    w = ops.input((4,), F64)
    plan = run([ops.negative(w), w, ops.reshape(w, (2, 2))], [w], [0, -1, -1])
    assert plan.donated == (0, -1, -1)


def copies(plan: Schedule) -> int:
    """How many kernels at the end only copy."""
    return sum([o.op.name for o in k.outputs] == ["detach"] for k in plan.kernels)


@pytest.mark.parametrize(
    "moved",
    [
        lambda w: ops.add(w, ops.transpose(w, (1, 0))),
        lambda w: ops.flip(w, (0,)),
        lambda w: ops.pad(ops.slice(w, (1, 0), (2, 3), (1, 1)), (1, 0), (0, 0)),
        lambda w: ops.add(w, ops.broadcast(ops.slice(w, (0, 0), (1, 3), (1, 1)), (3, 3))),
        lambda w: ops.add(w, ops.matmul(w, ops.exp(w))),
        lambda w: ops.add(w, ops.restored(ops.sum(w, (1,)), (1,), (3, 3))),
    ],
)
def test_a_moved_read_makes_a_copy(moved: Callable[[Node], Node]) -> None:
    """Elements that are still to be read must not be overwritten: the result is copied later."""
    w = ops.input((3, 3), F64)
    plan = run([moved(w)], [w], [0])
    assert plan.donated == (0,)
    assert copies(plan) == 1 or len(plan.kernels) > 1


def test_a_read_in_a_reduction_of_the_same_kernel_makes_a_copy() -> None:
    v = ops.input((3,), F64)
    plan = run([ops.add(ops.sum(ops.broadcast(v, (2, 3)), (0,)), v)], [v], [0])
    assert plan.donated == (0,)
    assert copies(plan) == 1


def test_the_update_at_the_end_of_a_product_is_in_place() -> None:
    w, x, g = ops.input((3, 4), F64), ops.input((2, 3), F64), ops.input((2, 4), F64)
    step = ops.matmul(ops.swap_last(x), g)
    plan = run([ops.subtract(w, step)], [w, x, g], [0])
    assert plan.donated == (0,)
    assert [k.kind for k in plan.kernels] == ["matmul"]


def test_a_circle_of_swaps_keeps_what_it_can() -> None:
    """Two inputs become each other: one of them must be kept aside for a moment."""
    a, b = ops.input((64,), F64), ops.input((8, 8), F64)
    one = ops.full_like(a, 1)
    flat = ops.reshape(b, (64,))
    turned = ops.reshape(ops.transpose(ops.reshape(a, (8, 8)), (1, 0)), (64,))
    plan = run([ops.add(flat, one), ops.subtract(turned, one)], [a, b], [0, 1])
    assert plan.donated == (0, 1)
    assert copies(plan) == 1


def test_one_input_is_taken_once() -> None:
    w = ops.input((4,), F64)
    plan = run([ops.negative(w), ops.exp(w)], [w], [0, 0])
    assert sorted(plan.donated) == [-1, 0]


def test_other_sizes_and_dtypes_are_not_taken() -> None:
    w, v = ops.input((4,), F64), ops.input((4,), F32)
    outputs = [ops.sum(w, (0,)), ops.cast(w, F32), ops.cast(w, I64)]
    assert run(outputs, [w, v], [0, 0, 0]).donated == (-1, -1, -1)
    assert run([ops.cast(w, F32)], [w, v], [1]).donated == (1,)


def test_a_reshaped_result_may_be_in_place() -> None:
    w = ops.input((4, 6), F64)
    plan = run([ops.reshape(ops.exp(ops.reshape(w, (24,))), (6, 4))], [w], [0])
    assert plan.donated == (0,)


def test_wide_and_deep_expressions_are_checked_in_linear_time() -> None:
    """A doubling chain has 2^60 ways down to the input; each node must be looked at once."""
    w = ops.input((4,), F32)
    node = w
    for _ in range(60):
        node = ops.multiply(node, node)
    assert run([node], [w], [0]).donated == (0,)
    for _ in range(3000):
        node = ops.negative(node)
    assert run([node], [w], [0]).donated == (0,)


@given(st.permutations(range(4)), st.lists(st.integers(-1, 3), min_size=4, max_size=4))
@steady(60)
def test_any_wishes(order: list[int], wishes: list[int]) -> None:
    """Every output reads two inputs, one turned: whatever is wished, the values are right."""
    inputs = [ops.input((3, 3), F64) for _ in range(4)]
    outputs = [
        ops.add(inputs[i], ops.swap_last(inputs[j]) if j % 2 else inputs[j])
        for i, j in enumerate(order)
    ]
    plan = run(outputs, inputs, wishes)
    assert {d for d in plan.donated if d >= 0} == {w for w in wishes if w >= 0}


def test_copies_of_inputs_and_of_repeated_outputs() -> None:
    x = ops.input((2, 3), F64)
    y = ops.exp(x)
    outputs = [x, y, y, ops.reshape(y, (6,)), ops.reshape(x, (3, 2)), x]
    plan = run(outputs, [x], [-1] * 6)
    assert len(set(plan.results)) == 6


def test_constants_and_counters_can_be_outputs() -> None:
    one = ops.constant(1, F64)
    outputs = [one, ops.broadcast(one, (2, 3)), ops.iota((2, 3), 1, F64), ops.exp(one), one]
    assert len(set(run(outputs, [], [-1] * 5).results)) == 5


def test_empty_arrays() -> None:
    x = ops.input((0, 3), F64)
    run([ops.sum(x, (0,)), ops.exp(x), ops.concat([x, x], 1)], [x], [-1, 0, -1])


def test_needed_inputs() -> None:
    x, y = ops.input((2,), F64), ops.input((2,), F64)
    assert needed_inputs([ops.exp(x), ops.constant(1, F64)]) == {x}
    assert needed_inputs([ops.add(x, y)]) == {x, y}


def test_what_can_fail_runs_before_anything_is_overwritten() -> None:
    """A refused index leaves the inputs that the program was going to overwrite as they were."""
    table = ops.input((4, 3), np.dtype(np.float32))
    index = ops.input((5,), np.dtype(np.int64))
    weight, factor = (ops.input((50, 50), np.dtype(np.float32)) for _ in range(2))
    taken = ops.sum(ops.take(table, index, 0), (0, 1))
    changed = ops.add(weight, ops.matmul(factor, factor))
    plan = schedule([changed, taken], [table, index, weight, factor], [2, -1])
    assert plan.donated == (2, -1)
    raising = next(i for i, k in enumerate(plan.kernels) if table in k.inputs)
    writing = next(i for i, k in enumerate(plan.kernels) if plan.results[0] in k.outputs)
    assert raising < writing


def test_what_fails_as_it_writes_overwrites_nothing() -> None:
    """A kernel that looks up rows checks while it writes, so its result is moved in afterwards."""
    table, weight = ops.input((4,), F32), ops.input((50,), F32)
    index = ops.input((50,), I64)
    changed = ops.add(weight, ops.take(table, index, 0))
    plan = schedule([changed], [table, index, weight], [2])
    assert plan.donated == (2,)
    assert copies(plan) == 1
