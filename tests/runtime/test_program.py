"""Programs: what they compute on any number of threads, their errors, their memory."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest
from native_kernels import HUGE, adder, buffers, counter, failing, pipeline, pipeline_reference

from glubina.codegen.target import host
from glubina.runtime import observers
from glubina.runtime.buffer import Buffer
from glubina.runtime.compiler import compile_ir
from glubina.runtime.loader import LoadError
from glubina.runtime.plan import Call, Plan, PlanError
from glubina.runtime.program import Program, ProgramError
from glubina.runtime.team import TEAM

THREADS = [1, 2, 3]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("n", [1, 2, 1000])
def test_a_kernel_is_shared_by_the_threads(n: int, threads: int) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, n)).astype(np.float32)
    out = Buffer(4 * n)
    adder(n).run(buffers(a, b), [out], threads)
    assert (out.array((n,), np.float32) == a + b).all()


def test_every_run_takes_its_own_buffers() -> None:
    program = adder(3)
    for k in range(5):
        a, b = np.full((2, 3), k, np.float32)
        out = Buffer(12)
        program.run(buffers(a, b), [out], 2)
        assert out.array((3,), np.float32).tolist() == [2 * k] * 3


@pytest.mark.parametrize("works", [(HUGE,), (1,), (HUGE, 1), (HUGE, 1, 1), (1, 1, HUGE)])
@pytest.mark.parametrize("threads", THREADS)
def test_kernels_wait_for_each_other(threads: int, works: tuple[int, ...]) -> None:
    # each reads what all threads wrote in the one before; some are shared, some are not
    x = np.random.default_rng(1).normal(size=77).astype(np.float32)
    program = pipeline(77, 23, works)
    expected = pipeline_reference(x, 23)
    given, out = buffers(x), Buffer(4 * 77)
    with TEAM.steadfast():
        for _ in range(10):
            out.array((77,), np.float32).fill(0)
            program.run(given, [out], threads)
            assert (out.array((77,), np.float32) == expected).all()


def test_thousands_of_runs_are_equal_to_the_bit() -> None:
    x = np.random.default_rng(2).normal(size=64).astype(np.float32)
    program = pipeline(64, 5)
    given, out = buffers(x), Buffer(256)
    expected = pipeline_reference(x, 5).tobytes()
    for threads, runs in ((1, 2000), (2, 4000), (3, 600), (4, 300), (2, 1000)):
        for _ in range(runs):
            program.run(given, [out], threads)
            assert out.array((64,), np.float32).tobytes() == expected


def test_several_python_threads_run_programs_at_once() -> None:
    first, second = pipeline(50, 9), pipeline(64, 4)
    wrong: list[str] = []

    def work(program: Program, n: int, length: int, seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=n).astype(np.float32)
        expected = pipeline_reference(x, length)
        given, out = buffers(x), Buffer(4 * n)
        for _ in range(500):
            program.run(given, [out], 2)
            if not (out.array((n,), np.float32) == expected).all():
                wrong.append(f"{n} {seed}")

    jobs = [(first, 50, 9, 1), (second, 64, 4, 2), (first, 50, 9, 3), (second, 64, 4, 4)]
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("work", [1, HUGE])
def test_an_error_stops_the_program(threads: int, work: int) -> None:
    program = failing(100, work)
    numbers = np.arange(100)
    numbers[41] = -5
    marks = Buffer.zeros(800)
    with pytest.raises(
        ProgramError, match=r"check labels.*error 7 at index 41: value -5"
    ) as caught:
        program.run(buffers(numbers), [marks], threads)
    error = caught.value
    assert (error.code, error.kernel, error.index, error.value) == (7, 1, 41, -5)
    assert error.label == "check labels"
    # the kernel before it ran, the one after it did not
    assert marks.array((100,), np.int64).tolist() == [1] * 100


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_does_not_stay(threads: int) -> None:
    program = failing(100, HUGE)
    good, bad = buffers(np.arange(100), -np.arange(100))
    for _ in range(100):
        marks = Buffer.zeros(800)
        with pytest.raises(ProgramError):
            program.run([bad], [marks], threads)
        program.run([good], [marks], threads)
        assert marks.array((100,), np.int64).tolist() == [1 + 3] * 100


@pytest.mark.parametrize("threads", THREADS)
def test_running_by_addresses(threads: int) -> None:
    program = adder(5)
    a, b, out = *buffers(*np.ones((2, 5), np.float32)), Buffer(20)
    program.run_at([a.address, b.address, out.address], threads)
    assert out.array((5,), np.float32).tolist() == [2] * 5


@pytest.mark.parametrize("threads", THREADS)
def test_many_steps_in_one_call(threads: int) -> None:
    program = counter(100)
    state = Buffer.zeros(800)
    assert program.run_many([state], [state], 1000, threads=threads) == 1000
    assert state.array((100,), np.int64).tolist() == [1000] * 100
    program.run([state], [state], threads)
    assert state.array((100,), np.int64).tolist() == [1001] * 100


@pytest.mark.parametrize("threads", THREADS)
def test_steps_end_when_the_time_is_up(threads: int) -> None:
    program = counter(1000)
    state = Buffer.zeros(8000)
    begin = time.perf_counter()
    done = program.run_many([state], [state], 10**12, threads=threads, seconds=0.05)
    assert 0.04 < time.perf_counter() - begin < 5
    assert state.array((1000,), np.int64).tolist() == [done] * 1000
    assert program.run_many([state], [state], 10, threads=threads, seconds=0) == 1


@pytest.mark.parametrize("threads", THREADS)
def test_steps_end_at_an_error(threads: int) -> None:
    # counts down from 20, and fails when it finds a negative number
    program = failing(100, HUGE, step=-1)
    state, marks = Buffer(800), Buffer.zeros(800)
    state.array((100,), np.int64).fill(20)
    with pytest.raises(ProgramError) as caught:
        program.run_many([state], [marks], 1000, threads=threads)
    assert caught.value.steps == 21
    assert caught.value.value == -1
    assert marks.array((100,), np.int64).tolist() == [21 * 3 + 1] * 100


def test_the_number_of_steps_is_checked() -> None:
    state = Buffer.zeros(80)
    with pytest.raises(ValueError, match="at least 1, it is 0"):
        counter(10).run_many([state], [state], 0)


def test_a_program_without_calls() -> None:
    plan = dataclasses.replace(adder(4).plan, calls=())
    program = Program(plan, compile_ir([], host()))
    given = [Buffer(16), Buffer(16)]
    program.run(given, [Buffer(16)])
    assert program.run_many(given, [Buffer(16)], 3) == 3


def test_buffers_are_checked() -> None:
    program = adder(4)
    good = Buffer(16)
    with pytest.raises(ValueError, match="2 inputs was given 1"):
        program.run([good], [good])
    with pytest.raises(ValueError, match=r"input 1 has 12 bytes, but float32 of shape \(4,\)"):
        program.run([good, Buffer(12)], [good])
    program.run([good, good], [good])
    with pytest.raises(ValueError, match="3 inputs and outputs was given 4"):
        program.run([good, good], [good, good])
    with pytest.raises(ValueError, match="output 0 has 8 bytes"):
        program.run_many([good, good], [Buffer(8)], 2)


def test_ctrl_c_before_a_run_tells_of_no_steps_of_the_run_before() -> None:
    program = adder(4)
    good = Buffer(16)
    program.run([good, good], [good])
    pack = program._pack

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    for again in (
        lambda: program.run([good, good], [good]),
        lambda: program.run_many([good, good], [good], 2),
    ):
        program._pack = interrupted
        with pytest.raises(KeyboardInterrupt) as raised:
            again()
        assert not getattr(raised.value, "steps_done", 0)
        program._pack = pack
        again()


def test_too_much_memory_is_told_before_the_first_run() -> None:
    program = pipeline(8, 3)
    plan = dataclasses.replace(program.plan, arena_bytes=1 << 50)
    huge = Program(plan, compile_ir(_pipeline_ir(), host()))
    with pytest.raises(MemoryError, match=r"working memory needs 1048576\.0 GiB.*available"):
        huge.run([Buffer(32)], [Buffer(32)])


def _pipeline_ir() -> list[str]:
    from native_kernels import reverse

    return [reverse()]


def test_code_without_a_function_is_refused() -> None:
    plan = dataclasses.replace(adder(4).plan, calls=(Call("missing", (1, 2, 3, 4)),))
    with pytest.raises(LoadError, match="missing"):
        Program(plan, compile_ir(_pipeline_ir(), host()))


def test_a_plan_that_contradicts_itself_is_refused() -> None:
    plan: Plan = dataclasses.replace(adder(4).plan, donated=())
    with pytest.raises(PlanError):
        Program(plan, compile_ir([], host()))


@pytest.mark.parametrize("threads", THREADS)
def test_watching_tells_the_time_of_each_call(threads: int) -> None:
    program = pipeline(200_000, 3)
    x = np.ones(200_000, np.float32)
    given, out = buffers(x), Buffer(4 * 200_000)
    program.run(given, [out], threads)
    events: list[observers.RunEvent] = []
    with observers.runs.watching(events.append):
        begin = time.perf_counter_ns()
        program.run(given, [out], threads)
        spent = time.perf_counter_ns() - begin
        program.run_many(given, [out], 4, threads=threads)
    program.run(given, [out], threads)
    assert [event.steps for event in events] == [1, 4]
    assert events[0].plan is program.plan
    assert events[0].threads == threads
    assert len(events[0].times) == 3
    assert min(events[0].times) > 1000
    assert sum(events[0].times) < spent
    assert (out.array((200_000,), np.float32) == pipeline_reference(x, 3)).all()


def test_watching_sees_a_run_that_failed() -> None:
    program = failing(10, HUGE)
    events: list[observers.RunEvent] = []
    with observers.runs.watching(events.append), pytest.raises(ProgramError):
        program.run(buffers(-np.ones(10, np.int64)), [Buffer.zeros(80)], 1)
    assert [event.steps for event in events] == [0]


@pytest.mark.parametrize("threads", THREADS)
def test_denormals_are_zero_inside_programs_only(threads: int) -> None:
    n = 30
    tiny = np.full(n, 1e-40, np.float32)
    out = Buffer(4 * n)
    program = adder(n)
    program.run(buffers(tiny, tiny), [out], threads)
    assert (out.array((n,), np.float32) == 0).all()
    assert (tiny + tiny > 0).all()
    half = buffers(np.full(n, 1.5e-38, np.float32), np.full(n, -1.2e-38, np.float32))
    program.run(half, [out], threads)  # the sum of normal numbers is not one
    assert (out.array((n,), np.float32) == 0).all()
    assert np.float32(1.5e-38) - np.float32(1.2e-38) > 0


def test_concurrent_runs_of_one_program_have_their_own_memory() -> None:
    program = counter(20_000)
    states = [Buffer.zeros(160_000) for _ in range(3)]

    def work(state: Buffer) -> None:
        program.run_many([state], [state], 500, threads=2)

    threads = [threading.Thread(target=work, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for state in states:
        assert (state.array((20_000,), np.int64) == 500).all()
