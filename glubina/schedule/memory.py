"""The memory plan: where in one arena each value that lives inside a program lies."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Span:
    """A block of memory: its bytes, and the first and last call during which it is needed."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Arena:
    """The offset of each span and the arena's size, in bytes."""

    offsets: tuple[int, ...]
    size: int


def _low(item: tuple[int, int, Span]) -> tuple[int, int]:
    return item[0], item[1]


def lay_out(spans: Sequence[Span]) -> Arena:
    """Place the spans, the largest first, each at the lowest offset free during its life."""
    offsets = [0] * len(spans)
    placed: list[tuple[int, int, Span]] = []
    for i in sorted(range(len(spans)), key=lambda i: (-spans[i].size, spans[i].first, i)):
        span = spans[i]
        size = -(-span.size // ALIGNMENT) * ALIGNMENT
        start = 0
        for low, high, other in placed:
            if other.first <= span.last and span.first <= other.last:
                if start + size <= low:
                    break
                start = max(start, high)
        offsets[i] = start
        insort(placed, (start, start + size, span), key=_low)
    return Arena(tuple(offsets), max((high for _, high, _ in placed), default=0))
