"""Building programs: who watches is told, and what the cache has is not made again."""

from __future__ import annotations

import numpy as np
import pytest

from glubina.codegen.target import host
from glubina.graph import GraphError, ops
from glubina.graph.node import new
from glubina.runtime import observers
from glubina.runtime.build import build, program_key

F32 = np.dtype(np.float32)


def test_compilations_are_told_and_found_again() -> None:
    x = ops.input((7, 11), F32)
    outputs = [ops.exp(ops.exp(ops.negative(x)))]
    events: list[observers.CompileEvent] = []
    with observers.compilations.watching(events.append):
        build(outputs, [x], [-1])
        build(outputs, [x], [-1])
    assert [event.cached for event in events] == [False, True]
    assert all(event.code_bytes > 0 and event.seconds > 0 for event in events)


def test_who_watches_schedules_sees_them_though_the_program_is_known() -> None:
    x = ops.input((5, 13), F32)
    outputs = [ops.tanh(x)]
    build(outputs, [x], [-1])
    events: list[observers.ScheduleEvent] = []
    with observers.schedules.watching(events.append):
        build(outputs, [x], [-1])
    assert [len(event.schedule.kernels) for event in events] == [1]


def test_keys_tell_structures_apart_and_nothing_else() -> None:
    def key(*shapes: tuple[int, ...], value: float = 1.0, donated: int = -1) -> str:
        inputs = [ops.input(shape, F32) for shape in shapes]
        outputs = [ops.add(inputs[0], ops.full_like(inputs[0], value))]
        return program_key(outputs, inputs, [donated], host())

    assert key((2, 3)) == key((2, 3))
    different = [key((2, 3)), key((3, 2)), key((2, 3), (2,)), key((2, 3), value=0.0),
                 key((2, 3), value=-0.0), key((2, 3), donated=0)]  # fmt: skip
    assert len(set(different)) == len(different)


def test_a_pass_that_breaks_the_graph_is_found() -> None:
    x = ops.input((2, 3), F32)
    wrong = ops.exp(x)
    broken = new(wrong.op, (x,), (), (3, 2), F32)
    with pytest.raises(GraphError, match="should be"):
        build([broken], [x], [-1])
