"""A stage of a matrix product being written: its numbers, its factors, its way out."""

from __future__ import annotations

import numpy as np

from glubina.codegen.blocks import first_lanes
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.matmul_plan import MatmulPlan
from glubina.codegen.packing import count_value, deep_value
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, vector

NUMBERS = 20  # how many numbers a stage has before the epilogue's


class Product:
    """A stage being written: its buffers and numbers, read once."""

    def __init__(self, name: str, plan: MatmulPlan, own: int) -> None:
        self.plan = plan
        self.frame = Frame(name, own + 4)
        self.f = f = self.frame.f
        self.kind = llvm_type(np.dtype(plan.dtype))
        self.type = vector(self.kind, plan.lanes)
        a, b, panels, self.sums = (self.frame.buffer(own + i) for i in range(4))
        read = [self.frame.number(i) for i in range(NUMBERS)]
        self.batch, self.m, self.k, self.n, self.parts, self.per = read[:6]
        self.a, self.a_steps = f.element(a, read[6], self.kind), read[7:10]
        self.b, self.b_steps = f.element(b, read[10], self.kind), read[11:14]
        self.a_panels, self.b_panels = panels, f.element(panels, read[14], self.kind)
        self.together, self.lines, self.deep, self.slots, self.slot = read[15:20]
        self.down = count_value(f, self.m, plan.rows)
        self.across = count_value(f, self.n, plan.columns)
        self.room = deep_value(f, self.k, plan.lanes)

    def at(self, base: Value, *offsets: Value) -> Value:
        """The address some elements on."""
        total = offsets[0]
        for offset in offsets[1:]:
            total = self.f.add(total, offset)
        return self.f.element(base, total, self.kind)

    def mask(self, column: Value, v: int) -> Value | None:
        """Which lanes of the block's vector v exist."""
        if self.plan.whole:
            return None
        f, lanes = self.f, self.plan.lanes
        return first_lanes(f, f.sub(f.sub(self.n, column), f.i64(v * lanes)), lanes)


def lefts_of(
    p: Product, batch: Value, i: Value, row: Value, first: Value
) -> tuple[list[Value], Value]:
    """The addresses of a block's rows of A, and the step from one k to the next."""
    f, plan, (step_batch, step_row, step) = p.f, p.plan, p.a_steps
    if plan.a == "panels":
        stride = f.i64(plan.a_panels.stride)
        panel = f.mul(f.add(f.mul(batch, p.down), i), f.mul(p.room, stride))
        base = p.at(p.a_panels, panel, f.mul(first, stride))
        return [p.at(base, f.i64(r)) for r in range(plan.rows)], stride
    if plan.a == "dense":
        step = f.i64(1)
    base = p.at(p.a, f.mul(batch, step_batch), f.mul(first, step))
    last = f.sub(p.m, f.i64(1))
    lines = [f.minimum(f.add(row, f.i64(r)), last) for r in range(plan.rows)]
    return [p.at(base, f.mul(line, step_row)) for line in lines], step


def rights_of(
    p: Product, batch: Value, j: Value, column: Value, first: Value
) -> tuple[list[Value], Value, list[Value] | None]:
    """The addresses of a block's vectors of B, the step to the next k, the lanes that exist."""
    f, plan, (step_batch, step, step_column) = p.f, p.plan, p.b_steps
    if plan.b == "panels":
        stride = f.i64(plan.columns)
        panel = f.mul(f.add(f.mul(batch, p.across), j), f.mul(p.room, stride))
        base = p.at(p.b_panels, panel, f.mul(first, stride))
        return [p.at(base, f.i64(v * plan.lanes)) for v in range(plan.vectors)], stride, None
    if plan.b == "dense":
        step_column = f.i64(1)
    base = p.at(p.b, f.mul(batch, step_batch), f.mul(first, step))
    places = [f.add(column, f.i64(v * plan.lanes)) for v in range(plan.vectors)]
    masks = [p.mask(column, v) for v in range(plan.vectors)]
    rights = [p.at(base, f.mul(place, step_column)) for place in places]
    return rights, step, None if plan.whole else [m for m in masks if m is not None]


def finish_rows(
    p: Product, finish: Epilogue, scratch: Value, batch: Value, row: Value, column: Value
) -> None:
    """Hand the block's rows to the epilogue, one vector at a time."""
    f, plan = p.f, p.plan
    rows = f.minimum(f.i64(plan.rows), f.sub(p.m, row))
    with f.loop(f.i64(0), rows, f.i64(1)) as r:
        base = p.at(scratch, f.mul(r.index, f.i64(plan.columns)))
        for v in range(plan.vectors):
            values = f.load(p.at(base, f.i64(v * plan.lanes)), p.type)
            index = batch, f.add(row, r.index), f.add(column, f.i64(v * plan.lanes))
            finish.store(f, index, values, p.mask(column, v))


def fetch_rows(
    p: Product, finish: Epilogue, batch: Value, row: Value, column: Value
) -> None:  # fmt: skip
    """Ask for the memory of a block's epilogue, which comes while its sums are worked out."""
    f, plan = p.f, p.plan
    rows = f.minimum(f.i64(plan.rows), f.sub(p.m, row))
    with f.loop(f.i64(0), rows, f.i64(1)) as r:
        for v in range(plan.vectors):
            finish.fetch(f, (batch, f.add(row, r.index), f.add(column, f.i64(v * plan.lanes))))
