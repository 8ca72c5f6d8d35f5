"""The emitter: what it leaves out, what it takes out of loops, and what it must leave in place."""

from __future__ import annotations

import ctypes

import llvmlite.binding as llvm
import pytest

from glubina.codegen.emitter import Function, module
from glubina.codegen.target import host
from glubina.codegen.values import Value
from glubina.runtime.compiler import compile_ir, unbundle


def _function(returns: str = "i64") -> tuple[Function, Value, Value]:
    f = Function("sample", [("a", "i64"), ("b", "i64")], returns)
    return f, f.parameters[0], f.parameters[1]


def _run(f: Function, a: int, b: int) -> int:
    (code,) = unbundle(compile_ir([module([f])], host()))
    target = llvm.Target.from_triple(host().triple).create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    return int(call(engine.get_function_address("sample"))(a, b))


def _block_of(f: Function, piece: str) -> str:
    """The label of the block in which the only line with this piece stands."""
    label, found = "", []
    for line in f.text().splitlines():
        if line.endswith(":"):
            label = line[:-1]
        elif piece in line:
            found.append(label)
    assert len(found) == 1, f"{piece} in {found}"
    return found[0]


def test_what_is_known_is_not_worked_out_again() -> None:
    f, a, b = _function()
    assert f.add(a, b) == f.add(a, b)
    assert f.add(a, b) != f.add(b, a)
    f.return_(f.mul(f.add(a, b), f.add(a, b)))
    assert f.text().count("add i64") == 2
    assert _run(f, 3, 4) == 49


def test_constants_are_worked_out_at_once() -> None:
    f, a, _ = _function()
    assert f.mul(f.sub(f.add(f.i64(2), f.i64(3)), f.i64(7)), f.i64(4)).name == "-8"
    assert f.add(a, f.i64(0)) == a
    assert f.mul(f.i64(1), a) == a
    assert f.element(Value("%p", "ptr"), f.i64(0), "float").name == "%p"


def test_a_loop_is_relieved_of_what_does_not_depend_on_it() -> None:
    f, a, b = _function()
    with f.loop(f.i64(0), a, f.i64(1), [f.i64(0)]) as outer:
        with f.loop(f.i64(0), b, f.i64(1), outer.values) as inner:
            once = f.mul(a, b)
            by_row = f.mul(outer.index, a)
            each = f.mul(inner.index, b)
            total = f.add(f.add(once, by_row), each)
            inner.carry([f.add(inner.values[0], total)])
        outer.carry(inner.results)
    f.return_(outer.results[0])
    assert _block_of(f, "mul i64 %a, %b") == "entry"
    assert _block_of(f, f"mul i64 {outer.index.name}, %a").startswith("body")
    assert _block_of(f, f"mul i64 {outer.index.name}") != _block_of(
        f, f"mul i64 {inner.index.name}"
    )
    a_, b_ = 5, 7
    assert _run(f, a_, b_) == sum(a_ * b_ + i * a_ + j * b_ for i in range(a_) for j in range(b_))


def test_what_a_loop_leaves_is_known_after_it() -> None:
    f, a, b = _function()
    with f.loop(f.i64(0), a, f.i64(1), [f.i64(1)]) as first:
        first.carry([f.mul(first.values[0], b)])
    power = first.results[0]
    with f.loop(f.i64(0), a, f.i64(1), [f.i64(0)]) as second:
        second.carry([f.add(second.values[0], f.sub(power, b))])
    f.return_(second.results[0])
    assert _block_of(f, "sub i64").startswith("done")
    assert _run(f, 3, 5) == 3 * (125 - 5)


def test_what_is_worked_out_under_a_condition_is_not_known_after_it() -> None:
    f, a, b = _function("void")
    with f.when(f.compare("slt", a, b)):
        f.sub(b, a)
    f.sub(b, a)
    f.return_()
    assert f.text().count("sub i64 %b, %a") == 2


def test_nor_in_a_block_that_control_may_reach_without_it() -> None:
    f, a, b = _function("void")
    f.add(a, b)
    f.line("br label %next")
    f.block("next")
    f.add(a, b)
    f.return_()
    assert f.text().count("add i64 %a, %b") == 2


def test_what_may_fail_stays_where_it_is() -> None:
    f, a, b = _function()
    with f.loop(f.i64(0), a, f.i64(1), [f.i64(0)]) as loop:
        may_fail = f.binary("udiv", a, b)
        loop.carry([f.add(loop.values[0], f.add(may_fail, f.binary("udiv", b, f.i64(2))))])
    f.return_(loop.results[0])
    assert _block_of(f, "udiv i64 %a, %b").startswith("body")
    assert _block_of(f, "udiv i64 %b, 2") == "entry"
    assert _run(f, 0, 0) == 0


@pytest.mark.parametrize("exists", [False, True])
def test_a_load_is_taken_out_only_where_its_address_always_exists(exists: bool) -> None:
    f = Function("sample", [("p", "ptr"), ("n", "i64")], "i64")
    pointer, count = f.parameters
    with f.loop(f.i64(0), count, f.i64(1), [f.i64(0)]) as loop:
        loop.carry([f.add(loop.values[0], f.invariant_load(pointer, "i64", exists))])
    f.return_(loop.results[0])
    assert (_block_of(f, "load i64") == "entry") is exists


def test_a_loop_of_one_round_is_none() -> None:
    f, a, b = _function()
    with f.loop(f.i64(3), f.i64(8), f.i64(5), [a]) as loop:
        assert loop.index.name == "3"
        loop.carry([f.add(loop.values[0], b)])
    f.return_(loop.results[0])
    assert "phi" not in f.text()
    assert _run(f, 2, 40) == 42


@pytest.mark.parametrize(("start", "stop", "rounds"), [(0, 0, 0), (4, 2, 0), (0, 6, 2), (0, 5, 1)])
def test_constant_loops_have_their_rounds(start: int, stop: int, rounds: int) -> None:
    f, a, b = _function()
    with f.loop(f.i64(start), f.i64(stop), f.i64(5), [a]) as loop:
        loop.carry([f.add(loop.values[0], b)])
    f.return_(loop.results[0])
    assert _run(f, 1, 10) == 1 + 10 * rounds
