"""LLVM IR to object code, on all cores."""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from queue import SimpleQueue
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding import ffi

from glubina.codegen.target import Target
from glubina.runtime.cache import Cache, open_cache
from glubina.runtime.gate import gate
from glubina.runtime.limits import default_threads


class CompileError(RuntimeError):
    """LLVM refused a module: a mistake of the code generator, never of the user."""


def compile_ir(modules: Sequence[str], target: Target) -> bytes:
    """Compile LLVM modules for a target; returns their object codes in one bundle.

    A module is text without triple and data layout, which are the target's. Its kernels are
    already vectorised, so LLVM only simplifies the code. Raises CompileError.
    """
    return bundle(_compile_all(modules, len(modules), target))


def compile_kernels(
    kernels: Mapping[str, Callable[[], str]], target: Target, cache: Cache | None = None
) -> bytes:
    """Object codes for kernels, in one bundle; what is in the cache is not compiled again.

    `kernels` maps each kernel's key (equal keys, equal code) to a function that makes its IR.
    """
    cache = open_cache(target) if cache is None else cache
    objects = {key: cache.read("kernel", key) for key in kernels}
    missing = [key for key, code in objects.items() if code is None]
    compiled = _compile_all((kernels[key]() for key in missing), len(missing), target)
    for key, code in zip(missing, compiled, strict=True):
        objects[key] = code
        cache.write("kernel", key, code)
    return bundle([code for code in objects.values() if code is not None])


def assembly(module: str, target: Target) -> str:
    """The assembly text that a module compiles to, for people to read."""
    with _optimised(module, target) as (machine, parsed):
        return str(machine.emit_assembly(parsed))


# -- bundles --------------------------------------------------------------------------------------

_MAGIC = b"GLBUNDLE"


def bundle(objects: Sequence[bytes]) -> bytes:
    """Several object codes as one string of bytes."""
    sizes = struct.pack(f"<{len(objects) + 1}Q", len(objects), *map(len, objects))
    return b"".join([_MAGIC, sizes, *objects])


def unbundle(data: bytes) -> list[bytes]:
    """The object codes in a bundle; raises ValueError if it is damaged."""
    if len(data) < 16 or not data.startswith(_MAGIC):
        raise ValueError("not a bundle of object code")
    (count,) = struct.unpack_from("<Q", data, 8)
    start = 16 + 8 * count
    if start > len(data):
        raise ValueError("a bundle of object code is cut off")
    objects = []
    for size in struct.unpack_from(f"<{count}Q", data, 16):
        objects.append(data[start : start + size])
        start += size
    if start != len(data):
        raise ValueError(f"a bundle of object code should have {start} bytes, it has {len(data)}")
    return objects


# -- compilation ----------------------------------------------------------------------------------


def _compile_all(modules: Iterable[str], count: int, target: Target) -> list[bytes]:
    """Compile `count` modules, each by itself, on several threads.

    They begin while the modules are still being made, which happens on this thread only; LLVM is
    never at work on it, as Ctrl-C may interrupt this thread anywhere.
    """
    results: list[bytes] = [b""] * count
    errors: list[BaseException] = []
    queue: SimpleQueue[tuple[int, str] | None] = SimpleQueue()

    def work() -> None:
        while (item := queue.get()) is not None:
            if errors:
                continue
            try:
                with gate.inside():
                    results[item[0]] = _object_code(item[1], target)
            except BaseException as error:
                errors.append(error)

    workers = min(default_threads(), count)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    try:
        for thread in threads:
            thread.start()
        for item in enumerate(modules):
            queue.put(item)
    except BaseException as error:
        errors.append(error)  # what is in the queue is let go
        raise
    finally:
        for _ in threads:
            queue.put(None)
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if errors:
        raise errors[0]
    return results


@contextmanager
def _optimised(module: str, target: Target) -> Iterator[tuple[llvm.TargetMachine, llvm.ModuleRef]]:
    """The module, simplified, and the target machine to emit it with.

    Everything is closed at the end in the order that LLVM needs: the garbage collector may free a
    context before a module in it, which crashes.
    """
    with ExitStack() as stack:
        machine = stack.enter_context(closing(target_machine(target)))
        head = f'target triple = "{target.triple}"\ntarget datalayout = "{machine.target_data}"\n'
        # a context of its own: LLVM allows work on different contexts at the same time
        context = stack.enter_context(closing(llvm.create_context()))
        try:
            parsed = stack.enter_context(closing(llvm.parse_assembly(head + module, context)))
            parsed.verify()
        except RuntimeError as error:
            raise CompileError(f"LLVM refused the generated code: {error}") from error
        _simplify(parsed, machine, stack)
        yield machine, parsed


def _simplify(module: llvm.ModuleRef, machine: llvm.TargetMachine, stack: ExitStack) -> None:
    options = stack.enter_context(closing(llvm.create_pipeline_tuning_options(speed_level=2)))
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_interleaving = options.loop_unrolling = False
    builder = stack.enter_context(closing(llvm.create_pass_builder(machine, options)))
    inline = _freed(
        llvm.create_new_module_pass_manager(), ffi.lib.LLVMPY_DisposeNewModulePassManger, stack
    )
    inline.add_always_inliner_pass()
    inline.add_global_dead_code_eliminate_pass()
    inline.run(module, builder)
    # kernels are vectorised and blocked, and what loops need not repeat is in front of them
    # already: LLVM's further passes over functions cost four times as much and bring nothing
    simplify = _freed(
        llvm.create_new_function_pass_manager(),
        ffi.lib.LLVMPY_DisposeNewFunctionPassManger,
        stack,
    )
    simplify.add_instruction_combine_pass()
    simplify.add_simplify_cfg_pass()
    for function in module.functions:
        if not function.is_declaration:
            _unlocked().LLVMPY_RunNewFunctionPassManager(simplify, function, builder)


def _freed(manager: Any, dispose: Callable[[Any], None], stack: ExitStack) -> Any:
    """The pass manager, which is freed when the stack ends.

    Its own `close` frees nothing, as of llvmlite 0.50: of its two bases the wrong one has the last
    word. The passes hold what they worked with, several times the size of the code.
    """

    def free() -> None:
        dispose(manager)
        manager.detach()

    stack.callback(free)
    return manager


def _object_code(module: str, target: Target) -> bytes:
    with _optimised(module, target) as (machine, parsed), ffi.OutputString() as error:
        memory = _unlocked().LLVMPY_TargetMachineEmitToMemory(machine, parsed, 1, error)
        if not memory:
            raise CompileError(f"LLVM could not emit the generated code: {error}")
        try:
            start = ffi.lib.LLVMPY_GetBufferStart(memory)
            return ctypes.string_at(start, ffi.lib.LLVMPY_GetBufferSize(memory))
        finally:
            ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


def target_machine(target: Target) -> llvm.TargetMachine:
    """LLVM's code generator for a target; position-independent, small code model."""
    initialise()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small"
    )


@functools.cache
def initialise() -> None:
    """Make LLVM ready for this machine's architecture."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@functools.cache
def _unlocked() -> Any:
    """LLVM's two long-running functions, without llvmlite's lock around them.

    llvmlite lets one thread at a time into LLVM, because its modules share a context unless told
    otherwise. Ours do not, and a second handle to the same library has no lock.
    """
    library = ctypes.CDLL(ffi.lib._name)
    for name in ("LLVMPY_RunNewFunctionPassManager", "LLVMPY_TargetMachineEmitToMemory"):
        locked, free = getattr(ffi.lib, name), getattr(library, name)
        free.argtypes, free.restype = locked.argtypes, locked.restype
    return library
