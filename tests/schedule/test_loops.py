"""Native loops against the interpreter, and how they are laid out."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import Compiled, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_examples import EXAMPLES, loss_of, recurrent, two_states, values

from glubina.graph import gradients, interpret, ops
from glubina.runtime import observers
from glubina.runtime.plan import Plan, PlanError
from glubina.runtime.program import ProgramError
from glubina.tensor.debug import graph_text, kernels_text

float32 = np.dtype(np.float32)


@pytest.mark.parametrize("name", EXAMPLES)
def test_native_loops_do_what_the_interpreter_does(name):
    results, inputs, given_ = EXAMPLES[name]("float32")
    loss = loss_of(results)
    found = gradients(loss, inputs)
    second = gradients(ops.sum(ops.multiply(found[0], found[0]), (0, 1, 2)), inputs)
    for outputs in (results[:1], results[1:], [loss, *found], [*results, *found, *second]):
        program = Compiled(outputs, inputs)
        for a, b in zip(program.run_alike(given_), interpret(outputs, given_), strict=True):
            assert_close(a, b, 10)


@settings(max_examples=12, deadline=None)
@given(
    steps=st.integers(1, 5), batch=st.integers(1, 9), features=st.integers(1, 20),
    hidden=st.integers(1, 40), reverse=st.booleans(),
)  # fmt: skip
def test_recurrences_of_any_size(steps, batch, features, hidden, reverse):
    results, inputs, given_ = recurrent(steps, batch, features, hidden, reverse)
    outputs = [*results, *gradients(loss_of(results), inputs)]
    program = Compiled(outputs, inputs)
    for a, b in zip(program.run_alike(given_), interpret(outputs, given_), strict=True):
        assert_close(a, b, 10)


def test_a_loop_on_several_threads():
    results, inputs, given_ = recurrent(5, 32, 24, 64, True)
    outputs = [*results, *gradients(loss_of(results), inputs)]
    program = Compiled(outputs, inputs)
    for a, b in zip(program.run_alike(given_), interpret(outputs, given_), strict=True):
        assert_close(a, b, 20)


def test_a_program_is_run_again_with_other_values():
    results, inputs, given_ = two_states(4, 3, 5, False)
    program = Compiled(results, inputs)
    for seed in range(3):
        given_ = values(inputs, seed)
        for a, b in zip(program.run(given_), interpret(results, given_), strict=True):
            assert_close(a, b)


def test_weights_are_packed_once():
    results, inputs, _ = recurrent(7, 32, 16, 64, False)
    plan = Compiled(results, inputs).program.plan
    packs = [c for c in plan.calls if c.symbol.startswith("pack")]
    assert packs
    assert all(plan.kernels[c.kernel].times == 1 for c in packs)
    steps = [k for k in plan.kernels if k.times == 7]
    assert len(steps) == 1  # the product with the state, finished in its epilogue


def test_plans_with_loops_are_data():
    results, inputs, _ = EXAMPLES["nested"]("float32")
    plan = Compiled(results, inputs).program.plan
    assert sum(call.turn for call in plan.calls) == 4
    assert Plan.from_json(plan.to_json()) == plan


def test_plans_whose_turns_are_damaged_are_refused():
    results, inputs, _ = EXAMPLES["recurrent"]("float32")
    plan = Compiled(results, inputs).program.plan
    text = plan.to_json()
    number, turn = next((i, c) for i, c in enumerate(plan.calls) if c.turn and c.args[1])
    for place, value, message in (
        (0, 0, "of no loop"), (0, 10**6, "moves slot"), (2, number + 1, "goes back to call"),
        (3, turn.args[3] + 1, "is no turn of a loop"),
    ):  # fmt: skip
        args = list(turn.args)
        args[place] = value
        old, new = (str(list(a)).replace(" ", "") for a in (turn.args, args))
        with pytest.raises(PlanError, match=message):
            Plan.from_json(text.replace(old, new))


def test_an_error_in_a_step_ends_the_loop():
    table, steps = ops.input((4, 8), float32), ops.input((6, 3), np.dtype(np.int64))
    h = ops.input((3, 8), float32)
    (last,), _ = ops.scan(
        lambda s, x, w: ([ops.tanh(ops.add(s[0], ops.take(w[0], x[0], 0)))], []),
        [h], [steps], [table],
    )  # fmt: skip
    state = ops.take(last, ops.cast(ops.sum(last, (0, 1)), np.dtype(np.int64)), 0)
    program = Compiled([last, state], [table, steps, h])
    given_ = values([table, h]) | {steps: np.full((6, 3), 3)}
    given_[h] = np.full((3, 8), -1e-3, np.float32)
    given_[steps][4, 1] = 9
    with pytest.raises(ProgramError) as caught:
        program.run(given_, 2)
    assert (caught.value.index, caught.value.value) == (9, 4)


def test_errors_in_loops_come_before_an_input_is_overwritten():
    table, steps = ops.input((4, 8), float32), ops.input((6, 3), np.dtype(np.int64))
    h, weight = ops.input((3, 8), float32), ops.input((4, 8), float32)
    (last,), _ = ops.scan(
        lambda s, x, w: ([ops.tanh(ops.add(s[0], ops.take(w[0], x[0], 0)))], []),
        [h], [steps], [table],
    )  # fmt: skip
    updated = ops.add(weight, weight)
    program = Compiled([updated, last], [table, steps, h, weight], [3, -1])
    labels = [kernel.label for kernel in program.program.plan.kernels]
    assert program.program.plan.donated == (3, -1)
    assert labels.index("add 4x8") == len(labels) - 1


def test_the_debug_ladder_shows_what_is_inside():
    results, inputs, _ = EXAMPLES["nested"]("float32")
    text = graph_text(results)
    assert "3 steps, final state 0" in text
    assert "          next %" in text  # the inner body's end
    events = []
    with observers.schedules.watching(events.append):
        program = Compiled(results, inputs).program
    assert kernels_text(events[0].schedule).count("scan") >= 2
    times = [kernel.times for kernel in program.plan.kernels]
    assert max(times) == 6  # three steps of two
    heard = []
    with observers.runs.watching(heard.append):
        Compiled(results, inputs).run(values(inputs))
    assert len(heard[0].times) == len(program.plan.calls)
