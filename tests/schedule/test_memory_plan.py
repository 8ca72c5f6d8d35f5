"""The arena: values alive together lie apart, and little is wasted."""

from __future__ import annotations

import numpy as np
import pytest
from emulator import check_arena
from hypothesis import given
from hypothesis import strategies as st
from strategies import steady

from glubina.schedule.memory import ALIGNMENT, Span, lay_out


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    sizes = st.one_of(st.integers(0, 300), st.integers(0, 100_000))
    moments = st.tuples(st.integers(0, 12), st.integers(0, 5))
    pairs = draw(st.lists(st.tuples(sizes, moments), max_size=25))
    return [Span(size, first, first + length) for size, (first, length) in pairs]


def peak(all_spans: list[Span]) -> int:
    """The most bytes (rounded up) that are alive during one call."""
    live = [0] * (max((s.last for s in all_spans), default=0) + 1)
    for span in all_spans:
        for moment in range(span.first, span.last + 1):
            live[moment] += -(-span.size // ALIGNMENT) * ALIGNMENT
    return max(live)


@given(spans())
@steady(200)
def test_spans_alive_together_never_overlap(found: list[Span]) -> None:
    arena = lay_out(found)
    check_arena(found, arena)
    assert peak(found) <= arena.size <= 2 * peak(found)


@given(spans(), st.randoms(use_true_random=False))
@steady(30)
def test_the_same_spans_need_the_same_arena(found: list[Span], random: object) -> None:
    assert lay_out(found) == lay_out(list(found))


def test_a_training_step_wastes_little() -> None:
    """Activations live until their derivative, gradients a moment: forward up, backward down."""
    random = np.random.default_rng(0)
    layers = 40
    found = []
    for layer in range(layers):
        size = int(random.integers(1, 50)) * 4096
        found.append(Span(size, layer, 2 * layers - layer))
        found.append(Span(size, 2 * layers - layer - 1, 2 * layers - layer))
        found.append(Span(int(random.integers(1, 1000)), layer, layer + 1))
    arena = lay_out(found)
    check_arena(found, arena)
    assert arena.size <= 1.1 * peak(found)


@pytest.mark.parametrize(
    ("found", "size"),
    [
        ([], 0),
        ([Span(1, 0, 0)], 64),
        ([Span(64, 0, 1), Span(64, 2, 3)], 64),  # one after the other
        ([Span(64, 0, 1), Span(64, 1, 2)], 128),  # both alive in call 1
        ([Span(128, 0, 9), Span(64, 0, 1), Span(64, 2, 3)], 192),
        ([Span(0, 0, 9), Span(0, 0, 9)], 0),
    ],
)
def test_small_plans(found: list[Span], size: int) -> None:
    assert lay_out(found).size == size
