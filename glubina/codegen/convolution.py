"""Direct convolution of channels-last images: register blocks of pixels x output channels.

    y[n, o, c] = Σ_k Σ_i x[n, o·stride + k·dilation − padding, i] w[k, i, c]

Vectors run along the output channels, the numbers of the input are broadcast, and a block of
neighbouring outputs along the last spatial axis stays in registers while taps and input channels
pass. Padding is met by copying a strip of the image into a zeroed strip that stays in the cache,
so that no tap is ever outside. Zeros between the input's elements (`input_dilation`, the input
gradient of a strided convolution) are never multiplied: outputs are split into phases that share
their taps, and each phase is a convolution of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glubina.codegen.blocks import alloca, first_lanes, multiply_add_block
from glubina.codegen.conv_plan import MOST_STRIPS, ConvPlan
from glubina.codegen.emitter import Function, Value, vector
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.target import llvm_type


class _Geometry:
    """The run-time numbers of a call, read once."""

    def __init__(self, frame: Frame, rank: int) -> None:
        read = iter(range(3 + 4 * rank + 9 * rank))

        def take() -> Value:
            return frame.number(next(read))

        self.batch, self.rows, self.strips = take(), take(), take()
        self.padded = [take() for _ in range(rank)]
        self.before = [take() for _ in range(rank)]
        self.spatial = [take() for _ in range(rank)]
        self.outputs = [take() for _ in range(rank)]
        self.axes = []
        for _ in range(rank):
            names = (
                "phase", "period", "count", "step", "taps",
                "first_tap", "tap_step", "first_offset", "offset_step",
            )  # fmt: skip
            self.axes.append({name: take() for name in names})


def emit_conv(
    name: str, plan: ConvPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
) -> Function:
    """One phase of a convolution.

    Buffers: the epilogue's; of all `buffers` the last two are x and w, or the last three x, w and
    the workspace of strips where the plan is padded.
    """
    frame = Frame(name, buffers)
    return _Emit(frame, plan, epilogue, buffers).function()


class _Emit:
    """Writes one convolution function."""

    def __init__(
        self, frame: Frame, plan: ConvPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
    ) -> None:
        self.frame, self.f, self.plan = frame, frame.f, plan
        self.kind = llvm_type(np.dtype(plan.dtype))
        self.type = vector(self.kind, plan.lanes)
        self.size = np.dtype(plan.dtype).itemsize
        extra = 1 if plan.padded else 0
        self.scratch = alloca(self.f, self.type, plan.pixels * plan.vectors)
        self.x = frame.buffer(buffers - 2 - extra)
        self.w = frame.buffer(buffers - 1 - extra)
        self.strips = frame.buffer(buffers - 1) if plan.padded else None
        self.g = _Geometry(frame, plan.rank)
        self.finish = epilogue(frame)
        self.finish.prepare(self.f)

    def function(self) -> Function:
        """The whole function: this thread's share of the strips, one after another."""
        f, g = self.f, self.g
        items = f.mul(g.batch, g.strips)
        start, stop = self._share(items)
        extents = g.padded if self.plan.padded else g.spatial
        self.steps = [f.i64(self.plan.cin)]
        for extent in reversed(extents[1:]):
            self.steps.insert(0, f.mul(self.steps[0], extent))
        with f.loop(start, stop, f.i64(1)) as item:
            n = f.binary("udiv", item.index, g.strips)
            strip = f.binary("urem", item.index, g.strips)
            first = f.mul(strip, g.rows)
            rows = f.minimum(g.rows, f.sub(g.axes[0]["count"], first))
            origin = self._origin(n, first)
            self._blocks(n, first, rows, origin)
        return self.frame.finish()

    def _share(self, items: Value) -> tuple[Value, Value]:
        if not self.plan.padded:
            return self.frame.share(items, 1)
        f = self.f
        threads = f.minimum(self.frame.threads, f.i64(MOST_STRIPS))
        per = f.binary("udiv", f.sub(f.add(items, threads), f.i64(1)), threads)
        start = f.minimum(f.mul(per, self.frame.thread), items)
        return start, f.minimum(f.add(start, per), items)

    def _origin(self, n: Value, first: Value) -> Value:
        """The address that output row `first`'s offset 0 means: in x, or in the padded strip."""
        f, g = self.f, self.g
        image = f.mul(n, f.mul(g.spatial[0], self._row_elements()))
        base = f.element(self.x, image, self.kind)
        if not self.plan.padded:
            row = f.mul(first, f.mul(g.axes[0]["step"], self.steps[0]))
            return f.element(base, row, self.kind)
        assert self.strips is not None
        size = f.mul(g.padded[0], self.steps[0])
        rounded = f.binary("and", f.add(size, f.i64(127)), f.i64(-64))
        slab = f.element(self.strips, f.mul(self.frame.thread, rounded), self.kind)
        top = f.add(f.mul(first, g.axes[0]["step"]), g.axes[0]["first_offset"])
        self._fill(slab, base, top)
        shift = f.sub(f.i64(0), f.mul(g.axes[0]["first_offset"], self.steps[0]))
        for axis in range(1, self.plan.rank):
            shift = f.add(shift, f.mul(g.before[axis], self.steps[axis]))
        return f.element(slab, shift, self.kind)

    def _row_elements(self) -> Value:
        f, total = self.f, self.f.i64(self.plan.cin)
        for extent in self.g.spatial[1:]:
            total = f.mul(total, extent)
        return total

    def _fill(self, slab: Value, image: Value, top: Value) -> None:
        """Copy the strip's rows, the first of which is input row `top`, with zeros around."""
        f, g, rank = self.f, self.g, self.plan.rank
        f.declarations.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        f.declarations.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        whole = f.mul(f.mul(g.padded[0], self.steps[0]), f.i64(self.size))
        f.line(f"call void @llvm.memset.p0.i64({slab}, i8 0, {whole}, i1 false)")
        begin = f.maximum(f.i64(0), f.sub(f.i64(0), top))
        end = f.minimum(g.padded[0], f.sub(g.spatial[0], top))
        lines = f.i64(1)
        for extent in g.spatial[1:-1]:
            lines = f.mul(lines, extent)
        cells = f.mul(g.spatial[-1], f.i64(self.plan.cin)) if rank > 1 else f.i64(self.plan.cin)
        size = f.mul(cells, f.i64(self.size))
        with f.loop(begin, end, f.i64(1)) as row:
            source_row = f.mul(f.add(top, row.index), self._row_elements())
            with f.loop(f.i64(0), lines, f.i64(1)) as line:
                there, rest = f.mul(row.index, self.steps[0]), line.index
                for axis in range(rank - 2, 0, -1):
                    at = f.binary("urem", rest, g.spatial[axis])
                    rest = f.binary("udiv", rest, g.spatial[axis])
                    there = f.add(there, f.mul(f.add(at, g.before[axis]), self.steps[axis]))
                if rank > 1:
                    there = f.add(there, f.mul(g.before[-1], self.steps[-1]))
                here = f.add(source_row, f.mul(line.index, cells))
                a = f.element(slab, there, self.kind)
                b = f.element(image, here, self.kind)
                f.line(f"call void @llvm.memcpy.p0.p0.i64({a}, {b}, {size}, i1 false)")

    # -- blocks ---------------------------------------------------------------------------------

    def _blocks(self, n: Value, first: Value, rows: Value, origin: Value) -> None:
        """All blocks of a strip: channels outside, so that their filter stays in the cache."""
        f, g, plan = self.f, self.g, self.plan
        columns = plan.vectors * plan.lanes
        per_group = plan.cout if plan.depthwise else plan.cout // plan.groups
        panels = -(-per_group // columns)
        groups = 1 if plan.depthwise else plan.groups
        lines = rows
        for axis in g.axes[1:-1]:
            lines = f.mul(lines, axis["count"])
        width = g.axes[-1]["count"] if plan.rank > 1 else rows
        if plan.rank == 1:
            lines = f.i64(1)
        across = f.binary("udiv", f.add(width, f.i64(plan.pixels - 1)), f.i64(plan.pixels))
        with f.loop(f.i64(0), f.i64(panels * groups), f.i64(1)) as panel:
            group = f.binary("udiv", panel.index, f.i64(panels))
            channel = f.mul(f.binary("urem", panel.index, f.i64(panels)), f.i64(columns))
            with (
                f.loop(f.i64(0), lines, f.i64(1)) as line,
                f.loop(f.i64(0), across, f.i64(1)) as block,
            ):
                q = self._line(line.index)
                self.taps = self._taps_inside(first, q)
                wanted = f.mul(block.index, f.i64(plan.pixels))
                start = f.maximum(f.i64(0), f.minimum(wanted, f.sub(width, f.i64(plan.pixels))))
                self._block(n, first, origin, q, start, wanted, width, group, channel, per_group)

    def _line(self, line: Value) -> list[Value]:
        """The output position within the strip along every axis but the last."""
        f, rest = self.f, line
        positions: list[Value] = []
        for axis in range(self.plan.rank - 2, 0, -1):
            count = self.g.axes[axis]["count"]
            positions.insert(0, f.binary("urem", rest, count))
            rest = f.binary("udiv", rest, count)
        return [rest, *positions] if self.plan.rank > 1 else []

    def _taps_inside(self, first: Value, q: list[Value]) -> list[tuple[Value, Value]]:
        """Per axis the taps [low, high) that meet the image; zeros above and below cost nothing.

        Along the last axis all taps run, as the pixels of a block differ there.
        """
        f, g = self.f, self.g
        ranges = [(f.i64(0), axis["taps"]) for axis in g.axes]
        if not self.plan.padded:
            return ranges
        for number, (axis, position) in enumerate(zip(g.axes[:-1], q, strict=True)):
            row = f.add(position, first) if number == 0 else position
            at = f.add(f.mul(row, axis["step"]), axis["first_offset"])
            bounds = []
            for distance in (f.sub(f.i64(0), at), f.sub(g.spatial[number], at)):
                raised = f.sub(f.add(distance, axis["offset_step"]), f.i64(1))
                raised = f.maximum(raised, f.i64(0))
                bounds.append(f.binary("udiv", raised, axis["offset_step"]))
            ranges[number] = bounds[0], f.minimum(bounds[1], axis["taps"])
        return ranges

    def _block(
        self, n: Value, first: Value, origin: Value, q: list[Value], start: Value,
        wanted: Value, width: Value, group: Value, channel: Value, per_group: int,
    ) -> None:  # fmt: skip
        f, g, plan = self.f, self.g, self.plan
        at = f.mul(start, f.i64(plan.step * plan.cin))
        for position, axis, step in zip(q, g.axes[:-1], self.steps[:-1], strict=True):
            at = f.add(at, f.mul(position, f.mul(axis["step"], step)))
        for axis, step in zip(g.axes, self.steps, strict=True):
            at = f.add(at, f.mul(axis["first_offset"], step))
        inner = plan.cin // plan.groups
        at = f.add(at, channel if plan.depthwise else f.mul(group, f.i64(inner)))
        masks = self._masks(channel, per_group)
        out = f.add(f.mul(group, f.i64(per_group)), channel)
        zero = f.const(0, self.type)
        sums = self._taps(
            0,
            f.element(origin, at, self.kind),
            self._filter(out),
            [zero] * (plan.pixels * plan.vectors),
            masks,
        )
        for spot, value in enumerate(sums):
            f.store(value, f.element(self.scratch, f.i64(spot * plan.lanes), self.kind))
        self._store(n, first, q, start, wanted, width, out, masks)

    def _masks(self, channel: Value, channels: int) -> list[Value] | None:
        """Which lanes of a block's vectors are channels; None: all of them."""
        f, plan = self.f, self.plan
        if channels % (plan.vectors * plan.lanes) == 0:
            return None
        left = [
            f.sub(f.i64(channels), f.add(channel, f.i64(v * plan.lanes)))
            for v in range(plan.vectors)
        ]
        return [first_lanes(f, count, plan.lanes) for count in left]

    def _filter(self, out: Value) -> Value:
        """The address of the first tap's weights for the first channel of the block."""
        f, at = self.f, out
        for axis in range(self.plan.rank):
            at = f.add(at, f.mul(self.g.axes[axis]["first_tap"], self._filter_step(axis)))
        return f.element(self.w, at, self.kind)

    def _filter_step(self, axis: int) -> Value:
        """Elements from one tap to the next along an axis of the filter."""
        f, total = self.f, self.f.i64(self.plan.cin // self.plan.groups * self.plan.cout)
        for later in range(axis + 1, self.plan.rank):
            total = f.mul(total, self.frame.number(3 + 13 * self.plan.rank + later))
        return total

    def _taps(
        self, axis: int, x: Value, w: Value, sums: list[Value], masks: list[Value] | None
    ) -> list[Value]:
        """Run over the taps of one axis and those within it."""
        f, plan, a = self.f, self.plan, self.g.axes[axis]
        if axis == plan.rank - 1 and plan.merged and not plan.depthwise:
            count = f.mul(a["taps"], f.i64(plan.cin))
            return self._innermost(count, x, w, sums, masks)
        x_step = f.mul(a["offset_step"], self.steps[axis])
        w_step = f.mul(a["tap_step"], self._filter_step(axis))
        with f.loop(*self.taps[axis], f.i64(1), sums) as tap:
            x_here = f.element(x, f.mul(tap.index, x_step), self.kind)
            w_here = f.element(w, f.mul(tap.index, w_step), self.kind)
            if axis < plan.rank - 1:
                following = self._taps(axis + 1, x_here, w_here, tap.values, masks)
            elif plan.depthwise:
                following = self._depthwise(x_here, w_here, tap.values, masks)
            else:
                count = f.i64(plan.cin // plan.groups)
                following = self._innermost(count, x_here, w_here, tap.values, masks)
            tap.carry(following)
        return tap.results

    def _innermost(
        self, count: Value, x: Value, w: Value, sums: list[Value], masks: list[Value] | None
    ) -> list[Value]:
        f, plan = self.f, self.plan
        lefts = [
            f.element(x, f.i64(p * plan.step * plan.cin), self.kind) for p in range(plan.pixels)
        ]
        rights = [f.element(w, f.i64(v * plan.lanes), self.kind) for v in range(plan.vectors)]
        return multiply_add_block(f, count, sums, lefts, rights, f.i64(1), f.i64(plan.cout), masks)

    def _depthwise(
        self, x: Value, w: Value, sums: list[Value], masks: list[Value] | None
    ) -> list[Value]:
        """One tap: each channel of the input meets its own weight."""
        f, plan = self.f, self.plan

        def load(base: Value, v: int, offset: int) -> Value:
            place = f.element(base, f.i64(offset + v * plan.lanes), self.kind)
            return f.masked_load(place, self.type, masks[v]) if masks else f.load(place, self.type)

        found = list(sums)
        for v in range(plan.vectors):
            weights = load(w, v, 0)
            for p in range(plan.pixels):
                values = load(x, v, p * plan.step * plan.cin)
                at = p * plan.vectors + v
                found[at] = f.fma(values, weights, found[at])
        return found

    def _store(
        self, n: Value, first: Value, q: list[Value], start: Value, wanted: Value, width: Value,
        out: Value, masks: list[Value] | None,
    ) -> None:  # fmt: skip
        """Hand the block to the epilogue, without what an overlapping block did before."""
        f, g, plan = self.f, self.g, self.plan
        index = [n]
        for axis, position in enumerate(q):
            if axis == 0:
                position = f.add(position, first)
            a = g.axes[axis]
            index.append(f.add(a["phase"], f.mul(a["period"], position)))
        last = g.axes[-1]
        skip = f.sub(wanted, start)
        end = f.minimum(f.i64(plan.pixels), f.sub(width, start))
        with f.loop(skip, end, f.i64(1)) as r:
            position = f.add(start, r.index)
            if plan.rank == 1:
                position = f.add(position, first)
            spot = f.add(last["phase"], f.mul(last["period"], position))
            for v in range(plan.vectors):
                here = f.add(
                    f.mul(r.index, f.i64(plan.vectors * plan.lanes)), f.i64(v * plan.lanes)
                )
                values = f.load(f.element(self.scratch, here, self.kind), self.type)
                channel = f.add(out, f.i64(v * plan.lanes))
                self.finish.store(f, (*index, spot, channel), values, masks[v] if masks else None)
