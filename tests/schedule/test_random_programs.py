"""Random programs, scheduled and emulated kernel by kernel, give what the interpreter gives."""

from __future__ import annotations

import numpy as np
from emulator import emulate
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import Program, programs
from strategies import steady

from glubina.graph import expand, interpret, simplify, verify
from glubina.schedule import rows
from glubina.schedule.plan import labels, schedule


def check_program(program: Program, simplified: bool = True) -> int:
    """Schedule, emulate, compare; returns the number of kernels."""
    outputs = expand(program.outputs)
    if simplified:
        outputs = simplify(outputs)
    verify(outputs)
    expected = interpret(outputs, program.bindings)
    plan = schedule(outputs, program.inputs, program.donated)
    assert plan.donated == tuple(program.donated)
    assert len(labels(plan.kernels)) == len(plan.kernels)
    found = emulate(plan, program.bindings)
    for value, want, node in zip(found, expected, program.outputs, strict=True):
        np.testing.assert_array_equal(value.reshape(node.shape), want)
    return len(plan.kernels)


@given(programs(), st.booleans())
@steady(250)
def test_random_programs(program: Program, simplified: bool) -> None:
    check_program(program, simplified)


@given(programs(20))
@steady(150)
def test_random_programs_with_kernels_over_rows(program: Program) -> None:
    """Two rows are enough to go row by row, so that such kernels meet all other kinds."""
    fewest, rows.FEWEST_ROWS = rows.FEWEST_ROWS, 2
    try:
        check_program(program)
    finally:
        rows.FEWEST_ROWS = fewest
