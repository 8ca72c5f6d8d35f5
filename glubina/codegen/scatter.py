"""scatter_add: updates added where their indices point, in the order in which they come.

The output is cut by places, not the updates: a thread owns some slices of the output, goes through
all the indices, and adds the updates that fall into its own slices. So every sum has a fixed order,
whatever the number of threads, and no two threads write to one place.
"""

from __future__ import annotations

import math

from glubina.codegen import elementwise
from glubina.codegen.canonical import Structure
from glubina.codegen.elementwise import one_bit
from glubina.codegen.emitter import Function, module
from glubina.codegen.expression import Evaluator, check_range
from glubina.codegen.frame import Frame
from glubina.codegen.lowered import Lowering, Stage
from glubina.codegen.target import Target, llvm_type
from glubina.codegen.values import Value, is_float, vector
from glubina.graph.node import Node
from glubina.schedule.affine import ZERO, Affine, Space
from glubina.schedule.views import reshaped, steady_inputs


def lower(form: Structure, target: Target) -> Lowering:
    """The native functions of a scatter_add: add into the output, then what follows it."""
    kernel = form.kernel
    anchor = kernel.anchors[0]
    count = len(kernel.inputs) + len(kernel.outputs)
    plan = ScatterPlan(anchor, target)
    direct = kernel.outputs == (anchor,)
    workspaces = () if direct else (max(64, anchor.size * anchor.dtype.itemsize),)
    buffers = tuple(range(count)) + tuple(-1 - i for i in range(len(workspaces)))
    indices = anchor.sources[0].size
    numbers = (plan.outer, indices, anchor.size, *form.arguments())
    symbol = f"scatter_{form.key}"
    stages = [Stage(f"{symbol}_add", buffers, numbers)]
    if not direct:
        stages.append(Stage(f"{symbol}_finish", buffers, numbers))

    def write() -> list[Function]:
        texts = [_Add(f"{symbol}_add", form, plan, len(buffers)).function()]
        if not direct:
            texts.append(_finish(f"{symbol}_finish", form, plan, len(buffers)))
        return texts

    flops = anchor.sources[1].size
    return Lowering(form.key, tuple(stages), workspaces, lambda: module(write()), flops)


class ScatterPlan:
    """The output as [outer, extent, inner]: slices along the axis that the indices point into."""

    def __init__(self, anchor: Node, target: Target) -> None:
        shape, axis = anchor.shape, anchor.attributes.axis
        self.outer = math.prod(shape[:axis])
        self.extent = shape[axis]
        self.inner = math.prod(shape[axis + 1 :])
        size = min(8, max(4, anchor.dtype.itemsize))
        lanes = target.vector_bits // 8 // size
        self.lanes = lanes if self.inner * 2 >= lanes else 1


class _Add:
    """The stage that clears the output and adds the updates."""

    def __init__(self, symbol: str, form: Structure, plan: ScatterPlan, buffers: int) -> None:
        kernel = form.kernel
        self.plan = plan
        self.anchor = kernel.anchors[0]
        self.frame = Frame(symbol, buffers)
        self.f = self.frame.f
        self.space = Space()
        pointers = {node: self.frame.buffer(i) for i, node in enumerate(kernel.inputs)}
        constants = self.frame.constants(form.numbers, 3)
        self.e = Evaluator(
            self.frame, self.space, plan.lanes, pointers, constants, frozenset(kernel.inputs)
        )
        self.target = self.frame.buffer(buffers - 1)
        self.scalar = llvm_type(self.anchor.dtype)

    def function(self) -> Function:
        """This thread's rows of the output (outer places x slices): cleared, then added to."""
        f, frame, plan = self.f, self.frame, self.plan
        rows = f.mul(frame.number(0), f.i64(plan.extent))
        start, stop = frame.share(rows, 1)
        size = f.i64(plan.inner)
        first, end = f.mul(start, size), f.mul(stop, size)
        zero = elementwise.zero(f, self.anchor.dtype)
        with f.loop(first, end, f.i64(1)) as clear:
            f.store(zero, f.element(self.target, clear.index, self.scalar))
        extent = f.i64(plan.extent)
        outer_end = f.binary("udiv", f.sub(f.add(stop, extent), f.i64(1)), extent)
        with f.loop(f.binary("udiv", start, extent), outer_end, f.i64(1)) as outer:
            base = f.mul(outer.index, extent)
            low, high = f.sub(start, base), f.sub(stop, base)
            with f.loop(f.i64(0), frame.number(1), f.i64(1)) as item, self.e.index.scope():
                whole = self.anchor.attributes.axis == 0
                place = ZERO if whole else self.space.loop(None)
                number = self.space.loop(None if whole else self.anchor.sources[0].size)
                self.e.index.bind(place, outer.index)
                self.e.index.bind(number, item.index)
                slot = self._slot(number)
                mine = f.binary("and", f.compare("sge", slot, low), f.compare("slt", slot, high))
                with f.when(mine), self.e.index.scope():
                    row = f.mul(f.add(base, slot), size)
                    self._add_slice(place, number, row)
        return frame.finish()

    def _slot(self, number: Affine) -> Value:
        """The index of one update; raises one outside the axis."""
        indices = self.anchor.sources[0]
        where = self.space.unflatten(number, indices.shape) if indices.shape else ()
        raw = self.e.evaluate(indices, where)
        slot = elementwise.cast(self.f, raw, indices.dtype, elementwise.INDEX)
        check_range(self.e, slot, self.plan.extent)
        return slot

    def _add_slice(self, place: Affine, number: Affine, row: Value) -> None:
        """Add one slice of the updates to the output's row."""
        f, plan = self.f, self.plan
        full = plan.inner // plan.lanes * plan.lanes
        if full:
            column = self.space.counter(full - plan.lanes, plan.lanes)
            with f.loop(f.i64(0), f.i64(full), f.i64(plan.lanes)) as loop:
                self.e.index.bind(column, loop.index)
                self._add_vector(place, number, row, column, None, plan.lanes)
        if full < plan.inner:
            mask = self.e.mask_below(f.i64(plan.inner - full))
            at = Affine(full, ())
            self._add_vector(place, number, row, at, mask, plan.inner - full)

    def _add_vector(
        self, place: Affine, number: Affine, row: Value, column: Affine, mask: Value | None,
        used: int,
    ) -> None:  # fmt: skip
        f, e, space, plan = self.f, self.e, self.space, self.plan
        updates = self.anchor.sources[1]
        with e.masked(mask), e.index.lanes_in_use(used):
            inner = space.add(column, e.index.lane)
            step = self.anchor.sources[0].size * plan.inner
            flat = space.combine(((place, step), (number, plan.inner), (inner, 1)))
            index = reshaped((flat,), (updates.size,), updates.shape, space)
            value = e.full(updates, index)
            address = f.element(self.target, f.add(row, e.index.scalar(column)), self.scalar)
            type_ = vector(self.scalar, plan.lanes)
            old = f.load_lanes(address, type_, mask)
            total = f.fadd(old, value) if is_float(type_) else f.binary("add", old, value)
            f.store_lanes(total, address, mask)


def _finish(symbol: str, form: Structure, plan: ScatterPlan, buffers: int) -> Function:
    """The stage that works out what follows the anchor, element by element."""
    kernel = form.kernel
    anchor = kernel.anchors[0]
    frame = Frame(symbol, buffers)
    f, space = frame.f, Space()
    pointers = {node: frame.buffer(i) for i, node in enumerate(kernel.inputs)}
    constants = frame.constants(form.numbers, 3)
    lanes = plan.lanes
    e = Evaluator(frame, space, lanes, pointers, constants, steady_inputs(kernel))
    count = len(kernel.inputs)
    targets = [frame.buffer(count + i) for i in range(len(kernel.outputs))]
    sums = frame.buffer(buffers - 1)
    start, stop = frame.share(frame.number(2), 64)
    position = space.loop(None, lanes)
    with f.loop(start, stop, f.i64(lanes)) as loop:
        e.index.bind(position, loop.index)
        mask = e.mask_below(f.sub(stop, loop.index)) if lanes > 1 else None
        with e.masked(mask):
            flat = space.add(position, e.index.lane)
            address = f.element(sums, loop.index, llvm_type(anchor.dtype))
            type_ = vector(llvm_type(anchor.dtype), lanes)
            total = f.load_lanes(address, type_, mask)
            e.given[anchor] = flat, one_bit(f, total, anchor.dtype)
            results = []
            for output in kernel.outputs:
                index = reshaped((flat,), (output.size,), output.shape, space)
                results.append(e.evaluate(output, index if output.shape else ()))
            for output, target, value in zip(kernel.outputs, targets, results, strict=True):
                e.store(target, output, position, value)
    return frame.finish()
