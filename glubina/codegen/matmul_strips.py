"""The matrix product by strips: each thread packs a strip of B for itself, as it comes to it.

A strip is a few panels of columns, cut along k where it is long; packed, it stays in the thread's
second-level cache while all rows of A pass. So B is read once, from where it lies, and no thread
waits for what another has packed. What k's pieces add up to lies in the thread's own memory, too,
and is handed to the epilogue after the last: the order of the sum is that of k.
"""

from __future__ import annotations

from glubina.codegen.blocks import multiply_add_block
from glubina.codegen.emitter import Function
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.packing import Source, count_value, pack_panel
from glubina.codegen.product import Product, fetch_rows, finish_rows, lefts_of
from glubina.codegen.values import Value


def strips(p: Product, finish: Epilogue) -> Function:
    """Each item is a strip of B with a stretch of A's rows."""
    f, frame = p.f, p.frame
    finish.prepare(f)
    frame.threads = f.minimum(frame.threads, p.slots)
    mine = p.at(p.b_panels, f.mul(frame.thread, p.slot))
    chunks, along = count_value(f, p.down, p.lines), count_value(f, p.across, p.together)
    start, stop = frame.share(f.mul(p.batch, f.mul(chunks, along)), 1)
    with f.loop(start, stop, f.i64(1)) as item:
        chunk, rest = f.binary("urem", item.index, chunks), f.binary("udiv", item.index, chunks)
        strip, batch = f.binary("urem", rest, along), f.binary("udiv", rest, along)
        top, left = f.mul(chunk, p.lines), f.mul(strip, p.together)
        bottom = f.minimum(f.add(top, p.lines), p.down)
        width = f.minimum(p.together, f.sub(p.across, left))
        with f.loop(f.i64(0), p.k, p.deep) as piece:
            first = piece.index
            depth = f.minimum(p.deep, f.sub(p.k, first))
            _pack_strip(p, batch, left, width, first, depth, mine)
            with f.loop(top, bottom, f.i64(1)) as i, f.loop(f.i64(0), width, f.i64(1)) as j:
                spot = f.add(f.mul(f.sub(i.index, top), p.together), j.index)
                place = batch, i.index, f.add(left, j.index)
                _block(p, finish, mine, place, (spot, j.index), first, depth)
    return frame.finish()


def _panel(p: Product, mine: Value, j: Value) -> Value:
    """Where the thread's panel number j begins."""
    return p.at(mine, p.f.mul(j, p.f.mul(p.deep, p.f.i64(p.plan.columns))))


def _pack_strip(
    p: Product, batch: Value, left: Value, width: Value, first: Value, depth: Value, mine: Value
) -> None:
    """Pack a piece of a strip, panel by panel."""
    f, plan, (step_batch, step_k, step_column) = p.f, p.plan, p.b_steps
    origin = p.at(p.b, f.mul(batch, step_batch), f.mul(first, step_k))
    source = Source(origin, f.i64(1), p.n, depth, f.i64(0), step_column, step_k)
    with f.loop(f.i64(0), width, f.i64(1)) as j:
        column = f.mul(f.add(left, j.index), f.i64(plan.columns))
        to = _panel(p, mine, j.index)
        pack_panel(f, p.kind, plan.lanes, plan.b_panels, source, column, to)


def _block(
    p: Product, finish: Epilogue, mine: Value, place: tuple[Value, Value, Value],
    mine_at: tuple[Value, Value], first: Value, depth: Value,
) -> None:  # fmt: skip
    """One register block: what came before, the piece of k, and at the end the epilogue."""
    f, plan, (batch, i, j), (spot, panel) = p.f, p.plan, place, mine_at
    size = plan.rows * plan.vectors
    row, column = f.mul(i, f.i64(plan.rows)), f.mul(j, f.i64(plan.columns))
    lefts, step = lefts_of(p, batch, i, row, first)
    base = _panel(p, mine, panel)
    rights = [p.at(base, f.i64(v * plan.lanes)) for v in range(plan.vectors)]
    whole = f.compare("sle", p.k, p.deep)  # a single piece: one place is enough for all blocks
    offset = f.select(whole, f.i64(0), f.mul(spot, f.i64(size * plan.lanes)))
    target = p.at(_panel(p, mine, p.together), offset)
    last = f.compare("sge", f.add(first, depth), p.k)
    if plan.ahead:
        with f.when(last):
            fetch_rows(p, finish, batch, row, column)
    fresh, zero = f.compare("eq", first, f.i64(0)), f.const(0, p.type)
    places = [p.at(target, f.i64(at * plan.lanes)) for at in range(size)]
    sums = [f.select(fresh, zero, f.load(where, p.type)) for where in places]
    sums = multiply_add_block(f, depth, sums, lefts, rights, step, f.i64(plan.columns))
    for where, value in zip(places, sums, strict=True):
        f.store(value, where)
    with f.when(last):
        finish_rows(p, finish, target, batch, row, column)
