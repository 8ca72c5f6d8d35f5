"""The matrix product: panels packed into contiguous memory, then register blocks over them.

    C[b, m, n] = Σ_k A[b, m, k] B[b, k, n]

A is packed into panels of `rows` rows, [panel][k][row], and B into panels of a few vectors of
columns, [panel][k][column]; both with zeros beyond the edges, so that the innermost loop has no
special cases, whatever the strides of A and B were. Each output is summed by one thread in the
order of k, so results do not depend on the number of threads. Products too small to be worth the
packing are computed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from glubina.codegen.blocks import alloca, first_lanes, multiply_add_block, transposed
from glubina.codegen.emitter import Function, Value, vector
from glubina.codegen.frame import Frame
from glubina.codegen.target import Target, llvm_type

SMALL = 1 << 14
"""Multiplications below which a product is computed without packing."""


class Epilogue(Protocol):
    """What happens to results: everything after the anchor, and the stores."""

    def prepare(self, f: Function) -> None:
        """Load what does not change; called in the function's first block."""

    def store(
        self, f: Function, index: tuple[Value, ...], values: Value, mask: Value | None
    ) -> None:
        """Finish and store values at an index whose last component is the first lane's."""


@dataclass(frozen=True)
class MatmulShape:
    """Extents and strides in elements: A is (batch, m, k), B is (batch, k, n)."""

    batch: tuple[int, ...]
    m: int
    k: int
    n: int
    a_strides: tuple[int, int]
    b_strides: tuple[int, int]


@dataclass(frozen=True)
class MatmulPlan:
    """What is compiled in: the block, and which of the strides are 1."""

    dtype: str
    small: bool
    rows: int
    vectors: int
    a_by_row: bool
    b_by_row: bool
    lanes: int


def plan_matmul(shape: MatmulShape, dtype: np.dtype, target: Target) -> MatmulPlan:
    """Choose the register block: the rows that leave least undone at the edge."""
    lanes = target.lanes(dtype)
    small = shape.m * shape.k * shape.n <= SMALL
    vectors = 1 if shape.n <= lanes else 2
    most = (target.registers - 4) // vectors if target.registers == 32 else 12 // vectors
    most = min(most, 14)
    tiles = max(1, -(-shape.m // most))
    rows = max(1, -(-shape.m // tiles))
    if small:
        rows = min(rows, 4)
        vectors = 1
    by_row_a = shape.a_strides[1] == 1 and not (shape.a_strides[0] == 1 and shape.k == 1)
    return MatmulPlan(
        dtype.name, small, rows, vectors, by_row_a, shape.b_strides[1] == 1, lanes
    )


def panel_rows(plan: MatmulPlan) -> int:
    """The rows of a packed panel of A: whole vectors."""
    return -(-plan.rows // plan.lanes) * plan.lanes


def workspaces(plan: MatmulPlan, shape: MatmulShape) -> tuple[int, int]:
    """The bytes of the packed A and B."""
    size = np.dtype(plan.dtype).itemsize
    batch = int(np.prod(shape.batch, dtype=np.int64))
    deep = -(-shape.k // plan.lanes) * plan.lanes
    panels_a = -(-shape.m // plan.rows)
    columns = plan.vectors * plan.lanes
    panels_b = -(-shape.n // columns)
    return (
        batch * panels_a * deep * panel_rows(plan) * size,
        batch * panels_b * deep * columns * size,
    )


# -- packing ------------------------------------------------------------------------------------


def emit_pack(
    name: str, plan: MatmulPlan, contiguous: bool, rows: int, stride: int
) -> Function:
    """Pack a matrix [batch, long, k] into panels [panel][k][stride] of `rows` of its long axis.

    Buffers: source, panels. Numbers: batch, long, k, the strides of long, k and batch, the offset
    of the first element. `contiguous` tells that k is the axis with stride 1 (blocks are
    transposed on the way).
    """
    frame = Frame(name, 2)
    f, dtype = frame.f, np.dtype(plan.dtype)
    source, panels = frame.buffer(0), frame.buffer(1)
    batch, long, depth, step_long, step_k, step_batch = (frame.number(i) for i in range(6))
    source = f.element(source, frame.number(6), llvm_type(dtype))
    kind, lanes = llvm_type(dtype), plan.lanes
    deep = f.mul(
        f.binary("udiv", f.add(depth, f.i64(lanes - 1)), f.i64(lanes)), f.i64(lanes)
    )
    count = f.binary("udiv", f.add(long, f.i64(rows - 1)), f.i64(rows))
    start, stop = frame.share(f.mul(count, batch), 1)
    with f.loop(start, stop, f.i64(1)) as tile:
        panel = f.binary("urem", tile.index, count)
        item = f.binary("udiv", tile.index, count)
        first = f.mul(panel, f.i64(rows))
        origin = f.element(source, f.mul(item, step_batch), kind)
        target_panel = f.element(panels, f.mul(tile.index, f.mul(deep, f.i64(stride))), kind)
        pack = _pack_transposed if contiguous else _pack_straight
        pack(f, kind, lanes, stride, origin, target_panel, first, long, depth, step_long, step_k)
    return frame.finish()


def _pack_straight(
    f: Function, kind: str, lanes: int, stride: int, source: Value, panel: Value,
    first: Value, long: Value, depth: Value, step_long: Value, step_k: Value,
) -> None:  # fmt: skip
    """The long axis has any stride; where it is 1, whole vectors are copied."""
    type_ = vector(kind, lanes)
    masks = []
    for at in range(0, stride, lanes):
        masks.append(first_lanes(f, f.sub(f.sub(long, first), f.i64(at)), lanes))
    one = f.compare("eq", step_long, f.i64(1))
    with f.when(one), f.loop(f.i64(0), depth, f.i64(1)) as k:
        base = f.element(source, f.add(first, f.mul(k.index, step_k)), kind)
        for mask, at in zip(masks, range(0, stride, lanes), strict=True):
            values = f.masked_load(f.element(base, f.i64(at), kind), type_, mask)
            spot = f.add(f.mul(k.index, f.i64(stride)), f.i64(at))
            f.store(values, f.element(panel, spot, kind))
    other = f.emit("i1", f"xor {one}, true")
    with f.when(other), f.loop(f.i64(0), depth, f.i64(1)) as k:
        with f.loop(f.i64(0), f.i64(stride), f.i64(1)) as r:
            row = f.add(first, r.index)
            row = f.minimum(row, f.sub(long, f.i64(1)))
            spot = f.add(f.mul(row, step_long), f.mul(k.index, step_k))
            value = f.load(f.element(source, spot, kind), kind)
            there = f.add(f.mul(k.index, f.i64(stride)), r.index)
            f.store(value, f.element(panel, there, kind))


def _pack_transposed(
    f: Function, kind: str, lanes: int, stride: int, source: Value, panel: Value,
    first: Value, long: Value, depth: Value, step_long: Value, step_k: Value,
) -> None:  # fmt: skip
    """k has stride 1: square blocks are transposed in registers."""
    type_ = vector(kind, lanes)
    last = f.sub(long, f.i64(1))
    with f.loop(f.i64(0), depth, f.i64(lanes)) as k:
        mask = first_lanes(f, f.sub(depth, k.index), lanes)
        with f.loop(f.i64(0), f.i64(stride), f.i64(lanes)) as at:
            rows = []
            for r in range(lanes):
                row = f.minimum(f.add(first, f.add(at.index, f.i64(r))), last)
                spot = f.add(f.mul(row, step_long), k.index)
                rows.append(f.masked_load(f.element(source, spot, kind), type_, mask))
            for i, column in enumerate(transposed(f, rows) if lanes > 1 else rows):
                place = f.add(f.mul(f.add(k.index, f.i64(i)), f.i64(stride)), at.index)
                f.store(column, f.element(panel, place, kind))


# -- the product --------------------------------------------------------------------------------


def emit_product(
    name: str, plan: MatmulPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
) -> Function:
    """The main stage over packed panels.

    Buffers: the epilogue's, of which the last two are the packed A and B. Numbers: batch, m, k, n.
    """
    frame = Frame(name, buffers)
    f, dtype = frame.f, np.dtype(plan.dtype)
    kind, lanes = llvm_type(dtype), plan.lanes
    type_, columns = vector(kind, lanes), plan.vectors * plan.lanes
    scratch = alloca(f, type_, plan.rows * plan.vectors)
    left, right = frame.buffer(buffers - 2), frame.buffer(buffers - 1)
    batch, m, depth, n = (frame.number(i) for i in range(4))
    finish = epilogue(frame)
    finish.prepare(f)
    deep = f.mul(
        f.binary("udiv", f.add(depth, f.i64(lanes - 1)), f.i64(lanes)), f.i64(lanes)
    )
    stride = panel_rows(plan)
    down = f.binary("udiv", f.add(m, f.i64(plan.rows - 1)), f.i64(plan.rows))
    across = f.binary("udiv", f.add(n, f.i64(columns - 1)), f.i64(columns))
    start, stop = frame.share(f.mul(batch, f.mul(down, across)), 1)
    zero = f.const(0, type_)
    with f.loop(start, stop, f.i64(1)) as tile:
        i = f.binary("urem", tile.index, down)
        rest = f.binary("udiv", tile.index, down)
        j = f.binary("urem", rest, across)
        b = f.binary("udiv", rest, across)
        a_panel = f.add(f.mul(b, down), i)
        b_panel = f.add(f.mul(b, across), j)
        a = f.element(left, f.mul(a_panel, f.mul(deep, f.i64(stride))), kind)
        w = f.element(right, f.mul(b_panel, f.mul(deep, f.i64(columns))), kind)
        lefts = [f.element(a, f.i64(r), kind) for r in range(plan.rows)]
        rights = [f.element(w, f.i64(v * lanes), kind) for v in range(plan.vectors)]
        sums = multiply_add_block(
            f, depth, [zero] * (plan.rows * plan.vectors), lefts, rights,
            f.i64(stride), f.i64(columns),
        )  # fmt: skip
        for spot, value in enumerate(sums):
            f.store(value, f.element(scratch, f.i64(spot * lanes), kind))
        row = f.mul(i, f.i64(plan.rows))
        column = f.mul(j, f.i64(columns))
        _finish_rows(f, plan, kind, finish, scratch, b, row, column, m, n)
    return frame.finish()


def _finish_rows(
    f: Function, plan: MatmulPlan, kind: str, finish: Epilogue, scratch: Value,
    b: Value, row: Value, column: Value, m: Value, n: Value,
) -> None:  # fmt: skip
    """Hand the block's rows to the epilogue, one vector at a time."""
    lanes = plan.lanes
    rows = f.minimum(f.i64(plan.rows), f.sub(m, row))
    with f.loop(f.i64(0), rows, f.i64(1)) as r:
        for v in range(plan.vectors):
            at = f.add(column, f.i64(v * lanes))
            mask = first_lanes(f, f.sub(n, at), lanes)
            spot = f.add(f.mul(r.index, f.i64(plan.vectors * lanes)), f.i64(v * lanes))
            values = f.load(f.element(scratch, spot, kind), vector(kind, lanes))
            finish.store(f, (b, f.add(row, r.index), at), values, mask)


def emit_small(
    name: str, plan: MatmulPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
) -> Function:
    """One stage without packing, for products so small that packing would cost more.

    Buffers: the epilogue's, of which the last two are A and B. Numbers: batch, m, k, n, the
    strides of A (batch, m, k) and of B (batch, k, n), the offsets of their first elements.
    """
    frame = Frame(name, buffers)
    f, dtype = frame.f, np.dtype(plan.dtype)
    kind, lanes = llvm_type(dtype), plan.lanes
    type_ = vector(kind, lanes)
    left, right = frame.buffer(buffers - 2), frame.buffer(buffers - 1)
    batch, m, depth, n = (frame.number(i) for i in range(4))
    sab, sam, sak, sbb, sbk, sbn = (frame.number(i) for i in range(4, 10))
    left = f.element(left, frame.number(10), kind)
    right = f.element(right, frame.number(11), kind)
    scratch = alloca(f, type_, plan.rows)
    finish = epilogue(frame)
    finish.prepare(f)
    down = f.binary("udiv", f.add(m, f.i64(plan.rows - 1)), f.i64(plan.rows))
    across = f.binary("udiv", f.add(n, f.i64(lanes - 1)), f.i64(lanes))
    start, stop = frame.share(f.mul(batch, f.mul(down, across)), 1)
    zero = f.const(0, type_)
    with f.loop(start, stop, f.i64(1)) as tile:
        i = f.binary("urem", tile.index, down)
        rest = f.binary("udiv", tile.index, down)
        j = f.binary("urem", rest, across)
        b = f.binary("udiv", rest, across)
        row, column = f.mul(i, f.i64(plan.rows)), f.mul(j, f.i64(lanes))
        mask = first_lanes(f, f.sub(n, column), lanes)
        lefts = []
        for r in range(plan.rows):
            line = f.minimum(f.add(row, f.i64(r)), f.sub(m, f.i64(1)))
            lefts.append(f.element(left, f.add(f.mul(b, sab), f.mul(line, sam)), kind))
        origin = f.element(right, f.add(f.mul(b, sbb), f.mul(column, sbn)), kind)
        with f.loop(f.i64(0), depth, f.i64(1), [zero] * plan.rows) as k:
            base = f.element(origin, f.mul(k.index, sbk), kind)
            if plan.b_by_row or lanes == 1:
                values = f.masked_load(base, type_, mask) if lanes > 1 else f.load(base, kind)
            else:
                offsets = f.binary("mul", f.lane_numbers(lanes), f.splat(sbn, lanes))
                text = f"getelementptr inbounds {kind}, {base}, {offsets}"
                values = f.gather(f.emit(vector("ptr", lanes), text), type_, mask)
            here = f.mul(k.index, sak)
            following = []
            for p, total in zip(lefts, k.values, strict=True):
                a = f.splat(f.load(f.element(p, here, kind), kind), lanes)
                following.append(f.fma(a, values, total))
            k.carry(following)
        for spot, value in enumerate(k.results):
            f.store(value, f.element(scratch, f.i64(spot * lanes), kind))
        rows = f.minimum(f.i64(plan.rows), f.sub(m, row))
        with f.loop(f.i64(0), rows, f.i64(1)) as r:
            value = f.load(f.element(scratch, f.mul(r.index, f.i64(lanes)), kind), type_)
            finish.store(f, (b, f.add(row, r.index), column), value, mask)
    return frame.finish()

