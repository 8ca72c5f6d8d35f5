"""Attention, backward: the weights are worked out again, block by block, from their totals.

With the weights w, the gradient g of the result r, and dropout's factors k:

    dV = (w k)ᵀ g,    z = w (k (g Vᵀ) − Σ g r) · scale,    dQ = z K,    dK = zᵀ Q.

One thread does all of a head: so every sum has its order, and no two threads write to one place.
"""

from __future__ import annotations

from collections.abc import Callable

from glubina.codegen.attention_parts import (
    Pass,
    Tile,
    across,
    add_product,
    clear,
    draw,
    exponential,
    gather,
    padded,
    pieces,
    scores,
    turn,
)
from glubina.codegen.attention_plan import BLOCK, AttentionPlan
from glubina.codegen.blocks import alloca, multiply_add_block
from glubina.codegen.emitter import Function
from glubina.codegen.values import Value

TileWriter = Callable[[Tile, Value, Value, bool], None]
"""Given a register block, its row and column in the block, and whether some of it is unseen."""


class Backward(Pass):
    """The backward stage being written; the gradients that are wanted are among its buffers."""

    def __init__(self, name: str, plan: AttentionPlan, buffers: tuple[str, ...]) -> None:
        super().__init__(name, plan, buffers, BLOCK)
        f = self.f
        size = plan.query_block * self.stride
        self.turned_values = alloca(f, self.kind, plan.columns * self.stride)
        self.weights, self.slopes = alloca(f, self.kind, size), alloca(f, self.kind, size)
        self.kept = alloca(f, self.kind, size) if plan.dropout else None
        depth, columns = padded(self, plan.depth), padded(self, plan.columns)
        self.key_rows = alloca(f, self.kind, BLOCK * depth)
        self.query_rows = alloca(f, self.kind, plan.query_block * depth)
        self.slope_rows = alloca(f, self.kind, plan.query_block * columns)
        self.sloped = "dquery" in buffers or "dkey" in buffers

    def function(self) -> Function:
        """Each piece of work is a head."""
        f, n, plan = self.f, self.n, self.plan
        start, stop = self.frame.share(f.mul(n["batch"], n["heads"]), 1)
        with f.loop(start, stop, f.i64(1)) as item:
            self.enter(item.index)
            rows = {"dquery": n["queries"], "dkey": n["keys"], "dvalue": n["keys"]}
            size = {"dquery": plan.depth, "dkey": plan.depth, "dvalue": plan.columns}
            self.to = {
                name: self.plain(name, rows[name], size[name])
                for name in rows
                if name in self.buffers
            }
            for name, (base, step) in self.to.items():
                clear(self, base, step, f.i64(0), rows[name], size[name])
            line = f.mul(self.index, n["queries"])
            self.totals = self.at(self.buffers["total"], line)
            self.shares = self.at(self.buffers["shares"], line)
            if self.sloped:
                self._shares()
            with f.loop(f.i64(0), n["keys"], f.i64(BLOCK)) as block:
                self._keys(block.index)
        return self.frame.finish()

    def _shares(self) -> None:
        """Σ g r of every query."""
        f, plan, n = self.f, self.plan, self.n
        arrays = {name: self.matrix(name) for name in ("slope", "result")}
        with f.loop(f.i64(0), n["queries"], f.i64(1)) as row:
            lines = [self.line(base, row.index, name) for name, base in arrays.items()]
            total = f.const(0, self.type)
            for offset, mask in pieces(self, plan.columns):
                g, r = (f.load_lanes(self.at(x, f.i64(offset)), self.type, mask) for x in lines)
                total = f.fma(g, r, total)
            f.store(across(f, total, f.fadd), self.at(self.shares, row.index))

    def _keys(self, start: Value) -> None:
        """One block of keys with all queries that see it."""
        f, plan, n = self.f, self.plan, self.n
        count = f.minimum(f.i64(BLOCK), f.sub(n["keys"], start))
        keys = self.line(self.matrix("key"), start, "key")
        turn(self, keys, n["key_t"], plan.depth, count, self.turned_keys)
        if self.sloped:
            values = self.line(self.matrix("value"), start, "value")
            turn(self, values, n["value_t"], plan.columns, count, self.turned_values)
            gather(self, keys, n["key_t"], plan.depth, count, self.key_rows)
        size = f.i64(plan.query_block)
        begin = f.mul(f.binary("udiv", start, size), size) if plan.causal else f.i64(0)
        with f.loop(begin, n["queries"], size) as block:
            rows = f.minimum(size, f.sub(n["queries"], block.index))
            for name, columns, to in (
                ("query", plan.depth, self.query_rows),
                ("slope", plan.columns, self.slope_rows),
            ):
                here = self.line(self.matrix(name), block.index, name)
                gather(self, here, n[f"{name}_t"], columns, rows, to)
            if self.kept:
                draw(self, self.kept, block.index, rows, start, count)
            self._each(block.index, rows, start, count, self._weigh)
            if self.sloped:
                self._each(block.index, rows, start, count, self._pull)
            if "dquery" in self.to:
                self._query(block.index, rows, start, count)
            self._key_rows(block.index, rows, start, count)

    def _each(
        self, first: Value, rows: Value, start: Value, count: Value, write: TileWriter
    ) -> None:
        """Every register block of scores of a block, as far as something is seen."""
        f, plan = self.f, self.plan
        with f.loop(f.i64(0), rows, f.i64(plan.rows)) as row:
            tile = Tile(self, f.add(first, row.index), start, count)
            whole, seen = tile.columns(self)
            for begin, stop, bounded in ((f.i64(0), whole, False), (whole, seen, True)):
                with f.loop(begin, stop, f.i64(plan.width)) as column:
                    write(tile, row.index, column.index, bounded)

    def _lines(self, base: Value, row: Value, columns: int) -> list[Value]:
        """The rows of a register block among gathered rows."""
        f, step = self.f, padded(self, columns)
        first = self.at(base, f.mul(row, f.i64(step)))
        return [self.at(first, f.i64(r * step)) for r in range(self.plan.rows)]

    def _weigh(self, tile: Tile, row: Value, column: Value, bounded: bool) -> None:
        """The weights of a register block."""
        f, plan = self.f, self.plan
        lefts = self._lines(self.query_rows, row, plan.depth)
        found = scores(self, tile, lefts, column, bounded)
        for r, place in enumerate(tile.rows):
            total = f.splat(f.load(self.at(self.totals, place), self.kind), plan.lanes)
            for v in range(plan.vectors):
                weight = exponential(f, f.fsub(found[r * plan.vectors + v], total))
                if self.kept and not self.sloped:
                    kept = f.load(self._place(self.kept, row, column, r, v), self.type)
                    weight = f.fmul(weight, kept)
                f.store(weight, self._place(self.weights, row, column, r, v))

    def _pull(self, tile: Tile, row: Value, column: Value, bounded: bool) -> None:
        """The slopes of a register block; its weights after dropout."""
        f, plan, lanes = self.f, self.plan, self.plan.lanes
        lefts = self._lines(self.slope_rows, row, plan.columns)
        start = self.at(self.turned_values, column)
        rights = [self.at(start, f.i64(v * lanes)) for v in range(plan.vectors)]
        zero = [f.const(0, self.type)] * (plan.rows * plan.vectors)
        reach = f.i64(plan.columns)
        found = multiply_add_block(f, reach, zero, lefts, rights, f.i64(1), f.i64(self.stride))
        for r, place in enumerate(tile.rows):
            share = f.splat(f.load(self.at(self.shares, place), self.kind), lanes)
            for v in range(plan.vectors):
                there = self._place(self.weights, row, column, r, v)
                weight = f.load(there, self.type)
                pull = found[r * plan.vectors + v]
                if self.kept:
                    kept = f.load(self._place(self.kept, row, column, r, v), self.type)
                    pull = f.fmul(pull, kept)
                    f.store(f.fmul(weight, kept), there)
                slope = f.fmul(f.fmul(weight, f.fsub(pull, share)), self.scale)
                f.store(slope, self._place(self.slopes, row, column, r, v))

    def _place(self, base: Value, row: Value, column: Value, r: int, v: int) -> Value:
        offset = self.f.i64(r * self.stride + v * self.plan.lanes)
        return self.at(base, self.f.mul(row, self.f.i64(self.stride)), column, offset)

    def _query(self, first: Value, rows: Value, start: Value, count: Value) -> None:
        """dQ += z K for the rows of a block."""
        f, plan = self.f, self.plan
        base, step = self.to["dquery"]
        with f.loop(f.i64(0), rows, f.i64(plan.rows)) as row:
            place = f.add(first, row.index)
            seen = Tile(self, place, start, count).columns(self)[1]
            to = self.at(base, f.mul(place, step)), step
            left = self._place(self.slopes, row.index, f.i64(0), 0, 0), self.stride, 1
            here = f.sub(rows, row.index)
            add_product(self, plan.depth, here, seen, left, self.key_rows, to, plan.rows)

    def _key_rows(self, first: Value, rows: Value, start: Value, count: Value) -> None:
        """dV += (w k)ᵀ g and dK += zᵀ Q for the block's keys, some at a time."""
        f, plan = self.f, self.plan
        products = (
            ("dvalue", self.weights, self.slope_rows, plan.columns),
            ("dkey", self.slopes, self.query_rows, plan.depth),
        )
        with f.loop(f.i64(0), count, f.i64(plan.key_rows)) as key:
            begin = f.i64(0)
            if plan.causal:  # the first query that sees these keys
                begin = f.maximum(f.sub(f.add(start, key.index), first), f.i64(0))
            depth = f.sub(rows, begin)
            for name, scratch, gathered, columns in products:
                if name not in self.to:
                    continue
                base, step = self.to[name]
                to = self.at(base, f.mul(f.add(start, key.index), step)), step
                left = self.at(scratch, f.mul(begin, f.i64(self.stride)), key.index)
                right = self.at(gathered, f.mul(begin, f.i64(padded(self, columns))))
                here = f.sub(count, key.index)
                add_product(
                    self, columns, here, depth, (left, 1, self.stride), right, to, plan.key_rows
                )
