"""The matrix product by dot products: few rows of A, and a B whose k axis is contiguous.

As in a layer (out, in) that sees a few examples. Vectors run along k in both factors, so each is
read as it lies; B, the large one, once. A few rows with a few columns are summed at a time, and at
the end the lanes of each sum are added up.
"""

from __future__ import annotations

from collections.abc import Sequence

from glubina.codegen.blocks import alloca, first_lanes, transposed
from glubina.codegen.emitter import Function
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.matmul_plan import MOST_ROWS
from glubina.codegen.packing import count_value
from glubina.codegen.product import Product
from glubina.codegen.values import Value

AHEAD = 1024
"""How far ahead along k B's memory is asked for, in bytes."""


def dots(p: Product, finish: Epilogue) -> Function:
    """Each item is as many columns of B as a vector has lanes, with all rows of A.

    The columns pass in groups, and with each group the rows of A; the sums, whole vectors still,
    wait in memory until a row has all its columns.
    """
    f, plan, frame = p.f, p.plan, p.frame
    lanes, rows, group = plan.lanes, plan.rows, plan.vectors
    finish.prepare(f)
    across = count_value(f, p.n, lanes)
    scratch = alloca(f, p.type, (MOST_ROWS + rows) * lanes)
    start, stop = frame.share(f.mul(p.batch, across), 1)
    with f.loop(start, stop, f.i64(1)) as item:
        batch, j = f.binary("udiv", item.index, across), f.binary("urem", item.index, across)
        column = f.mul(j, f.i64(lanes))
        there = p.at(p.b, f.mul(batch, p.b_steps[0]))
        here = p.at(p.a, f.mul(batch, p.a_steps[0]))
        if rows == 1 and group == lanes:  # a single row has all its columns at once
            rights = _lines(p, there, column, group, p.n, p.b_steps[2])
            parts = _along_k(p, [here], rights)
            finish.store(f, (batch, f.i64(0), column), _added(f, parts), p.mask(column, 0))
        else:
            _rows(p, finish, scratch, (batch, column), (here, there))
    return frame.finish()


def _rows(
    p: Product, finish: Epilogue, scratch: Value, place: tuple[Value, Value],
    factors: tuple[Value, Value],
) -> None:  # fmt: skip
    """All rows of A with a vector's columns of B, some rows and a group of columns at a time."""
    f, (batch, column), (here, there) = p.f, place, factors
    lanes, rows, group = p.plan.lanes, p.plan.rows, p.plan.vectors
    with f.loop(f.i64(0), p.m, f.i64(MOST_ROWS)) as some:
        bottom = f.minimum(f.add(some.index, f.i64(MOST_ROWS)), p.m)
        with (
            f.loop(f.i64(0), f.i64(lanes), f.i64(group)) as at,
            f.loop(some.index, bottom, f.i64(rows)) as row,
        ):
            rights = _lines(p, there, f.add(column, at.index), group, p.n, p.b_steps[2])
            lefts = _lines(p, here, row.index, rows, p.m, p.a_steps[1])
            for spot, value in enumerate(_along_k(p, lefts, rights)):
                r = f.add(f.sub(row.index, some.index), f.i64(spot // group))
                f.store(value, _spot(p, scratch, r, f.add(at.index, f.i64(spot % group))))
        with f.loop(some.index, bottom, f.i64(1)) as line:
            r = f.sub(line.index, some.index)
            parts = [f.load(_spot(p, scratch, r, f.i64(c)), p.type) for c in range(lanes)]
            finish.store(f, (batch, line.index, column), _added(f, parts), p.mask(column, 0))


def _lines(
    p: Product, base: Value, first: Value, count: int, extent: Value, step: Value
) -> list[Value]:
    """Where neighbouring rows of a factor begin; beyond the edge the last one again."""
    f, last = p.f, p.f.sub(extent, p.f.i64(1))
    places = [f.minimum(f.add(first, f.i64(i)), last) for i in range(count)]
    return [p.at(base, f.mul(place, step)) for place in places]


def _spot(p: Product, scratch: Value, row: Value, column: Value) -> Value:
    f, lanes = p.f, p.plan.lanes
    at = f.add(f.mul(row, f.i64(lanes)), column)
    return p.at(scratch, f.mul(at, f.i64(lanes)))


def _added(f: Function, parts: Sequence[Value]) -> Value:
    """The sums over the lanes of so many vectors as there are lanes, side by side."""
    turned = transposed(f, parts) if len(parts) > 1 else list(parts)
    while len(turned) > 1:
        half = len(turned) // 2
        turned = [f.fadd(x, y) for x, y in zip(turned[:half], turned[half:], strict=True)]
    return turned[0]


def _along_k(p: Product, lefts: Sequence[Value], rights: Sequence[Value]) -> list[Value]:
    """Per row and column the products, k by k in the lanes of a vector."""
    f, lanes = p.f, p.plan.lanes
    whole = f.binary("and", p.k, f.i64(-lanes))
    zeros = [f.const(0, p.type)] * (len(lefts) * len(rights))
    with f.loop(f.i64(0), whole, f.i64(lanes), zeros) as k:
        columns = [p.at(right, k.index) for right in rights]
        for place in columns if p.plan.ahead else ():
            f.prefetch(place, ahead=AHEAD)
        b = [f.load(place, p.type) for place in columns]
        a = [f.load(p.at(left, k.index), p.type) for left in lefts]
        k.carry(_multiplied(f, a, b, k.values))
    if lanes == 1:
        return k.results
    mask = first_lanes(f, f.sub(p.k, whole), lanes)
    a, b = (
        [f.masked_load(p.at(x, whole), p.type, mask) for x in factor] for factor in (lefts, rights)
    )
    return _multiplied(f, a, b, k.results)


def _multiplied(
    f: Function, lefts: Sequence[Value], rights: Sequence[Value], sums: Sequence[Value]
) -> list[Value]:
    pairs = [(a, b) for a in lefts for b in rights]
    return [f.fma(a, b, s) for (a, b), s in zip(pairs, sums, strict=True)]
