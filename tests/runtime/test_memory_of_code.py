"""Machine code that nobody needs any more is gone, and making it leaves nothing behind."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

import pytest

from glubina.codegen.target import host
from glubina.runtime import compiler, loader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

_BODY = "".join(
    f"  %a{i} = load volatile i64, ptr %p\n  %b{i} = mul i64 %a{i}, {977 * i + 5}\n"
    f"  store volatile i64 %b{i}, ptr %p\n"
    for i in range(300)
)
MODULE = f"define i64 @step(ptr %p) {{\n{_BODY}  ret i64 0\n}}\n"


def _resident() -> float:
    """KiB of memory that this process has, without what it has freed."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def _maps() -> int:
    return Path("/proc/self/maps").read_text().count("\n")


def test_compiling_leaves_nothing_behind() -> None:
    def compile_some() -> None:
        for _ in range(25):
            compiler._object_code(MODULE, host())

    compile_some()
    before = _resident()
    compile_some()
    assert _resident() - before < 25 * 40  # passes that are not freed take 220 KiB each


def test_libraries_are_unloaded() -> None:
    code = compiler.compile_ir([MODULE], host())

    def load_some() -> None:
        for _ in range(3 * loader._PER_LINKER):
            loader.load(code, ["step"])

    load_some()
    before, maps = _resident(), _maps()
    load_some()
    assert _resident() - before < 3 * loader._PER_LINKER * 4
    assert _maps() <= maps + 8


def test_a_library_outlives_its_linker() -> None:
    code = compiler.compile_ir([MODULE], host())
    kept = loader.load(code, ["step"])
    for _ in range(2 * loader._PER_LINKER):
        loader.load(code, ["step"])
    gc.collect()
    word = ctypes.c_int64(3)
    step = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(kept.addresses["step"])
    assert step(ctypes.addressof(word)) == 0
    expected = 3
    for i in range(300):
        expected = expected * (977 * i + 5) % 2**64
    assert word.value % 2**64 == expected
    assert (kept.nbytes, kept.parts) == (len(code), 1)
