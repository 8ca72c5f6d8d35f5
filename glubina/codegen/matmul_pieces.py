"""The matrix product by pieces of k: each thread packs A's rows piece by piece, as it meets them.

B's panels are packed before, and threads share the rows of C. Of a panel of A's rows a piece of k
is packed into the thread's own memory, where it stays in the first-level cache while it meets the
panels of B; of those the same piece stays in the second-level cache while a stretch of rows
passes. The sums of the stretch lie in the thread's memory between two pieces. While one panel is
multiplied, the memory of the next is asked for. So A is read once, whatever its strides, and
never written down as a whole; the order of each sum is that of k.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from glubina.codegen.blocks import LINE, Ahead, multiply_add_block
from glubina.codegen.emitter import Function
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.packing import Source, pack_panel
from glubina.codegen.product import Product, fetch_rows, finish_rows, rights_of
from glubina.codegen.values import Value


class _Place(NamedTuple):
    """Where a block stands: its rows' and columns' number, a piece of k, its sums' number.

    below: the first of its rows in the panel of A.
    """

    i: Value
    j: Value
    first: Value
    depth: Value
    spot: Value
    below: Value


def pieces(p: Product, finish: Epilogue) -> Function:
    """Each thread takes a part of the rows, and all columns."""
    f, frame = p.f, p.frame
    finish.prepare(f)
    frame.threads = f.minimum(frame.threads, p.slots)
    each = p.plan.a_panels.rows // p.plan.rows
    mine = p.at(p.a_panels, f.mul(frame.thread, p.slot))
    start, stop = frame.share(p.down, 1)
    with (
        f.loop(f.i64(0), p.across, p.together) as strip,
        f.loop(start, stop, p.lines) as stretch,
        f.loop(f.i64(0), p.k, p.deep) as piece,
    ):
        left, top, first = strip.index, stretch.index, piece.index
        width = f.minimum(p.together, f.sub(p.across, left))
        bottom = f.minimum(f.add(top, p.lines), stop)
        depth = f.minimum(p.deep, f.sub(p.k, first))
        with f.loop(top, bottom, f.i64(each)) as pair:
            _pack_lines(p, pair.index, first, depth, mine)
            ahead = _following(p, pair.index, top, bottom, first)
            end = f.minimum(bottom, f.add(pair.index, f.i64(each)))
            with (
                f.loop(pair.index, end, f.i64(1)) as i,
                f.loop(f.i64(0), width, f.i64(1)) as j,
            ):
                spot = f.add(f.mul(f.sub(i.index, top), p.together), j.index)
                below = f.mul(f.sub(i.index, pair.index), f.i64(p.plan.rows))
                place = _Place(i.index, f.add(left, j.index), first, depth, spot, below)
                begins = f.compare("eq", j.index, f.i64(0))
                offset = f.mul(below, p.a_steps[1])
                line = f.emit("ptr", f"getelementptr {p.kind}, {ahead}, {offset}")
                asked = f.select(begins, line, mine)
                _block(p, finish, mine, place, asked, begins)
    return frame.finish()


def _pack_lines(p: Product, i: Value, first: Value, depth: Value, mine: Value) -> None:
    """Pack a piece of a panel of A's rows."""
    f, plan, (_, step_row, step_k) = p.f, p.plan, p.a_steps
    origin = p.at(p.a, f.mul(first, step_k))
    source = Source(origin, f.i64(1), p.m, depth, f.i64(0), step_row, step_k)
    row = f.mul(i, f.i64(plan.rows))
    pack_panel(f, p.kind, plan.lanes, plan.a_panels, source, row, mine)


def _following(p: Product, i: Value, top: Value, bottom: Value, first: Value) -> Value:
    """Where the piece lies that is packed next: of the next panel, or the next of the first."""
    f, plan, (_, step_row, step_k) = p.f, p.plan, p.a_steps
    after = f.add(i, f.i64(plan.a_panels.rows // plan.rows))
    ends = f.compare("sge", after, bottom)
    row = f.mul(f.select(ends, top, after), f.i64(plan.rows))
    if not plan.a_panels.along_k:
        row = f.add(row, f.i64(plan.rows - 1))  # what comes before it has come with other rows
    k = f.select(ends, f.add(first, p.deep), first)
    offset = f.add(f.mul(row, step_row), f.mul(k, step_k))
    return f.emit("ptr", f"getelementptr {p.kind}, {p.a}, {offset}")


def _block(
    p: Product, finish: Epilogue, mine: Value, place: _Place, asked: Value, begins: Value
) -> None:
    """One register block: what came before, the piece of k, and at the end the epilogue."""
    f, plan, (_, step_row, step_k) = p.f, p.plan, p.a_steps
    size, nothing = plan.rows * plan.vectors, f.i64(0)
    row, column = f.mul(place.i, f.i64(plan.rows)), f.mul(place.j, f.i64(plan.columns))
    lefts = [p.at(mine, place.below, f.i64(r)) for r in range(plan.rows)]
    rights, right_step, _ = rights_of(p, nothing, place.j, column, place.first)
    whole = f.compare("sle", p.k, p.deep)  # a single piece: one place is enough for all blocks
    offset = f.select(whole, nothing, f.mul(place.spot, f.i64(size * plan.lanes)))
    sums_at = f.add(offset, f.mul(p.deep, f.i64(plan.a_panels.stride)))
    target = p.at(mine, sums_at)
    last = f.compare("sge", f.add(place.first, place.depth), p.k)
    if plan.ahead:
        with f.when(last):
            fetch_rows(p, finish, nothing, row, column)
    line = LINE // np.dtype(plan.dtype).itemsize
    along_k = plan.a_panels.along_k
    near, far = (step_row, f.i64(line)) if along_k else (step_k, f.mul(step_k, f.i64(line)))
    ahead = Ahead(asked, line, f.select(begins, near, nothing), f.select(begins, far, nothing))
    fresh, zero = f.compare("eq", place.first, nothing), f.const(0, p.type)
    places = [p.at(target, f.i64(at * plan.lanes)) for at in range(size)]
    sums = [f.select(fresh, zero, f.load(where, p.type)) for where in places]
    stride = f.i64(plan.a_panels.stride)
    sums = multiply_add_block(f, place.depth, sums, lefts, rights, stride, right_step, None, ahead)
    for where, value in zip(places, sums, strict=True):
        f.store(value, where)
    with f.when(last):
        finish_rows(p, finish, target, nothing, row, column)
