"""Winograd's transforms along one axis: from an axis's numbers to values at points, and back.

A line makes `outputs` neighbouring results of a filter with `taps` taps from outputs + taps - 1
products (Lavin and Gray, 2015):

    y = Aᵀ [(G w) ⊙ (Bᵀ d)],    and for the filter's gradient    dw = Gᵀ [(A g) ⊙ (Bᵀ d)].

The points are 0, ∞ and pairs ±p, so that even and odd powers are worked out once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from glubina.codegen.emitter import Function
from glubina.codegen.values import Value

PAIRS: dict[int, tuple[float, ...]] = {1: (), 4: (1.0,), 6: (0.6875, 1.375)}
"""The pairs ±p for so many points. Six: with a quarter of the error of the usual 1 and 2, their
powers exact in float32."""


@dataclass(frozen=True)
class Line:
    """One axis of a tile; an axis with a single tap is not transformed, output by output."""

    outputs: int
    taps: int

    @property
    def points(self) -> int:
        """How many inputs are read, and how many products are made."""
        return self.outputs + self.taps - 1

    @property
    def pairs(self) -> tuple[float, ...]:
        """The points but 0 and ∞."""
        return PAIRS[self.points]


def _scaled(f: Function, a: Value, factor: float) -> Value:
    return a if factor == 1 else f.fmul(a, f.const(factor, a.type))


def _plus(f: Function, a: Value | None, factor: float, b: Value) -> Value:
    """a + factor·b."""
    if a is None:
        return _scaled(f, b, factor)
    if factor == 1:
        return f.fadd(a, b)
    if factor == -1:
        return f.fsub(a, b)
    return f.fma(b, f.const(factor, b.type), a)


def _weights(line: Line) -> list[float]:
    """One over the product of a point's distances to the others: of 0, then of the pairs."""
    squares = [p * p for p in line.pairs]
    found = [1 / prod(-square for square in squares)]
    for square in squares:
        others = prod(square - other for other in squares if other != square)
        found.append(1 / (2 * square * others))
    return found


def _polynomial(squares: Sequence[float]) -> list[float]:
    """The coefficients of Π (z - square), from that of 1 on."""
    found = [1.0]
    for square in squares:
        lower = [-square * c for c in found] + [0.0]
        found = [a + b for a, b in zip(lower, [0.0, *found], strict=True)]
    return found


def _sum(f: Function, values: Sequence[Value], factors: Sequence[float]) -> Value:
    """Σ factor·value, from the last on, whose factor is 1 where it is a polynomial's."""
    total: Value | None = None
    for value, factor in reversed(list(zip(values, factors, strict=True))):
        total = _plus(f, total, factor, value)
    assert total is not None
    return total


def inputs(f: Function, line: Line, d: Sequence[Value]) -> list[Value]:
    """Bᵀ d: what the inputs are at each point."""
    if line.taps == 1:
        return list(d)
    squares = [p * p for p in line.pairs]
    whole = _polynomial(squares)
    found = [_sum(f, d[0::2], whole)]
    for p in line.pairs:
        rest = _polynomial([square for square in squares if square != p * p])
        even, odd = _sum(f, d[2::2], rest), _sum(f, d[1:-1:2], rest)
        found += [_plus(f, even, sign * p, odd) for sign in (1, -1)]
    return [*found, _sum(f, d[1::2], whole)]


def values(f: Function, line: Line, a: Sequence[Value], weighted: bool) -> list[Value]:
    """A a, or G a (weighted): the values of a polynomial at each point."""
    if line.taps == 1:
        return list(a)
    weights = _weights(line) if weighted else [1.0] * (1 + len(line.pairs))
    found = [_scaled(f, a[0], weights[0])]
    for p, weight in zip(line.pairs, weights[1:], strict=True):
        powers = [weight * p**j for j in range(len(a))]
        even = _sum(f, a[0::2], powers[0::2])
        odd = _sum(f, a[1::2], [power / p for power in powers[1::2]])
        found += [_plus(f, even, sign * p, odd) for sign in (1, -1)]
    return [*found, a[-1]]


def sums(f: Function, line: Line, m: Sequence[Value], count: int, weighted: bool) -> list[Value]:
    """Aᵀ m, or Gᵀ m (weighted), with `count` results: of each power the sum over the points."""
    if line.taps == 1:
        return list(m)
    weights = _weights(line) if weighted else [1.0] * (1 + len(line.pairs))
    pairs = list(zip(m[1:-1:2], m[2:-1:2], strict=True))
    halves = [f.fadd(a, b) for a, b in pairs], [f.fsub(a, b) for a, b in pairs]
    found = []
    for power in range(count):
        total = _scaled(f, m[0], weights[0]) if power == 0 else None
        if power == count - 1:
            total = m[-1] if total is None else f.fadd(total, m[-1])
        for p, weight, half in zip(line.pairs, weights[1:], halves[power % 2], strict=True):
            total = _plus(f, total, weight * p**power, half)
        assert total is not None
        found.append(total)
    return found
