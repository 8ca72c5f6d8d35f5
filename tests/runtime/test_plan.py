"""Plans: they go to JSON and back, and a damaged one is told from a good one."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_kernels import PLAN

from glubina.runtime.plan import Call, Entry, Plan, PlanError, Spec


def test_json_round_trip() -> None:
    assert Plan.from_json(PLAN.to_json()) == PLAN
    assert Plan.from_json(PLAN.to_json().encode()) == PLAN


def test_bytes_of_a_spec() -> None:
    assert [s.nbytes for s in PLAN.inputs] == [24, 8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": (Spec((-1,), "float32"),)}, r"input 0 has the shape \(-1,\)"),
        ({"outputs": (Spec((2,), "float33"),)}, "output 0 has the dtype 'float33'"),
        ({"table": ()}, "slot 0 must be the status block, it is missing"),
        ({"table": (Entry("input", 0),)}, "slot 0 must be the status block, it is input"),
        ({"table": (Entry("status"), Entry("input", 2))}, "slot 1 is input 2, of 2"),
        ({"table": (Entry("status"), Entry("arena", 129))}, "slot 1 is arena 129"),
        ({"arena_bytes": -1}, "slot 3 is arena 64"),
        ({"donated": ()}, "donated has 0 items for its 1 outputs"),
        ({"donated": (2,)}, "input 2 is donated but does not exist"),
        ({"calls": (Call("f", (), "", 1),)}, "call 0 is of kernel 1, of 1"),
        ({"calls": (Call("", ()),)}, "call 0 names no function"),
    ],
)
def test_contradictions(change: dict[str, object], message: str) -> None:
    broken = dataclasses.replace(PLAN, **change)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=message):
        broken.validate()
    with pytest.raises(PlanError, match=message):
        Plan.from_json(broken.to_json())


def test_an_input_is_donated_once() -> None:
    spec = Spec((1,), "float32")
    plan = dataclasses.replace(PLAN, outputs=(spec, spec), donated=(0, 0))
    with pytest.raises(PlanError, match="donated twice"):
        plan.validate()


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"inputs": []}', "\x00\xff"])
def test_what_is_no_plan(text: str) -> None:
    with pytest.raises(PlanError):
        Plan.from_json(text)


def test_the_place_of_damage_is_told() -> None:
    data = json.loads(PLAN.to_json())
    data["calls"][1]["args"] = [1, 2.5]
    with pytest.raises(PlanError, match=r"calls\[1\]\.args\[1\] should be an integer, it is 2\.5"):
        Plan.from_json(json.dumps(data))


@given(st.data())
def test_any_cut_or_changed_text_is_refused_or_read(data: st.DataObject) -> None:
    text = PLAN.to_json()
    position = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from('0"[]{},x-'))
    for broken in (text[:position], text[:position] + letter + text[position + 1 :]):
        try:
            Plan.from_json(broken)
        except PlanError:
            continue
