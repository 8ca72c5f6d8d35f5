"""Which calls are shared between threads, and where threads wait for each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glubina.codegen.driver import BARRIER, LAST, SERIAL
from glubina.runtime.plan import Call, Entry, KernelInfo, Plan
from glubina.runtime.work import call_flags, deserves_threads

BIG, SMALL = 10**7, 100


def plan(flops: list[int], stages: int = 1) -> Plan:
    calls = tuple(Call("f", (), "", k) for k in range(len(flops)) for _ in range(stages))
    kernels = tuple(KernelInfo("", n) for n in flops)
    return Plan((), (), (), (Entry("status"),), 0, calls, kernels)


def test_threads_meet_after_what_they_share() -> None:
    assert call_flags(plan([BIG, BIG])) == [BARRIER, BARRIER | LAST]


def test_small_calls_in_a_row_have_one_barrier() -> None:
    flags = call_flags(plan([BIG, SMALL, SMALL, SMALL, BIG, SMALL]))
    assert flags == [
        BARRIER,
        SERIAL,
        SERIAL,
        SERIAL | BARRIER,
        BARRIER,
        SERIAL | BARRIER | LAST,
    ]


def test_the_stages_of_a_kernel_share_its_work() -> None:
    # twenty stages of 5000 operations each: too small to share, though the kernel is not
    assert call_flags(plan([100_000]))[0] & SERIAL == 0
    assert all(flag & SERIAL for flag in call_flags(plan([100_000], stages=20)))


def test_work_that_is_not_known_is_shared() -> None:
    assert call_flags(plan([0])) == [BARRIER | LAST]
    assert deserves_threads(plan([0]))


def test_moving_memory_is_work() -> None:
    calls = (Call("f", (), "", 0),)
    copy = Plan((), (), (), (Entry("status"),), 0, calls, (KernelInfo("", 0, 10**6, 10**6),))
    assert call_flags(copy) == [BARRIER | LAST]


def test_programs_that_deserve_threads() -> None:
    assert deserves_threads(plan([BIG]))
    assert not deserves_threads(plan([]))
    assert not deserves_threads(plan([SMALL]))
    assert not deserves_threads(plan([50_000] * 3))  # each could be shared, but all is soon done
    assert not deserves_threads(plan([SMALL] * 10_000))  # long, but nothing to share


@given(st.lists(st.sampled_from([SMALL, BIG]), min_size=1, max_size=20))
def test_a_shared_call_never_runs_beside_another(flops: list[int]) -> None:
    flags = call_flags(plan(flops))
    for number, flag in enumerate(flags):
        last = number == len(flags) - 1
        assert bool(flag & LAST) == last
        alone = bool(flag & SERIAL) and not last and bool(flags[number + 1] & SERIAL)
        assert bool(flag & BARRIER) != alone
