"""What native programs compute is what the NumPy interpreter computes."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import Compiled, assert_close
from hypothesis import given
from hypothesis import strategies as st
from primitives import PRIMITIVES, cases
from random_graphs import Program, programs
from strategies import steady

from glubina.graph import expand, interpret, ops, simplify

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


@pytest.mark.parametrize("name", PRIMITIVES)
@given(data=st.data(), dtype=st.sampled_from([F32, F64]))
@steady(8)
def test_every_primitive(name: str, data: st.DataObject, dtype: np.dtype) -> None:
    case = data.draw(cases(name, dtype))
    (wanted,) = interpret([case.node], case.bindings)
    (found,) = Compiled([case.node], list(case.bindings)).run_alike(case.bindings)
    assert_close(found, wanted)


@given(programs())
@steady(40)
def test_random_programs(program: Program) -> None:
    wanted = interpret(simplify(expand(program.outputs)), program.bindings)
    compiled = Compiled(program.outputs, program.inputs, program.donated)
    for found, want in zip(compiled.run_alike(program.bindings), wanted, strict=True):
        assert_close(found, want, scale=10)


def test_two_products_that_work_out_alike_operands_live_in_one_program() -> None:
    """Each has a stage for its operand; their names must differ."""
    x, y = ops.input((2, 3, 4), F32), ops.input((3, 2, 3, 3), F32)
    spread = ops.broadcast(x, (3, 2, 3, 4))
    outputs = [
        ops.matmul(y, spread),
        ops.tanh(ops.matmul(y, spread)),
        ops.matmul(ops.exp(y), spread),
    ]
    random = np.random.default_rng(0)
    bindings = {n: random.standard_normal(n.shape).astype(F32) for n in (x, y)}
    found = Compiled(outputs, [x, y]).run_alike(bindings)
    for value, want in zip(found, interpret(outputs, bindings), strict=True):
        assert_close(value, want)
