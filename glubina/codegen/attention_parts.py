"""Pieces of code that the forward and the backward pass of attention share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from glubina.codegen import philox
from glubina.codegen.arithmetic import Arithmetic
from glubina.codegen.attention_plan import NUMBERS, AttentionPlan
from glubina.codegen.blocks import alloca, first_lanes, multiply_add_block, shuffle, transposed
from glubina.codegen.emitter import Function
from glubina.codegen.frame import Frame
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, lanes_of, scalar_of, vector
from glubina.graph.philox import BLOCKS, GROUP


class Pass:
    """A stage being written: its buffers by name, its numbers, its place in batch and heads."""

    def __init__(self, name: str, plan: AttentionPlan, buffers: Sequence[str], keys: int) -> None:
        """keys: of a block."""
        self.plan = plan
        self.keys = keys
        self.frame = Frame(name, len(buffers))
        self.f = f = self.frame.f
        dtype = np.dtype(plan.dtype)
        self.kind = llvm_type(dtype)
        self.type = vector(self.kind, plan.lanes)
        self.buffers = {buffer: self.frame.buffer(i) for i, buffer in enumerate(buffers)}
        self.n = {number: self.frame.number(i) for i, number in enumerate(NUMBERS)}
        scale = self.frame.scalar(NUMBERS.index("scale"), dtype)
        self.scale = f.splat(scale, plan.lanes)
        self.nothing = f.const(-math.inf, self.type)
        self.stride = keys + plan.lanes  # of rows of scores: no power of two, which would collide
        self.turned_keys = alloca(f, self.kind, plan.depth * self.stride)
        self.batch = self.head = self.index = f.i64(0)
        if plan.dropout:
            self.grown = f.splat(self.frame.scalar(NUMBERS.index("grown"), dtype), plan.lanes)
            key = self.buffers["random"]
            self.seed = f.load(key, "i64")
            self.counter = f.load(f.element(key, f.i64(1), "i64"), "i64")

    def at(self, base: Value, *offsets: Value) -> Value:
        """The address some elements on."""
        total = offsets[0]
        for offset in offsets[1:]:
            total = self.f.add(total, offset)
        return self.f.element(base, total, self.kind)

    def enter(self, index: Value) -> None:
        """Stand at a pair of batch and head, counted as one."""
        f, heads = self.f, self.n["heads"]
        self.index = index
        self.batch, self.head = f.binary("udiv", index, heads), f.binary("urem", index, heads)

    def matrix(self, name: str, scalar: str = "") -> Value:
        """The first element of an array's matrix at this batch and head."""
        f, n = self.f, self.n
        place = f.add(f.mul(self.batch, n[f"{name}_b"]), f.mul(self.head, n[f"{name}_h"]))
        return f.element(self.buffers[name], f.add(n[name], place), scalar or self.kind)

    def plain(self, name: str, rows: Value, columns: int) -> tuple[Value, Value]:
        """The matrix of a plain array [B, rows, H, columns] here, and the stride of its rows."""
        f = self.f
        step = f.mul(self.n["heads"], f.i64(columns))
        place = f.add(f.mul(self.batch, f.mul(rows, step)), f.mul(self.head, f.i64(columns)))
        return f.element(self.buffers[name], place, self.kind), step

    def line(self, base: Value, row: Value, name: str) -> Value:
        """The address of a row of a matrix."""
        return self.at(base, self.f.mul(row, self.n[f"{name}_t"]))


def pieces(p: Pass, columns: int) -> Iterator[tuple[int, Value | None]]:
    """The vectors of a row of so many columns: where each begins, and which lanes it has."""
    lanes = p.plan.lanes
    for start in range(0, columns, lanes):
        left = columns - start
        yield start, None if left >= lanes else first_lanes(p.f, p.f.i64(left), lanes)


def across(f: Function, value: Value, combine: Callable[[Value, Value], Value]) -> Value:
    """All lanes combined, halves with halves."""
    while lanes_of(value.type) > 1:
        half = lanes_of(value.type) // 2
        low = shuffle_to(f, value, range(half))
        high = shuffle_to(f, value, range(half, 2 * half))
        value = combine(low, high)
    return value


def shuffle_to(f: Function, value: Value, picks: Sequence[int]) -> Value:
    """Some lanes of a vector as a shorter vector, or as a scalar if it is one."""
    if len(picks) == 1:
        return f.extract(value, picks[0])
    found = shuffle(f, value, value, picks)
    return Value(found.name, vector(scalar_of(value.type), len(picks)))


def larger(f: Function, a: Value, b: Value) -> Value:
    """The larger number; b where a is NaN."""
    return f.select(f.compare("ogt", a, b), a, b)


def exponential(f: Function, x: Value) -> Value:
    """e^x for x up to a little above zero; zero where it would be denormal."""
    name = f"attention.exp.{scalar_of(x.type)}{lanes_of(x.type)}"
    return f.call_helper(name, lambda: _write_exponential(name, x.type), x.type, x)


def _write_exponential(name: str, type_: str) -> Function:
    f = Function(name, [("x", type_)], type_, "alwaysinline nounwind", "internal ")
    m = Arithmetic(f, type_)
    (x,) = f.parameters
    least = -87.0 if m.single else -708.0
    small = m.less(x, least)
    n, r = m.reduce_exp(m.select(small, m.const(least), x))
    value = m.mul(m.exp_reduced(r), m.power_of_two(n))
    f.return_(m.select(small, m.const(0), value))
    return f


# -- blocks of scores ---------------------------------------------------------------------------


def turn(p: Pass, base: Value, step: Value, depth: int, count: Value, to: Value) -> None:
    """`count` rows of `depth` numbers as columns: to[d · stride + s] = base[s · step + d].

    Whole register blocks of columns are written; beyond the last row it is repeated.
    """
    f, lanes, type_ = p.f, p.plan.lanes, p.type
    last = f.sub(count, f.i64(1))
    with f.loop(f.i64(0), _whole(p, count), f.i64(lanes)) as s:
        rows = [f.minimum(f.add(s.index, f.i64(i)), last) for i in range(lanes)]
        lines = [p.at(base, f.mul(row, step)) for row in rows]
        for start, mask in pieces(p, depth):
            block = [f.load_lanes(p.at(line, f.i64(start)), type_, mask) for line in lines]
            columns = transposed(f, block) if lanes > 1 else block
            for i in range(min(lanes, depth - start)):
                f.store(columns[i], p.at(to, f.i64((start + i) * p.stride), s.index))


def gather(p: Pass, base: Value, step: Value, columns: int, count: Value, to: Value) -> None:
    """Rows of an array one after the other, made up to whole vectors with zeros.

    Rows that lie a large power of two apart would not stay in the first-level cache together.
    """
    f = p.f
    with f.loop(f.i64(0), count, f.i64(1)) as row:
        line = p.at(base, f.mul(row.index, step))
        there = p.at(to, f.mul(row.index, f.i64(padded(p, columns))))
        for start, mask in pieces(p, columns):
            value = f.load_lanes(p.at(line, f.i64(start)), p.type, mask)
            f.store(value, p.at(there, f.i64(start)))


def padded(p: Pass, columns: int) -> int:
    """The length of a row of whole vectors."""
    return -(-columns // p.plan.lanes) * p.plan.lanes


def _whole(p: Pass, count: Value) -> Value:
    """A number of columns made up to whole register blocks."""
    f, width = p.f, p.plan.width
    return f.mul(f.binary("udiv", f.add(count, f.i64(width - 1)), f.i64(width)), f.i64(width))


class Tile:
    """A register block's place: its queries, its first key's block, how many keys that has.

    rows: the absolute number of each of its queries (the last one's, beyond the end); first: of
    the first, not held back; start: the block's first key; count: its keys.
    """

    def __init__(self, p: Pass, first: Value, start: Value, count: Value) -> None:
        f = p.f
        last = f.sub(p.n["queries"], f.i64(1))
        self.first, self.start, self.count = first, start, count
        self.rows = [f.minimum(f.add(first, f.i64(r)), last) for r in range(p.plan.rows)]

    def seen(self, p: Pass, row: int) -> Value:
        """How many keys of the block a row may see."""
        f = p.f
        if not p.plan.causal:
            return self.count
        upto = f.sub(f.add(self.first, f.i64(row + 1)), self.start)
        return f.maximum(f.minimum(self.count, upto), f.i64(0))

    def columns(self, p: Pass) -> tuple[Value, Value]:
        """The columns that all rows see, in whole register blocks; and those that some row sees."""
        f, width = p.f, p.plan.width
        whole = f.mul(f.binary("udiv", self.seen(p, 0), f.i64(width)), f.i64(width))
        return whole, self.seen(p, p.plan.rows - 1)


def scores(
    p: Pass, tile: Tile, lefts: Sequence[Value], column: Value, bounded: bool
) -> list[Value]:
    """The block's scores, row by row; −∞ where nothing is seen. lefts: its rows of Q."""
    f, plan = p.f, p.plan
    zero = [f.const(0, p.type)] * (plan.rows * plan.vectors)
    rights = [p.at(p.turned_keys, column, f.i64(v * plan.lanes)) for v in range(plan.vectors)]
    found = multiply_add_block(f, f.i64(plan.depth), zero, lefts, rights, f.i64(1), f.i64(p.stride))
    mask = p.matrix("mask", "i8" if plan.mask == "bool" else "") if plan.mask else None
    result = []
    for r in range(plan.rows):
        for v in range(plan.vectors):
            x = f.fmul(found[r * plan.vectors + v], p.scale)
            place = f.add(column, f.i64(v * plan.lanes))
            if mask is not None:
                x = _with_mask(p, tile, mask, r, place, x)
            if bounded:
                x = f.select(below(f, f.sub(tile.seen(p, r), place), plan.lanes), x, p.nothing)
            result.append(x)
    return result


def _with_mask(p: Pass, tile: Tile, mask: Value, r: int, place: Value, x: Value) -> Value:
    f, lanes = p.f, p.plan.lanes
    there = below(f, f.sub(tile.count, place), lanes)
    offset = f.add(f.mul(tile.rows[r], p.n["mask_t"]), f.add(tile.start, place))
    if p.plan.mask == "add":
        given = f.masked_load(f.element(mask, offset, p.kind), p.type, there)
        return f.fadd(x, given)
    type_ = vector("i8", lanes)
    given = f.masked_load(f.element(mask, offset, "i8"), type_, there)
    return f.select(f.compare("ne", given, f.const(0, type_)), x, p.nothing)


def below(f: Function, count: Value, lanes: int) -> Value:
    """The mask of the lanes below a count, in small integers."""
    bound = f.maximum(f.minimum(count, f.i64(lanes)), f.i64(0))
    narrow = f.convert("trunc", bound, "i32")
    return f.compare("slt", f.lane_numbers(lanes, "i32"), f.splat(narrow, lanes))


# -- products into rows of memory ---------------------------------------------------------------


def add_product(
    p: Pass, columns: int, count: Value, depth: Value,
    left: tuple[Value, int, int], right: Value, to: tuple[Value, Value],
    rows: int, factors: Sequence[Value] | None = None,
) -> None:  # fmt: skip
    """to[r] = factor[r] · to[r] + Σ_k left[r, k] right[k], for the first `count` of `rows` rows.

    left: its first element, the steps of r and of k; right: its first element, in rows of whole
    vectors; to: first element, step of rows.
    """
    f, lanes = p.f, p.plan.lanes
    base, step_row, step_k = left
    lefts = [p.at(base, f.i64(r * step_row)) for r in range(rows)]
    last = f.sub(count, f.i64(1))
    lines = [p.at(to[0], f.mul(f.minimum(f.i64(r), last), to[1])) for r in range(rows)]
    vectors = list(pieces(p, columns))
    most = max(p.plan.across, p.plan.key_rows // rows)
    parts = -(-len(vectors) // most)
    each = -(-len(vectors) // parts)
    for start in range(0, len(vectors), each):
        group = vectors[start : start + each]
        sums = []
        for r in range(rows):
            for offset, mask in group:
                value = f.load_lanes(p.at(lines[r], f.i64(offset)), p.type, mask)
                sums.append(f.fmul(value, f.splat(factors[r], lanes)) if factors else value)
        rights = [p.at(right, f.i64(offset)) for offset, _ in group]
        along = f.i64(padded(p, columns))
        sums = multiply_add_block(f, depth, sums, lefts, rights, f.i64(step_k), along)
        for r in range(rows):
            with f.when(f.compare("sle", f.i64(r), last)):
                for i, (offset, mask) in enumerate(group):
                    f.store_lanes(sums[r * len(group) + i], p.at(lines[r], f.i64(offset)), mask)


def clear(p: Pass, base: Value, step: Value, start: Value, stop: Value, columns: int) -> None:
    """Rows start to stop become zero."""
    f = p.f
    with f.loop(start, stop, f.i64(1)) as row:
        line = p.at(base, f.mul(row.index, step))
        for offset, mask in pieces(p, columns):
            f.store_lanes(f.const(0, p.type), p.at(line, f.i64(offset)), mask)


# -- dropout ------------------------------------------------------------------------------------


def draw(p: Pass, to: Value, first: Value, rows: Value, start: Value, count: Value) -> None:
    """By what dropout multiplies the weights of some rows, from row `first` and key `start` on.

    The bits are those of `random_bits` for rows of whole groups, so a block begins with a group.
    """
    f, lanes, n = p.f, p.plan.lanes, p.n
    groups = f.binary("udiv", f.add(n["keys"], f.i64(GROUP - 1)), f.i64(GROUP))
    chance = f.splat(f.convert("trunc", n["chance"], "i32"), lanes)
    zero = f.const(0, p.type)
    with f.loop(f.i64(0), rows, f.i64(1)) as row:
        line = f.add(f.mul(p.index, n["queries"]), f.add(first, row.index))
        begin = f.mul(line, groups)
        with f.loop(f.i64(0), count, f.i64(GROUP)) as column:
            group = f.add(begin, f.binary("udiv", f.add(start, column.index), f.i64(GROUP)))
            there = p.at(to, f.mul(row.index, f.i64(p.stride)), column.index)
            for part in range(0, BLOCKS, lanes):
                block = f.add(f.mul(group, f.i64(BLOCKS)), f.i64(part))
                blocks = f.add(f.splat(block, lanes), f.lane_numbers(lanes))
                drawn = philox.words(f, blocks, n["stream"], p.seed, p.counter)
                for w, bits in enumerate(drawn):
                    kept = f.select(f.compare("ult", bits, chance), p.grown, zero)
                    f.store(kept, p.at(there, f.i64(w * BLOCKS + part)))
