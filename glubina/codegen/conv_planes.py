"""Convolution with few output channels: vectors run along neighbouring pixels.

    y[n, o, c] = Σ_k Σ_i x[n, o·stride + k·dilation − padding, i] w[k, i, c]

Where a group has fewer output channels than a vector has lanes, vectors of channels would be mostly
empty. So a strip of the image is laid out in planes (`planes.py`), a block of pixel vectors x
output channels stays in registers while taps and input channels pass, the filter's numbers are
broadcast, and the finished planes are turned back to channels-last, line by line.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glubina.codegen.blocks import alloca, first_lanes, multiply_add_block, shuffle, transposed
from glubina.codegen.emitter import Function
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.planes import Packer, read_axis
from glubina.codegen.planes_plan import FIXED, PER_AXIS, PlanesPlan
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, lanes_of, vector

TOGETHER = 8
"""Input channels that pass before the next tap's turn."""


def emit_planes(
    name: str, plan: PlanesPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
) -> Function:
    """One phase of a convolution.

    Buffers: the epilogue's; of all `buffers` the last three are x, w and the threads' planes. The
    epilogue counts (images, spatial axes, channels); a flat one counts the last two as one axis.
    """
    return _Emit(Frame(name, buffers), plan, epilogue, buffers).function()


class _Emit:
    """Writes one such convolution."""

    def __init__(
        self, frame: Frame, plan: PlanesPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
    ) -> None:
        self.frame, self.f, self.plan = frame, frame.f, plan
        f, self.kind = self.f, llvm_type(np.dtype(plan.dtype))
        self.type = vector(self.kind, plan.lanes)
        self.scratch = alloca(f, self.type, plan.lanes)
        self.x, self.w, slots = (frame.buffer(buffers - 3 + i) for i in range(3))
        read = [frame.number(i) for i in range(FIXED)]
        self.batch, self.rows, self.strips, most, self.step, self.out_step, slot = read
        frame.threads = f.minimum(frame.threads, most)
        self.axes = [read_axis(frame, FIXED, axis) for axis in range(plan.rank)]
        self.table = FIXED + PER_AXIS * plan.rank
        self.taps = frame.number(self.table)
        self.packer = Packer(
            frame, self.kind, plan.lanes, self.axes, plan.cin, self.rows, plan.copied
        )
        self.planes = f.element(slots, f.mul(frame.thread, slot), self.kind)
        size = f.mul(self.step, f.i64(plan.cin))
        self.results = f.element(self.planes, size, self.kind)
        self.size = size
        self.finish = epilogue(frame)
        self.finish.prepare(f)

    def function(self) -> Function:
        """This thread's share of the strips, one after another."""
        f, plan, axis = self.f, self.plan, self.axes[0]
        start, stop = self.frame.share(f.mul(self.batch, self.strips), 1)
        image = self.packer.inputs[0]
        with f.loop(start, stop, f.i64(1)) as item:
            n = f.binary("udiv", item.index, self.strips)
            first = f.mul(f.binary("urem", item.index, self.strips), self.rows)
            rows = f.minimum(self.rows, f.sub(axis.count, first))
            if plan.padded:
                fresh = f.compare("eq", item.index, start)
                several = f.compare("sgt", self.strips, f.i64(1))
                outside = f.binary("and", self.packer.leaves(first, rows), several)
                with f.when(f.binary("or", fresh, outside)):  # else the zeros still stand
                    self.packer.clear(self.planes, self.size)
            here = f.element(self.x, f.mul(n, f.mul(image, axis.extent)), self.kind)
            self.packer.pack(here, self.planes, self.step, first, rows)
            self._multiply(f.mul(rows, self.packer.pitches[0]))
            self._finish(n, first, rows)
        return self.frame.finish()

    # -- products -------------------------------------------------------------------------------

    def _multiply(self, total: Value) -> None:
        """The planes of all output channels, a block of channels x pixels at a time."""
        f, plan = self.f, self.plan
        per_group, inner = plan.cout // plan.groups, plan.cin // plan.groups
        blocks = -(-per_group // plan.channels)
        with f.loop(f.i64(0), f.i64(plan.groups * blocks), f.i64(1)) as item:
            group = f.binary("udiv", item.index, f.i64(blocks))
            number = f.binary("urem", item.index, f.i64(blocks))
            channel = f.minimum(
                f.mul(number, f.i64(plan.channels)), f.i64(per_group - plan.channels)
            )
            out = f.add(f.mul(group, f.i64(per_group)), channel)
            base = f.mul(f.mul(group, f.i64(inner)), self.step)
            planes = f.element(self.planes, base, self.kind)
            results = f.element(self.results, f.mul(out, self.out_step), self.kind)
            weights = f.element(self.w, out, self.kind)
            span = f.i64(plan.vectors * plan.lanes)
            with f.loop(f.i64(0), total, span) as q:
                here = f.element(planes, q.index, self.kind)
                self._block(here, weights, f.element(results, q.index, self.kind))

    def _block(self, planes: Value, weights: Value, results: Value) -> None:
        """A few input channels at a time: their planes stay in the first-level cache."""
        f, plan, kind = self.f, self.plan, self.kind
        zeros = [f.const(0, self.type)] * (plan.channels * plan.vectors)
        step, inner = f.i64(plan.cout), f.i64(plan.cin // plan.groups)
        with f.loop(f.i64(0), inner, f.i64(TOGETHER), zeros) as part:
            count = f.minimum(f.sub(inner, part.index), f.i64(TOGETHER))
            near = f.element(planes, f.mul(part.index, self.step), kind)
            w_near = f.element(weights, f.mul(part.index, step), kind)
            with f.loop(f.i64(0), self.taps, f.i64(1), part.values) as tap:
                there, at = (self._entry(tap.index, i) for i in range(2))
                x, w = f.element(near, there, kind), f.element(w_near, at, kind)
                rights = [f.element(x, f.i64(v * plan.lanes), kind) for v in range(plan.vectors)]
                lefts = [f.element(w, f.i64(c), kind) for c in range(plan.channels)]
                sums = multiply_add_block(f, count, tap.values, lefts, rights, step, self.step)
                tap.carry(sums)
            part.carry(tap.results)
        for i, value in enumerate(part.results):
            c, v = divmod(i, plan.vectors)
            place = f.element(results, f.mul(f.i64(c), self.out_step), kind)
            f.store(value, f.element(place, f.i64(v * plan.lanes), kind))

    def _entry(self, tap: Value, which: int) -> Value:
        """A number of the table."""
        f = self.f
        first = f.i64(self.frame.buffers + self.table + 1 + which)
        place = f.element(self.frame.args, f.add(first, f.mul(tap, f.i64(2))), "i64")
        return f.invariant_load(place, "i64")

    # -- results --------------------------------------------------------------------------------

    def _finish(self, n: Value, first: Value, rows: Value) -> None:
        """Turn the planes to channels-last, a line's pixels at a time."""
        f, plan, one = self.f, self.plan, self.f.i64(1)
        if plan.rank == 1:
            self._line(n, [], self.results, first, rows)
            return
        lines = rows
        for axis in self.axes[1:-1]:
            lines = f.mul(lines, axis.count)
        with f.loop(f.i64(0), lines, one) as line:
            rest, place, index = line.index, f.i64(0), list[Value]()
            for number in range(plan.rank - 2, -1, -1):
                axis, position = self.axes[number], rest
                if number:
                    position = f.binary("urem", rest, axis.count)
                    rest = f.binary("udiv", rest, axis.count)
                place = f.add(place, f.mul(position, self.packer.pitches[number]))
                at = position if number else f.add(position, first)
                index.insert(0, f.add(axis.phase, f.mul(axis.period, at)))
            source = f.element(self.results, place, self.kind)
            self._line(n, index, source, f.i64(0), self.axes[-1].count)

    def _line(
        self, n: Value, index: list[Value], source: Value, first: Value, count: Value
    ) -> None:
        f, plan = self.f, self.plan
        with f.loop(f.i64(0), count, f.i64(plan.lanes)) as p:
            here = f.element(source, p.index, self.kind)
            pixels = f.minimum(f.sub(count, p.index), f.i64(plan.lanes))
            position = f.add(first, p.index)
            if plan.flat:
                self._flat([n, *index], here, position, pixels)
            else:
                self._channels([n, *index], here, position, pixels)

    def _channels(self, index: list[Value], source: Value, position: Value, pixels: Value) -> None:
        f, plan = self.f, self.plan
        full = plan.cout // plan.lanes
        with f.loop(f.i64(0), f.i64(full), f.i64(1)) as chunk:
            channel = f.mul(chunk.index, f.i64(plan.lanes))
            self._pixels(index, source, position, pixels, channel, plan.lanes)
        if plan.cout % plan.lanes:
            channel = f.i64(full * plan.lanes)
            self._pixels(index, source, position, pixels, channel, plan.cout % plan.lanes)

    def _pixels(
        self, index: list[Value], source: Value, position: Value, pixels: Value, channel: Value,
        channels: int,
    ) -> None:  # fmt: skip
        """Hand some channels of some pixels to the epilogue, pixel by pixel."""
        f, plan, axis = self.f, self.plan, self.axes[-1]
        columns = []
        for c in range(plan.lanes):
            if c >= channels:
                columns.append(f.const(0, self.type))
                continue
            at = f.mul(f.add(channel, f.i64(c)), self.out_step)
            columns.append(f.load(f.element(source, at, self.kind), self.type))
        for p, row in enumerate(transposed(f, columns)):
            f.store(row, f.element(self.scratch, f.i64(p * plan.lanes), self.kind))
        mask = first_lanes(f, f.i64(channels), plan.lanes) if channels < plan.lanes else None
        with f.loop(f.i64(0), pixels, f.i64(1)) as r:
            place = f.element(self.scratch, f.mul(r.index, f.i64(plan.lanes)), self.kind)
            spot = f.add(axis.phase, f.mul(axis.period, f.add(position, r.index)))
            self.finish.store(f, (*index, spot, channel), f.load(place, self.type), mask)

    def _flat(self, index: list[Value], source: Value, position: Value, pixels: Value) -> None:
        """Hand pixels to the epilogue as one run of pixels x channels."""
        f, plan = self.f, self.plan
        planes = [
            f.load(f.element(source, f.mul(f.i64(c), self.out_step), self.kind), self.type)
            for c in range(plan.cout)
        ]
        for v in range(plan.cout):
            value = _woven(f, planes, v * plan.lanes)
            f.store(value, f.element(self.scratch, f.i64(v * plan.lanes), self.kind))
        start, total = (f.mul(x, f.i64(plan.cout)) for x in (position, pixels))
        with f.loop(f.i64(0), total, f.i64(plan.lanes)) as at:
            mask = first_lanes(f, f.sub(total, at.index), plan.lanes)
            value = f.load(f.element(self.scratch, at.index, self.kind), self.type)
            self.finish.store(f, (*index, f.add(start, at.index)), value, mask)


def _woven(f: Function, planes: list[Value], first: int) -> Value:
    """A vector of the pixels x channels that planes hold, from element `first` on."""
    count, lanes = len(planes), lanes_of(planes[0].type)
    where = [divmod(first + lane, count) for lane in range(lanes)]
    found = shuffle(f, planes[0], planes[0], [pixel for pixel, _ in where])
    for c, plane in enumerate(planes[1:], 1):
        picks = [lanes + p if c == own else lane for lane, (p, own) in enumerate(where)]
        found = shuffle(f, found, plane, picks)
    return found
