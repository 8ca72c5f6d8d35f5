"""Attention, forward: blocks of queries pass over blocks of keys, and weights are never stored.

For each query the largest score so far, the sum of exponentials and the weighted sum of values
are kept; a block of keys with a larger score makes what was summed before smaller (the online
softmax of Milakov and Gimelshein, 2018, arXiv:1805.02867).
"""

from __future__ import annotations

import math

from glubina.codegen import vector_math
from glubina.codegen.attention_parts import (
    Pass,
    Tile,
    across,
    add_product,
    below,
    clear,
    draw,
    exponential,
    gather,
    larger,
    padded,
    pieces,
    scores,
    turn,
)
from glubina.codegen.attention_plan import CHUNK, KEYS, AttentionPlan
from glubina.codegen.blocks import alloca
from glubina.codegen.emitter import Function
from glubina.codegen.values import Value


class Forward(Pass):
    """The forward stage being written."""

    def __init__(self, name: str, plan: AttentionPlan, buffers: tuple[str, ...]) -> None:
        super().__init__(name, plan, buffers, KEYS)
        f = self.f
        self.with_total = "total" in buffers
        self.weights = alloca(f, self.kind, plan.rows * self.stride)
        self.kept = alloca(f, self.kind, plan.rows * self.stride) if plan.dropout else None
        self.values = alloca(f, self.kind, KEYS * padded(self, plan.columns))
        self.highest = alloca(f, self.type, plan.rows)
        self.shrink = alloca(f, self.kind, plan.rows)
        size = CHUNK + max(plan.lanes, plan.rows)
        self.largest, self.sums = alloca(f, self.kind, size), alloca(f, self.kind, size)

    def function(self) -> Function:
        """Each piece of work is some queries of one head."""
        f, n = self.f, self.n
        chunks = f.binary("udiv", f.add(n["queries"], f.sub(n["chunk"], f.i64(1))), n["chunk"])
        start, stop = self.frame.share(f.mul(f.mul(n["batch"], n["heads"]), chunks), 1)
        with f.loop(start, stop, f.i64(1)) as item:
            self.enter(f.binary("udiv", item.index, chunks))
            first = f.mul(f.binary("urem", item.index, chunks), n["chunk"])
            end = f.minimum(n["queries"], f.add(first, n["chunk"]))
            self.result, self.step = self.plain("result", n["queries"], self.plan.columns)
            self._begin(first, end)
            limit = f.minimum(n["keys"], end) if self.plan.causal else n["keys"]
            with f.loop(f.i64(0), limit, f.i64(KEYS)) as block:
                self._keys(block.index, first, end)
            self._finish(first, end)
        return self.frame.finish()

    def _begin(self, first: Value, end: Value) -> None:
        f, plan = self.f, self.plan
        with f.loop(f.i64(0), f.sub(end, first), f.i64(plan.lanes)) as at:
            f.store(self.nothing, self.at(self.largest, at.index))
            f.store(f.const(0, self.type), self.at(self.sums, at.index))
        clear(self, self.result, self.step, first, end, plan.columns)

    def _keys(self, start: Value, first: Value, end: Value) -> None:
        """All queries of the piece with one block of keys."""
        f, plan, n = self.f, self.plan, self.n
        count = f.minimum(f.i64(KEYS), f.sub(n["keys"], start))
        keys = self.line(self.matrix("key"), start, "key")
        turn(self, keys, n["key_t"], plan.depth, count, self.turned_keys)
        values = self.line(self.matrix("value"), start, "value")
        gather(self, values, n["value_t"], plan.columns, count, self.values)
        query = self.matrix("query")
        begin = first
        if plan.causal:
            skipped = f.maximum(f.sub(start, first), f.i64(0))
            whole = f.mul(f.binary("udiv", skipped, f.i64(plan.rows)), f.i64(plan.rows))
            begin = f.add(first, whole)
        with f.loop(begin, end, f.i64(plan.rows)) as row:
            tile = Tile(self, row.index, start, count)
            rows = f.minimum(f.i64(plan.rows), f.sub(end, row.index))
            seen = self._scores(tile, [self.line(query, row, "query") for row in tile.rows])
            if self.kept:
                draw(self, self.kept, row.index, rows, start, seen)
            self._softmax(f.sub(row.index, first), rows, seen)
            shrink = [f.load(self.at(self.shrink, f.i64(r)), self.kind) for r in range(plan.rows)]
            to = self.at(self.result, f.mul(row.index, self.step)), self.step
            left = self.weights, self.stride, 1
            add_product(self, plan.columns, rows, seen, left, self.values, to, plan.rows, shrink)

    def _scores(self, tile: Tile, lefts: list[Value]) -> Value:
        """Write the scores and each row's highest; returns how many columns there are."""
        f, plan = self.f, self.plan
        whole, seen = tile.columns(self)
        highest = [self.nothing] * plan.rows
        for start, stop, bounded in ((f.i64(0), whole, False), (whole, seen, True)):
            with f.loop(start, stop, f.i64(plan.width), highest) as column:
                found = scores(self, tile, lefts, column.index, bounded)
                following = []
                for r in range(plan.rows):
                    top = column.values[r]
                    for v in range(plan.vectors):
                        x = found[r * plan.vectors + v]
                        place = f.i64(r * self.stride + v * plan.lanes)
                        f.store(x, self.at(self.weights, column.index, place))
                        top = larger(f, x, top)
                    following.append(top)
                column.carry(following)
            highest = column.results
        for r, top in enumerate(highest):
            f.store(top, f.element(self.highest, f.i64(r), self.type))
        return seen

    def _softmax(self, place: Value, rows: Value, seen: Value) -> None:
        """Turn the scores of each row into exponentials; move its largest score and its sum."""
        f = self.f
        lowest, zero = f.const(-math.inf, self.kind), f.const(0, self.kind)
        with f.loop(f.i64(0), rows, f.i64(1)) as row:
            top = f.load(f.element(self.highest, row.index, self.type), self.type)
            where = self.at(self.largest, f.add(place, row.index))
            before = f.load(where, self.kind)
            largest = larger(f, across(f, top, lambda a, b: larger(f, a, b)), before)
            f.store(largest, where)
            base = f.select(f.compare("oeq", largest, lowest), zero, largest)
            shrink = exponential(f, f.fsub(before, base))
            f.store(shrink, self.at(self.shrink, row.index))
            total = self._exponentials(f.mul(row.index, f.i64(self.stride)), base, seen)
            where = self.at(self.sums, f.add(place, row.index))
            f.store(f.fma(f.load(where, self.kind), shrink, total), where)

    def _exponentials(self, line: Value, base: Value, seen: Value) -> Value:
        f, plan = self.f, self.plan
        base = f.splat(base, plan.lanes)
        start = [f.const(0, self.type)] * plan.vectors
        with f.loop(f.i64(0), seen, f.i64(plan.width), start) as column:
            totals = []
            for v in range(plan.vectors):
                offset = f.add(line, f.add(column.index, f.i64(v * plan.lanes)))
                there = self.at(self.weights, offset)
                e = exponential(f, f.fsub(f.load(there, self.type), base))
                totals.append(f.fadd(column.values[v], e))
                if self.kept:
                    e = f.fmul(e, f.load(self.at(self.kept, offset), self.type))
                f.store(e, there)
            column.carry(totals)
        total = column.results[0]
        for other in column.results[1:]:
            total = f.fadd(total, other)
        return across(f, total, f.fadd)

    def _finish(self, first: Value, end: Value) -> None:
        """Divide by the sums, and write the logarithms of the totals."""
        f, plan, lanes = self.f, self.plan, self.plan.lanes
        zero, one = f.const(0, self.type), f.const(1, self.type)
        count = f.sub(end, first)
        totals = f.add(f.mul(self.index, self.n["queries"]), first)
        with f.loop(f.i64(0), count, f.i64(lanes)) as at:
            where = self.at(self.sums, at.index)
            total = f.load(where, self.type)
            empty = f.compare("oeq", total, zero)
            safe = f.select(empty, one, total)
            f.store(f.select(empty, zero, f.fdiv(one, safe)), where)
            if self.with_total:
                largest = f.load(self.at(self.largest, at.index), self.type)
                found = f.fadd(vector_math.call(f, "log", [safe]), largest)
                found = f.select(empty, f.const(math.inf, self.type), found)
                there = self.at(self.buffers["total"], f.add(totals, at.index))
                f.masked_store(found, there, below(f, f.sub(count, at.index), lanes))
        with f.loop(f.i64(0), count, f.i64(1)) as row:
            factor = f.splat(f.load(self.at(self.sums, row.index), self.kind), lanes)
            line = self.at(self.result, f.mul(f.add(first, row.index), self.step))
            for offset, mask in pieces(self, plan.columns):
                there = self.at(line, f.i64(offset))
                value = f.load_lanes(there, self.type, mask)
                f.store_lanes(f.fmul(value, factor), there, mask)
