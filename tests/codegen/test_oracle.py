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

from glubina.graph import expand, interpret, simplify

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
