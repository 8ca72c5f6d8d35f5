"""Whole training steps, scheduled and emulated: the interpreter's values, and all in place."""

from __future__ import annotations

import numpy as np
from emulator import emulate
from hypothesis import given
from networks import training_steps
from random_graphs import Program
from strategies import steady

from glubina.graph import expand, interpret, simplify
from glubina.schedule.plan import schedule


@given(training_steps())
@steady(60)
def test_random_networks(program: Program) -> None:
    outputs = simplify(expand(program.outputs))
    plan = schedule(outputs, program.inputs, program.donated)
    found = emulate(plan, program.bindings)
    for value, want in zip(found, interpret(outputs, program.bindings), strict=True):
        np.testing.assert_array_equal(value.reshape(want.shape), want)
    assert plan.donated == tuple(program.donated), "an update that is not in place"
