"""Compiles a kernel's LLVM text in this process and runs its stages, one thread after the other."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

import llvmlite.binding as llvm
import numpy as np

from glubina.codegen.target import Target, host
from glubina.graph.interpreter import interpret
from glubina.schedule.kernel import Kernel

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_engines: dict[str, object] = {}


def compile_text(text: str, target: Target | None = None, shared: Iterable[str] = ()):
    """An execution engine that holds the module's functions, and those of shared modules."""
    target = target or host()
    module = llvm.parse_assembly(text)
    for other in shared:
        module.link_in(llvm.parse_assembly(other))
    module.verify()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3
    )
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def aligned(shape: tuple[int, ...], dtype: np.dtype, fill: int = 0xA5) -> np.ndarray:
    """An array on a 64-byte boundary, with guard bytes after it."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.full(size + 192, fill, np.uint8)
    start = -raw.ctypes.data % 64
    array = raw[start : start + size].view(dtype).reshape(shape)
    return array


class Guarded:
    """A buffer whose surroundings are checked after the kernel ran."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self.raw = np.full(size + 256, 0xA5, np.uint8)
        self.start = -(self.raw.ctypes.data + 64) % 64 + 64
        self.stop = self.start + size
        self.array = self.raw[self.start : self.stop].view(dtype).reshape(shape)

    def check(self) -> None:
        assert (self.raw[: self.start] == 0xA5).all(), "written before the buffer"
        assert (self.raw[self.stop :] == 0xA5).all(), "written behind the buffer"


class Status(Exception):
    """What a kernel raised: code, kernel, index, value."""


def run(lowering, kernel: Kernel, inputs: list[np.ndarray], threads: int = 1) -> list[np.ndarray]:
    """The kernel's outputs for the inputs."""
    engine = _engines.get(lowering.key)
    if engine is None:
        engine = _engines[lowering.key] = compile_text(
            lowering.ir(), shared=[ir() for ir in lowering.shared.values()]
        )
    held = []
    for node, value in zip(kernel.inputs, inputs, strict=True):
        buffer = Guarded(node.shape, node.dtype)
        buffer.array[...] = value
        held.append(buffer)
    held += [Guarded(node.shape, node.dtype) for node in kernel.outputs]
    status = np.zeros(4, np.int64)
    work = [Guarded((size,), np.dtype(np.uint8)) for size in lowering.workspaces]
    addresses = [status.ctypes.data]
    addresses += [b.array.ctypes.data if b.array.size else b.raw.ctypes.data for b in held + work]
    table = np.array(addresses, np.uint64)
    for stage in lowering.stages:
        slots = [1 + b if b >= 0 else len(held) - b for b in stage.buffers]
        args = np.array([*slots, *stage.arguments], np.int64)
        function = KERNEL(engine.get_function_address(stage.symbol))
        for thread in range(threads):
            function(table.ctypes.data, args.ctypes.data, thread, threads)
    for buffer in held + work:
        buffer.check()
    if status[0]:
        raise Status(status.tolist())
    return [b.array.copy() for b in held[len(kernel.inputs) :]]


def check(lowering, kernel: Kernel, inputs: list[np.ndarray], rtol: float, atol: float) -> None:
    """The same bits for 1, 2 and 3 threads, and near what the interpreter gives."""
    results = [run(lowering, kernel, inputs, threads) for threads in (1, 2, 3)]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes(), "the result depends on the number of threads"
    bindings = dict(zip(kernel.inputs, inputs, strict=True))
    expected = interpret(kernel.outputs, bindings)
    for node, got, want in zip(kernel.outputs, results[0], expected, strict=True):
        if node.dtype.kind == "f":
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(got, want)
