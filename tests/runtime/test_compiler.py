"""Compiling and loading: bundles, errors, the cache, and many modules at once."""

from __future__ import annotations

import ctypes
import logging
import threading
from pathlib import Path

import pytest
from native_kernels import add, reverse

from glubina.codegen.driver import driver_ir
from glubina.codegen.target import host
from glubina.runtime.cache import Cache
from glubina.runtime.compiler import (
    CompileError,
    assembly,
    bundle,
    compile_ir,
    compile_kernels,
    unbundle,
)
from glubina.runtime.gate import Gate
from glubina.runtime.loader import LoadError, load


def constant(name: str, value: int) -> str:
    return f"define i64 @{name}() {{ ret i64 {value} }}"


def call(address: int) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int64)(address)())


@pytest.mark.parametrize("objects", [[], [b""], [b"one", b"", b"three" * 100]])
def test_bundles(objects: list[bytes]) -> None:
    data = bundle(objects)
    assert unbundle(data) == objects
    for broken in (data[:-1], data + b"x", b"", data[1:]):
        with pytest.raises(ValueError, match="bundle"):
            unbundle(broken)


def test_modules_become_functions() -> None:
    code = compile_ir([constant(f"f{k}", k * k) for k in range(20)], host())
    library = load(code, [f"f{k}" for k in range(20)])
    assert [call(library.addresses[f"f{k}"]) for k in range(20)] == [k * k for k in range(20)]


def test_equal_names_in_two_libraries() -> None:
    first = load(compile_ir([constant("f", 1)], host()), ["f"])
    second = load(compile_ir([constant("f", 2)], host()), ["f"])
    assert [call(lib.addresses["f"]) for lib in (first, second, first)] == [1, 2, 1]


def test_functions_of_one_library_call_each_other_and_the_system() -> None:
    caller = (
        "declare i64 @f()\ndeclare i32 @abs(i32)\n"
        "define i64 @g() {\n  %x = call i64 @f()\n  %y = trunc i64 %x to i32\n"
        "  %z = call i32 @abs(i32 %y)\n  %w = zext i32 %z to i64\n  ret i64 %w\n}"
    )
    library = load(compile_ir([caller, constant("f", -7)], host()), ["g"])
    assert call(library.addresses["g"]) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("define i64 @f( {", "expected"),
        ("define i64 @f() { ret i32 0 }", "ret"),
        (
            "define i64 @f(i1 %c) {\n  br i1 %c, label %a, label %b\na:\n  %x = add i64 1, 1\n"
            "  br label %b\nb:\n  ret i64 %x\n}",
            "does not dominate",
        ),
    ],
)
def test_wrong_code_is_refused(text: str, message: str) -> None:
    good = [constant(f"g{k}", k) for k in range(5)]
    with pytest.raises(CompileError, match=message):
        compile_ir([*good, text, *good], host())


def test_code_is_the_same_however_many_are_compiled_at_once() -> None:
    modules = [add(f"add{k}") for k in range(6)] + [reverse(f"reverse{k}") for k in range(6)]
    together = unbundle(compile_ir(modules, host()))
    alone = [unbundle(compile_ir([m], host()))[0] for m in modules]
    assert together == alone


def test_what_is_cached_is_not_compiled(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    made: list[int] = []

    def ir(k: int) -> str:
        made.append(k)
        return constant(f"f{k}", k)

    def compiled(*numbers: int) -> bytes:
        kernels = {f"key{k}": (lambda k=k: ir(k)) for k in numbers}
        return compile_kernels(kernels, host(), cache)

    first = compiled(1, 2)
    assert made == [1, 2]
    assert compiled(1, 2) == first
    assert made == [1, 2]
    library = load(compiled(3, 1), ["f1", "f3"])
    assert made == [1, 2, 3]
    assert call(library.addresses["f3"]) == 3


def test_a_damaged_entry_is_compiled_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    first = compile_kernels({"key": lambda: constant("f", 5)}, host(), cache)
    (path,) = [p for p in tmp_path.rglob("*") if p.is_file()]
    data = path.read_bytes()
    path.write_bytes(data[:-9] + b"!" + data[-8:])
    with caplog.at_level(logging.DEBUG, "glubina"):
        assert compile_kernels({"key": lambda: constant("f", 5)}, host(), cache) == first
    assert "is damaged" in caplog.text
    assert path.read_bytes() == data


def test_what_cannot_be_loaded() -> None:
    code = compile_ir([constant("f", 1)], host())
    with pytest.raises(LoadError, match="missing"):
        load(code, ["f", "missing"])
    with pytest.raises(LoadError, match="could not be loaded"):
        load(code[:-5], ["f"])
    with pytest.raises(LoadError, match="could not be loaded"):
        load(bundle([b"no object code at all"]), ["f"])
    unresolved = "declare i64 @glubina_no_such_function()\ndefine i64 @f() {\n"
    unresolved += "  %x = call i64 @glubina_no_such_function()\n  ret i64 %x\n}"
    with pytest.raises(LoadError, match="could not be loaded"):
        load(compile_ir([unresolved], host()), ["f"])
    library = load(code, ["f"])
    assert call(library.addresses["f"]) == 1


def test_assembly_for_people() -> None:
    text = assembly(add("sum_of_two"), host())
    assert "sum_of_two:" in text


@pytest.mark.parametrize(
    "triple",
    ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "arm64-apple-darwin", "riscv64"],
)
def test_the_driver_is_valid_for_other_machines(triple: str) -> None:
    import dataclasses

    import llvmlite.binding as llvm

    text = driver_ir(dataclasses.replace(host(), triple=triple))
    module = llvm.parse_assembly(text, llvm.create_context())
    module.verify()
    assert "$" not in text
    flushed = {"x86_64": "ldmxcsr", "aarch64": "set.fpcr", "arm64": "set.fpcr"}
    assert flushed.get(triple.split("-")[0], "ret i64 0") in text


def test_ctrl_c_while_a_fork_waits_leaves_the_gate_open(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gate._changed, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gate.before_fork()
    monkeypatch.undo()
    gate.after_fork()
    entered = []

    def enter() -> None:
        with gate.inside():
            entered.append(True)

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    thread.join(20)
    assert entered
