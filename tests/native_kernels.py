"""Small kernels written by hand, for testing what runs them."""

import numpy as np

from glubina.codegen.emitter import Function
from glubina.codegen.target import host
from glubina.codegen.values import Value
from glubina.runtime.buffer import Buffer
from glubina.runtime.compiler import compile_ir
from glubina.runtime.plan import Call, Entry, KernelInfo, Plan, Spec
from glubina.runtime.program import Program

# a plan with something of everything, which no code belongs to
PLAN = Plan(
    inputs=(Spec((2, 3), "float32"), Spec((), "int64")),
    outputs=(Spec((2, 3), "float32"),),
    donated=(0,),
    table=(Entry("status"), Entry("input", 0), Entry("output", 0), Entry("arena", 64)),
    arena_bytes=128,
    calls=(Call("f", (1, 2, 3, -6), "first", 0), Call("g", (), "second", 0)),
    kernels=(KernelInfo("map", 6, 24, 24),),
)

HUGE = 10**9  # work that is always shared between threads


def begin(name: str, buffers: int) -> tuple[Function, list[Value], Value, Value]:
    """A kernel: its function, its buffers, and the range of elements of this thread."""
    f = Function(name, [("table", "ptr"), ("args", "ptr"), ("thread", "i64"), ("threads", "i64")])
    table, args, thread, threads = f.parameters
    pointers = []
    for k in range(buffers):
        slot = f.load(f.element(args, f.i64(k), "i64"), "i64")
        pointers.append(f.load(f.element(table, slot, "ptr"), "ptr"))
    count = f.load(f.element(args, f.i64(buffers), "i64"), "i64")
    start = f.binary("sdiv", f.mul(count, thread), threads)
    stop = f.binary("sdiv", f.mul(count, f.add(thread, f.i64(1))), threads)
    return f, pointers, start, stop


def finish(f: Function) -> str:
    f.return_()
    return "\n".join([f.text(), *sorted(f.declarations)])


def add(name: str = "add") -> str:
    """c = a + b."""
    f, (a, b, c), start, stop = begin(name, 3)
    with f.loop(start, stop, f.i64(1)) as loop:
        x, y = (f.load(f.element(p, loop.index, "float"), "float") for p in (a, b))
        f.store(f.fadd(x, y), f.element(c, loop.index, "float"))
    return finish(f)


def reverse(name: str = "reverse") -> str:
    """b[i] = a[n - 1 - i] / 2 + i: reads what other threads have written before."""
    f, (a, b), start, stop = begin(name, 2)
    count = f.load(f.element(f.parameters[1], f.i64(2), "i64"), "i64")
    with f.loop(start, stop, f.i64(1)) as loop:
        other = f.sub(f.sub(count, f.i64(1)), loop.index)
        x = f.load(f.element(a, other, "float"), "float")
        half = f.fmul(x, f.const(0.5, "float"))
        value = f.fadd(half, f.convert("sitofp", loop.index, "float"))
        f.store(value, f.element(b, loop.index, "float"))
    return finish(f)


def fail_negative(name: str = "fail_negative") -> str:
    """Raises error 7 with the place and value of a negative integer in `a`; slot 0 is `status`."""
    f, (status, a), start, stop = begin(name, 2)
    with f.loop(start, stop, f.i64(1)) as loop:
        x = f.load(f.element(a, loop.index, "i64"), "i64")
        with f.when(f.compare("slt", x, f.i64(0))):
            for word, value in enumerate((f.i64(7), f.i64(0), loop.index, x)):
                f.store(value, f.element(status, f.i64(word), "i64"))
    return finish(f)


def increase(name: str = "increase") -> str:
    """a = a + step, integers; the step is the last argument."""
    f, (a,), start, stop = begin(name, 1)
    step = f.load(f.element(f.parameters[1], f.i64(2), "i64"), "i64")
    with f.loop(start, stop, f.i64(1)) as loop:
        p = f.element(a, loop.index, "i64")
        f.store(f.add(f.load(p, "i64"), step), p)
    return finish(f)


def lopsided(name: str = "lopsided") -> str:
    """a[0] = number of threads; all but the first thread have work, about a millisecond each."""
    f, (a,), _, _ = begin(name, 1)
    _, _, thread, threads = f.parameters
    with f.when(f.compare("eq", thread, f.i64(0))):
        f.store(threads, a)
    with f.when(f.compare("sgt", thread, f.i64(0))):
        one = f.const(1.0, "double")
        with f.loop(f.i64(0), f.i64(300_000), f.i64(1), [one]) as loop:
            loop.carry([f.fdiv(one, f.fadd(loop.values[0], one))])
        f.store(loop.results[0], f.element(a, thread, "double"))
    return finish(f)


def adder(n: int, work: int = HUGE) -> Program:
    """A program of one call: output = input 0 + input 1."""
    spec = Spec((n,), "float32")
    table = (Entry("status"), Entry("input", 0), Entry("input", 1), Entry("output", 0))
    calls = (Call("add", (1, 2, 3, n), "add", 0),)
    kernels = (KernelInfo("sum", work),)
    plan = Plan((spec, spec), (spec,), (-1,), table, 0, calls, kernels)
    return Program(plan, compile_ir([add()], host()))


def pipeline(n: int, length: int, works: tuple[int, ...] = (HUGE,)) -> Program:
    """`length` reversals, each of which needs all of the one before; through the arena."""
    spec = Spec((n,), "float32")
    table = (
        Entry("status"),
        Entry("input", 0),
        Entry("output", 0),
        Entry("arena", 0),
        Entry("arena", 4096 * (1 + n // 1024)),
    )
    calls, source = [], 1
    for k in range(length):
        into = 2 if k == length - 1 else 3 + k % 2
        calls.append(Call("reverse", (source, into, n), f"reverse {k}", k))
        source = into
    kernels = tuple(KernelInfo(f"reverse {k}", works[k % len(works)]) for k in range(length))
    plan = Plan((spec,), (spec,), (-1,), table, 8192 * (1 + n // 1024), tuple(calls), kernels)
    return Program(plan, compile_ir([reverse()], host()))


def pipeline_reference(x: np.ndarray, length: int) -> np.ndarray:
    for _ in range(length):
        x = x[::-1] * np.float32(0.5) + np.arange(len(x), dtype=np.float32)
    return x


def counter(n: int) -> Program:
    """Adds 1 to its state, in place."""
    spec = Spec((n,), "int64")
    table = (Entry("status"), Entry("input", 0), Entry("output", 0))
    calls = (Call("increase", (2, n, 1)),)
    return Program(Plan((spec,), (spec,), (0,), table, 0, calls), compile_ir([increase()], host()))


def lopsided_program() -> Program:
    """Tells in output[0] how many threads ran it; the first is the one without work."""
    spec = Spec((8,), "int64")
    plan = Plan(
        (), (spec,), (-1,), (Entry("status"), Entry("output", 0)), 0, (Call("lopsided", (1, 8)),)
    )
    return Program(plan, compile_ir([lopsided()], host()))


def failing(n: int, work: int, step: int = 0) -> Program:
    """Adds 1 to its marks, checks that no number is negative, adds 2 and `step` to the numbers."""
    spec = Spec((n,), "int64")
    table = (Entry("status"), Entry("input", 0), Entry("output", 0))
    calls = (
        Call("increase", (2, n, 1), "", 0),
        Call("fail_negative", (0, 1, n), "", 1),
        Call("increase", (2, n, 2), "", 2),
        Call("increase", (1, n, step), "", 2),
    )
    names = ("mark", "check labels", "mark again")
    kernels = tuple(KernelInfo(name, work) for name in names)
    plan = Plan((spec,), (spec,), (-1,), table, 0, calls, kernels)
    return Program(plan, compile_ir([increase(), fail_negative()], host()))


def buffers(*arrays: np.ndarray) -> list[Buffer]:
    return [Buffer.from_array(a) for a in arrays]
