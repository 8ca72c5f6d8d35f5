"""Working memory that programs take turns in."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina.runtime import arenas
from glubina.runtime.arenas import Arenas


def test_the_largest_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(arenas, "require_memory", lambda size, what: made.append(size))
    pool = Arenas()
    first = pool.take(5 << 20)
    pool.give(first)
    assert pool.take(2 << 20) is first
    second = pool.take(3 << 20)
    pool.give(second)
    pool.give(first)
    assert pool.take(4 << 20) is first
    pool.give(first)
    third = pool.take(9 << 20)  # the others are let go before it is made
    assert made == [5 << 20, 3 << 20, 9 << 20]
    assert pool.free_bytes() == 0
    pool.give(third)
    assert pool.free_bytes() == 9 << 20
    for size in (1, 2, 3):
        pool.give(arenas.Buffer(size << 20))
    assert pool.take(9 << 20) is third
    pool.clear()
    assert pool.free_bytes() == 0


def _chain(width: int) -> Any:
    @gl.compile
    def run(x: Any, w: Any) -> Any:
        for _ in range(4):
            x = gl.tanh(x @ w)
        return x

    random = np.random.default_rng(width)
    x = gl.tensor(random.standard_normal((300, width)).astype("f"))
    w = gl.tensor(random.standard_normal((width, width)).astype("f") / width**0.5)
    return lambda: run(x, w).numpy().copy()


def test_programs_share_memory_and_threads_have_their_own() -> None:
    calls = [_chain(width) for width in (128, 200, 333)]
    wanted = [call() for call in calls]
    wrong: list[str] = []

    def work(start: int) -> None:
        for step in range(30):
            number = (start + step) % len(calls)
            if not np.array_equal(calls[number](), wanted[number]):
                wrong.append(f"call {number} in step {step}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(arenas.ARENAS._free) <= 2
