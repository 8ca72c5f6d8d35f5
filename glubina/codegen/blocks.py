"""Pieces of code that the contraction kernels share: register blocks, transposed blocks, tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from glubina.codegen.emitter import Function
from glubina.codegen.values import Value, lanes_of, scalar_of

LINE = 64
"""The bytes of a cache line."""


def shuffle(f: Function, a: Value, b: Value, picks: Sequence[int]) -> Value:
    """The lanes of a and b (counted on) that `picks` names."""
    indices = ", ".join(f"i32 {p}" for p in picks)
    return f.emit(a.type, f"shufflevector {a}, {b}, <{len(picks)} x i32> <{indices}>")


def transposed(f: Function, rows: Sequence[Value]) -> list[Value]:
    """A square block of n vectors of n lanes, its rows become its columns (n a power of two).

    log2(n) rounds of interleaving vector i with vector i + n/2.
    """
    n = lanes_of(rows[0].type)
    current = list(rows)
    low = [i // 2 if i % 2 == 0 else n + i // 2 for i in range(n)]
    high = [n // 2 + i // 2 if i % 2 == 0 else n + n // 2 + i // 2 for i in range(n)]
    for _ in range(n.bit_length() - 1):
        following = []
        for a, b in zip(current[: n // 2], current[n // 2 :], strict=True):
            following += [shuffle(f, a, b, low), shuffle(f, a, b, high)]
        current = following
    return current


def first_lanes(f: Function, count: Value, lanes: int) -> Value:
    """The mask of the lanes below a count (i64)."""
    if lanes == 1:
        return f.compare("slt", f.i64(0), count)
    return f.compare("slt", f.lane_numbers(lanes), f.splat(count, lanes))


def alloca(f: Function, type_: str, count: int) -> Value:
    """Memory of the function's own; to be called in its first block."""
    return f.emit("ptr", f"alloca {type_}, i64 {count}, align 64")


class Ahead(NamedTuple):
    """Memory that is asked for while sums are worked out, at each k a line of it.

    The k-th line lies (k modulo line) near + (k divided by line) far elements from `origin`; it
    need not exist. line: a power of two.
    """

    origin: Value
    line: int
    near: Value
    far: Value


def multiply_add_block(
    f: Function,
    count: Value,
    sums: Sequence[Value],
    lefts: Sequence[Value],
    rights: Sequence[Value],
    left_step: Value,
    right_step: Value,
    masks: Sequence[Value] | None = None,
    ahead: Ahead | None = None,
) -> list[Value]:
    """sums[r][v] + Σ_k left_r[k·left_step] · right_v[k·right_step], all in registers.

    lefts: addresses of scalars that are broadcast; rights: addresses of vectors (of the lanes in
    `masks`, if given); sums: the accumulators at the start, row by row. Steps count elements.
    ahead: what memory is asked for meanwhile.
    """
    type_ = sums[0].type
    scalar, lanes = scalar_of(type_), lanes_of(type_)
    with f.loop(f.i64(0), count, f.i64(1), sums) as loop:
        there = f.mul(loop.index, right_step)
        here = f.mul(loop.index, left_step)
        places = [f.element(p, there, scalar) for p in rights]
        if ahead is not None:
            _ask(f, loop.index, ahead, scalar)
        if masks is None or lanes == 1:
            columns = [f.load(p, type_) for p in places]
        else:
            columns = [f.masked_load(p, type_, m) for p, m in zip(places, masks, strict=True)]
        following = []
        for r, p in enumerate(lefts):
            a = f.splat(f.load(f.element(p, here, scalar), scalar), lanes)
            for v, b in enumerate(columns):
                following.append(f.fma(a, b, loop.values[r * len(columns) + v]))
        loop.carry(following)
    return loop.results


def _ask(f: Function, k: Value, ahead: Ahead, scalar: str) -> None:
    within = f.binary("and", k, f.i64(ahead.line - 1))
    beyond = f.binary("udiv", k, f.i64(ahead.line))
    offset = f.add(f.mul(within, ahead.near), f.mul(beyond, ahead.far))
    f.prefetch(f.emit("ptr", f"getelementptr {scalar}, {ahead.origin}, {offset}"))
