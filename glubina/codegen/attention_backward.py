"""Attention, backward: the weights are worked out again, block by block, from their totals.

With the weights w, the gradient g of the result r, and dropout's factors k:

    dV = (w k)ᵀ g,    z = w (k (g Vᵀ) − Σ g r) · scale,    dQ = z K,    dK = zᵀ Q.

One thread does all of a head: so every sum has its order, and no two threads write to one place.
"""

from __future__ import annotations

from glubina.codegen.attention_parts import (
    Pass,
    Tile,
    across,
    add_product,
    clear,
    draw,
    exponential,
    pieces,
    scores,
    turn,
)
from glubina.codegen.attention_plan import BLOCK, AttentionPlan
from glubina.codegen.blocks import alloca, multiply_add_block
from glubina.codegen.emitter import Function, Value


class Backward(Pass):
    """The backward stage being written; the gradients that are wanted are among its buffers."""

    def __init__(self, name: str, plan: AttentionPlan, buffers: tuple[str, ...]) -> None:
        super().__init__(name, plan, buffers, BLOCK)
        f = self.f
        size = plan.query_block * self.stride
        self.turned_values = alloca(f, self.kind, plan.columns * self.stride)
        self.weights, self.slopes = alloca(f, self.kind, size), alloca(f, self.kind, size)
        self.kept = alloca(f, self.kind, size) if plan.dropout else None
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
            self.query, self.slope = self.matrix("query"), self.matrix("slope")
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
        result = self.matrix("result")
        with f.loop(f.i64(0), n["queries"], f.i64(1)) as row:
            lines = (
                self.line(self.slope, row.index, "slope"),
                self.line(result, row.index, "result"),
            )
            total = f.const(0, self.type)
            for offset, mask in pieces(self, plan.columns):
                g, r = (f.load_lanes(self.at(x, f.i64(offset)), self.type, mask) for x in lines)
                total = f.fma(g, r, total)
            f.store(across(f, total, f.fadd), self.at(self.shares, row.index))

    def _keys(self, start: Value) -> None:
        """One block of keys with all queries that see it."""
        f, plan, n = self.f, self.plan, self.n
        count = f.minimum(f.i64(BLOCK), f.sub(n["keys"], start))
        self.keys_here = self.line(self.matrix("key"), start, "key")
        turn(self, self.keys_here, n["key_t"], plan.depth, count, self.turned_keys)
        if self.sloped:
            values = self.line(self.matrix("value"), start, "value")
            turn(self, values, n["value_t"], plan.columns, count, self.turned_values)
        size = f.i64(plan.query_block)
        begin = f.mul(f.binary("udiv", start, size), size) if plan.causal else f.i64(0)
        with f.loop(begin, n["queries"], size) as block:
            rows = f.minimum(size, f.sub(n["queries"], block.index))
            if self.kept:
                draw(self, self.kept, block.index, rows, start, count)
            with f.loop(f.i64(0), rows, f.i64(plan.rows)) as row:
                tile = Tile(self, f.add(block.index, row.index), start, count)
                line = f.mul(row.index, f.i64(self.stride))
                whole, seen = tile.columns(self)
                for first, stop, bounded in ((f.i64(0), whole, False), (whole, seen, True)):
                    with f.loop(first, stop, f.i64(plan.width)) as column:
                        self._tile(tile, column.index, line, bounded)
                if "dquery" in self.to:
                    self._query(tile, f.sub(rows, row.index), line, seen)
            self._key_rows(block.index, rows, start, count)

    def _tile(self, tile: Tile, column: Value, line: Value, bounded: bool) -> None:
        """The weights and slopes of a register block."""
        f, plan, lanes = self.f, self.plan, self.plan.lanes
        found = scores(self, tile, self.query, column, bounded)
        for r, row in enumerate(tile.rows):
            total = f.splat(f.load(self.at(self.totals, row), self.kind), lanes)
            for v in range(plan.vectors):
                weight = exponential(f, f.fsub(found[r * plan.vectors + v], total))
                f.store(weight, self._place(self.weights, line, column, r, v))
        if not self.sloped:
            self._drop(line, column)
            return
        lefts = [self.line(self.slope, row, "slope") for row in tile.rows]
        rights = [
            self.at(self.turned_values, column, f.i64(v * lanes)) for v in range(plan.vectors)
        ]
        zero = [f.const(0, self.type)] * (plan.rows * plan.vectors)
        reach = f.i64(plan.columns)
        found = multiply_add_block(f, reach, zero, lefts, rights, f.i64(1), f.i64(self.stride))
        for r, row in enumerate(tile.rows):
            share = f.splat(f.load(self.at(self.shares, row), self.kind), lanes)
            for v in range(plan.vectors):
                there = self._place(self.weights, line, column, r, v)
                weight = f.load(there, self.type)
                pull = found[r * plan.vectors + v]
                if self.kept:
                    kept = f.load(self._place(self.kept, line, column, r, v), self.type)
                    pull = f.fmul(pull, kept)
                    f.store(f.fmul(weight, kept), there)
                slope = f.fmul(f.fmul(weight, f.fsub(pull, share)), self.scale)
                f.store(slope, self._place(self.slopes, line, column, r, v))

    def _drop(self, line: Value, column: Value) -> None:
        """The weights after dropout."""
        f, plan = self.f, self.plan
        if self.kept is None:
            return
        for r in range(plan.rows):
            for v in range(plan.vectors):
                there = self._place(self.weights, line, column, r, v)
                kept = f.load(self._place(self.kept, line, column, r, v), self.type)
                f.store(f.fmul(f.load(there, self.type), kept), there)

    def _place(self, base: Value, line: Value, column: Value, r: int, v: int) -> Value:
        offset = self.f.i64(r * self.stride + v * self.plan.lanes)
        return self.at(base, line, column, offset)

    def _query(self, tile: Tile, rows: Value, line: Value, seen: Value) -> None:
        """dQ += z K for the rows of a register block."""
        f, plan = self.f, self.plan
        base, step = self.to["dquery"]
        to = self.at(base, f.mul(tile.first, step)), step
        left = self.at(self.slopes, line), self.stride, 1
        right = self.keys_here, self.n["key_t"]
        add_product(self, plan.depth, rows, seen, left, right, to, plan.rows)

    def _key_rows(self, first: Value, rows: Value, start: Value, count: Value) -> None:
        """dV += (w k)ᵀ g and dK += zᵀ Q for the block's keys, some at a time."""
        f, plan, n = self.f, self.plan, self.n
        products = (
            ("dvalue", self.weights, self.slope, "slope", plan.columns),
            ("dkey", self.slopes, self.query, "query", plan.depth),
        )
        with f.loop(f.i64(0), count, f.i64(plan.key_rows)) as key:
            begin = f.i64(0)
            if plan.causal:  # the first query that sees these keys
                begin = f.maximum(f.sub(f.add(start, key.index), first), f.i64(0))
            depth = f.sub(rows, begin)
            for name, scratch, matrix, array, columns in products:
                if name not in self.to:
                    continue
                base, step = self.to[name]
                to = self.at(base, f.mul(f.add(start, key.index), step)), step
                left = self.at(scratch, f.mul(begin, f.i64(self.stride)), key.index)
                right = self.line(matrix, f.add(first, begin), array), n[f"{array}_t"]
                here = f.sub(count, key.index)
                add_product(
                    self, columns, here, depth, (left, 1, self.stride), right, to, plan.key_rows
                )
