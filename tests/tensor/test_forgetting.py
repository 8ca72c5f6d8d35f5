"""A process that computes ever new things does not grow: old programs are forgotten."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glubina as gl
from glubina.tensor import programs, realise
from glubina.tensor.recent import Recent

MOST = 1 << 18


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recent[programs.Compiled]]:
    """A table of programs with little room."""
    table: Recent[programs.Compiled] = Recent(MOST, programs._compiled._weigh)
    monkeypatch.setattr(programs, "_compiled", table)
    monkeypatch.setattr(programs, "MOST_BYTES", MOST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one line makes many programs
        yield table


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 30)), max_size=80))
def test_what_goes_was_not_asked_for_lately(asked: list[tuple[int, int]]) -> None:
    table: Recent[list[int]] = Recent(100, lambda key, value: value[0])
    for time, (key, weight) in enumerate(asked):
        found = table.get(key)
        if found is None:
            table.put(key, [weight, key])
        else:
            assert found[1] == key
        for part in (table.young, table._old):
            assert sum(value[0] for value in part.values()) <= 100
        recent: dict[int, int] = {}  # what was asked for last, as much as surely fits
        for earlier, _ in reversed(asked[: time + 1]):
            value = table.young.get(earlier) or table._old.get(earlier)
            if earlier not in recent:
                assert value is not None
                recent[earlier] = value[0]
            if sum(recent.values()) + 30 > 100:
                break


def test_what_is_too_heavy_stays_until_the_next() -> None:
    table: Recent[str] = Recent(10, lambda key, value: len(value))
    table.put("long", "x" * 50)
    assert table.get("long") == "x" * 50
    table.put("a", "x" * 6)
    table.put("b", "x" * 6)
    assert table.get("long") is None
    assert table.get("a") == "x" * 6
    assert len(table) == 2


def _result(width: int) -> float:
    x = gl.tensor(np.full((300, width), 0.5, np.float32), requires_grad=True)
    (x * x * 3).sum().backward()
    assert x.grad is not None
    return float(x.grad.numpy()[-1, -1])


def test_old_programs_go_and_come_back(small: Recent[programs.Compiled]) -> None:
    alive: list[weakref.ref[Any]] = []
    for width in range(1, 25):
        assert _result(width) == 3
        alive += [weakref.ref(value) for value in list(small.young.values())[-1:]]
        weight = sum(small._weigh(k, v) for k, v in (small.young | small._old).items())
        assert weight <= 2 * MOST
    gc.collect()
    kept = sum(ref() is not None for ref in alive)
    assert 2 <= kept < 18
    seen = programs.structures_seen()
    assert _result(24) == 3
    assert programs.structures_seen() == seen  # the last is still there
    assert _result(1) == 3
    assert programs.structures_seen() > seen  # the first was made again
    assert programs.programs_compiled() <= programs.structures_seen()


def test_what_is_held_is_not_made_twice(small: Recent[programs.Compiled]) -> None:
    @gl.compile
    def double(x: gl.Tensor) -> gl.Tensor:
        return (x * 2).sum()

    x = gl.ones((300, 100))
    assert double(x).item() == 60_000
    for width in range(1, 20):
        _result(width)
    assert len(double._recordings) == 1
    seen = programs.structures_seen()
    assert double(x).item() == 60_000
    again = double.anew()  # records anew, and finds the program that the other one holds
    assert again(x).item() == 60_000
    assert programs.structures_seen() == seen


def test_a_compiled_function_forgets_signatures(small: Recent[programs.Compiled]) -> None:
    @gl.compile
    def total(x: gl.Tensor) -> gl.Tensor:
        return (x * 3).sum()

    for rows in range(1, 30):
        assert total(gl.ones((rows, 200))).item() == 600 * rows
    assert 2 <= len(total._recordings) < 25
    assert total(gl.ones((1, 200))).item() == 600


def test_threads_share_a_small_table(small: Recent[programs.Compiled]) -> None:
    wrong: list[Any] = []

    def work(start: int) -> None:
        try:
            wrong.extend(w for w in range(start, start + 15) if _result(w % 20 + 1) != 3)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 3, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_sets_of_targets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realise, "_sets", Recent(20_000, realise._sets._weigh))
    for width in range(1, 60):
        a = gl.ones((2, width)) * 2
        b = a + 1
        assert b.sum().item() == 6 * width
        assert a.sum().item() == 4 * width
    assert 0 < len(realise._sets) < 59
