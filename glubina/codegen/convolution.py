"""Direct convolution of channels-last images: register blocks of pixels x output channels.

    y[n, o, c] = Σ_k Σ_i x[n, o·stride + k·dilation − padding, i] w[k, i, c]

Vectors run along the output channels, the numbers of the input are broadcast, and a block of
neighbouring outputs along the last spatial axis stays in registers while taps and input channels
pass. Zeros around the image are never read: along the last axis each block knows which taps meet
the image for which of its pixels, along the others the taps are cut to those that meet it. Zeros
between the input's elements (`input_dilation`, the input
gradient of a strided convolution) are never multiplied: outputs are split into phases that share
their taps, and each phase is a convolution of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from glubina.codegen.blocks import LINE, Ahead, alloca, first_lanes, multiply_add_block
from glubina.codegen.conv_plan import ConvPlan, Run
from glubina.codegen.emitter import Function
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, vector


class _Geometry:
    """The run-time numbers of a call, read once."""

    def __init__(self, frame: Frame, rank: int) -> None:
        read = iter(range(4 + 10 * rank))

        def take() -> Value:
            return frame.number(next(read))

        self.batch, self.rows, self.strips, self.parts = take(), take(), take(), take()
        self.spatial = [take() for _ in range(rank)]
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

    Buffers: the epilogue's; of all `buffers` the last two are x and w.
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
        self.scratch = alloca(self.f, self.type, plan.pixels * plan.vectors)
        self.x = frame.buffer(buffers - 2)
        self.w = frame.buffer(buffers - 1)
        self.g = _Geometry(frame, plan.rank)
        self.finish = epilogue(frame)
        self.finish.prepare(self.f)

    def function(self) -> Function:
        """The whole function: this thread's share of the strips, one after another."""
        f, g = self.f, self.g
        items = f.mul(f.mul(g.batch, g.strips), g.parts)
        start, stop = self.frame.share(items, 1)
        self.steps = [f.i64(self.plan.cin)]
        for extent in reversed(g.spatial[1:]):
            self.steps.insert(0, f.mul(self.steps[0], extent))
        self.image = f.mul(self.steps[0], g.spatial[0])
        with f.loop(start, stop, f.i64(1)) as item:
            # a thread's items follow one another in the part of the channels: its filter stays
            strips = f.mul(g.batch, g.strips)
            part = f.binary("udiv", item.index, strips)
            strip = f.binary("urem", item.index, strips)
            n = f.binary("udiv", strip, g.strips)
            first = f.mul(f.binary("urem", strip, g.strips), g.rows)
            self._strip(n, first, part)
        return self.frame.finish()

    # -- blocks ---------------------------------------------------------------------------------

    def _strip(self, n: Value, first: Value, part: Value) -> None:
        """A strip's blocks of a part of the channels, which are outside: their filter is reused."""
        f, g, plan = self.f, self.g, self.plan
        columns, panels = plan.vectors * plan.lanes, plan.panels
        per_group = plan.cout if plan.depthwise else plan.cout // plan.groups
        groups = 1 if plan.depthwise else plan.groups
        total = f.i64(panels * groups)
        begin = f.binary("udiv", f.mul(part, total), g.parts)
        end = f.binary("udiv", f.mul(f.add(part, f.i64(1)), total), g.parts)
        across = f.i64(plan.runs[-1].stop)
        if plan.rank > 1:
            lines, blocks = f.minimum(g.rows, f.sub(g.axes[0]["count"], first)), (f.i64(0), across)
        else:
            lines, blocks = f.i64(1), (first, f.minimum(f.add(first, g.rows), across))
        for axis in g.axes[1:-1]:
            lines = f.mul(lines, axis["count"])
        if plan.depthwise:  # each channel meets its own weights, so memory is passed in its order
            with f.loop(f.i64(0), lines, f.i64(1)) as line:
                q = self._line(line.index, first)
                self.taps = self._taps_inside(q)
                with (
                    f.loop(*blocks, f.i64(1)) as block,
                    f.loop(begin, end, f.i64(1)) as panel,
                ):
                    channel = f.mul(panel.index, f.i64(columns))
                    self._block(n, q, block.index, f.i64(0), channel, per_group)
            return
        with f.loop(begin, end, f.i64(1)) as panel:
            group = f.binary("udiv", panel.index, f.i64(panels))
            channel = f.mul(f.binary("urem", panel.index, f.i64(panels)), f.i64(columns))
            with f.loop(f.i64(0), lines, f.i64(1)) as line:
                q = self._line(line.index, first)
                self.taps = self._taps_inside(q)
                with f.loop(*blocks, f.i64(1)) as block:
                    self._block(n, q, block.index, group, channel, per_group)

    def _line(self, line: Value, first: Value) -> list[Value]:
        """The output position along every axis but the last."""
        f, rest = self.f, line
        positions: list[Value] = []
        for axis in range(self.plan.rank - 2, 0, -1):
            count = self.g.axes[axis]["count"]
            positions.insert(0, f.binary("urem", rest, count))
            rest = f.binary("udiv", rest, count)
        return [f.add(rest, first), *positions] if self.plan.rank > 1 else []

    def _taps_inside(self, q: list[Value]) -> list[tuple[Value, Value]]:
        """Per axis but the last, the taps [low, high) that meet the image."""
        f, ranges = self.f, []
        for axis, extent, position, inside in zip(self.g.axes, self.g.spatial, q, self.plan.inside):
            low, high = f.i64(0), axis["taps"]
            if not inside:
                at = f.add(f.mul(position, axis["step"]), axis["first_offset"])
                low = self._above(f.sub(low, at), axis["offset_step"])
                high = f.minimum(self._above(f.sub(extent, at), axis["offset_step"]), high)
            ranges.append((low, high))
        return ranges

    def _above(self, distance: Value, step: Value) -> Value:
        """How many steps cover a distance (none, if it is negative)."""
        f = self.f
        raised = f.sub(f.add(distance, step), f.i64(1))
        return f.binary("udiv", f.maximum(raised, f.i64(0)), step)

    def _block(
        self, n: Value, q: list[Value], block: Value, group: Value, channel: Value, per_group: int
    ) -> None:
        f, g, plan = self.f, self.g, self.plan
        wanted = f.mul(block, f.i64(plan.pixels))
        start = f.minimum(wanted, f.sub(g.axes[-1]["count"], f.i64(plan.pixels)))
        at = f.add(f.mul(n, self.image), f.mul(start, f.i64(plan.step * plan.cin)))
        for position, axis, step in zip(q, g.axes, self.steps):
            at = f.add(at, f.mul(position, f.mul(axis["step"], step)))
        for axis, step in zip(g.axes, self.steps, strict=True):
            at = f.add(at, f.mul(axis["first_offset"], step))
        inner = plan.cin // plan.groups
        at = f.add(at, channel if plan.depthwise else f.mul(group, f.i64(inner)))
        masks = self._masks(channel, per_group)
        out = f.add(f.mul(group, f.i64(per_group)), channel)
        x, w = f.element(self.x, at, self.kind), self._filter(out)
        if plan.ahead:
            self._fetch(n, q, start, x, out)
        before = f.i64(0)
        for run in plan.runs:
            stop = f.i64(run.stop)
            here = f.binary("and", f.compare("sge", block, before), f.compare("slt", block, stop))
            with f.when(here) if len(plan.runs) > 1 else nullcontext():
                self._sums(run, x, w, masks)
            before = stop
        self._store(n, q, start, wanted, out, masks)

    def _fetch(self, n: Value, q: list[Value], start: Value, x: Value, out: Value) -> None:
        """Ask for what the block below this one reads and writes first of all blocks."""
        f, g, plan = self.f, self.g, self.plan
        first = g.axes[0]
        reach = f.mul(f.add(first["taps"], f.i64(-1)), first["offset_step"])
        below = f.mul(f.add(first["step"], reach), self.steps[0])
        rows = [f.add(q[0], f.i64(1)), *q[1:]]
        index = [n]
        for position, a in zip(rows, g.axes):
            index.append(f.add(a["phase"], f.mul(a["period"], position)))
        last = g.axes[-1]
        for p in range(plan.pixels):
            place = f.add(below, f.i64(p * plan.step * plan.cin))
            f.prefetch(f.emit("ptr", f"getelementptr {self.kind}, {x}, {place}"))
            spot = f.mul(last["period"], f.add(start, f.i64(p)))
            self.finish.fetch(f, (*index, f.add(last["phase"], spot), out))

    def _sums(self, run: Run, x: Value, w: Value, masks: list[Value] | None) -> None:
        """Work out one block and leave it in the function's own memory."""
        f, plan = self.f, self.plan
        sums = [f.const(0, self.type)] * (plan.pixels * plan.vectors)
        for spot, value in enumerate(self._taps(0, run, x, w, sums, masks)):
            f.store(value, f.element(self.scratch, f.i64(spot * plan.lanes), self.kind))

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
            total = f.mul(total, self.frame.number(4 + 10 * self.plan.rank + later))
        return total

    def _taps(
        self, axis: int, run: Run, x: Value, w: Value, sums: list[Value],
        masks: list[Value] | None,
    ) -> list[Value]:  # fmt: skip
        """Run over the taps of one axis and those within it."""
        f, a = self.f, self.g.axes[axis]
        x_step = f.mul(a["offset_step"], self.steps[axis])
        w_step = f.mul(a["tap_step"], self._filter_step(axis))
        if axis == self.plan.rank - 1:
            return self._last_axis(run, x, w, x_step, w_step, sums, masks)
        with f.loop(*self.taps[axis], f.i64(1), sums) as tap:
            x_here = f.element(x, f.mul(tap.index, x_step), self.kind)
            w_here = f.element(w, f.mul(tap.index, w_step), self.kind)
            tap.carry(self._taps(axis + 1, run, x_here, w_here, tap.values, masks))
        return tap.results

    def _last_axis(
        self, run: Run, x: Value, w: Value, x_step: Value, w_step: Value, sums: list[Value],
        masks: list[Value] | None,
    ) -> list[Value]:  # fmt: skip
        """The taps of the last axis, each for the pixels for which it meets the image."""
        f, plan, found = self.f, self.plan, list(sums)
        if plan.depthwise:
            return self._depthwise(run, x, w, w_step, found, masks)
        for piece in run.pieces:
            pixels = piece.pixels
            part = slice(pixels.start * plan.vectors, pixels.stop * plan.vectors)
            if plan.merged:
                first = f.i64(piece.taps.start)
                x_here = f.element(x, f.mul(first, x_step), self.kind)
                w_here = f.element(w, f.mul(first, w_step), self.kind)
                count = f.i64(len(piece.taps) * plan.cin)
                found[part] = self._channels(count, x_here, w_here, pixels, found[part], masks)
                continue
            bounds = f.i64(piece.taps.start), f.i64(piece.taps.stop)
            with f.loop(*bounds, f.i64(1), found[part]) as tap:
                x_here = f.element(x, f.mul(tap.index, x_step), self.kind)
                w_here = f.element(w, f.mul(tap.index, w_step), self.kind)
                count = f.i64(plan.cin // plan.groups)
                following = self._channels(count, x_here, w_here, pixels, tap.values, masks)
                tap.carry(following)
            found[part] = tap.results
        return found

    def _channels(
        self, count: Value, x: Value, w: Value, pixels: range, sums: list[Value],
        masks: list[Value] | None,
    ) -> list[Value]:  # fmt: skip
        """Some of a block's pixels, over neighbouring input channels (and merged taps)."""
        f, plan = self.f, self.plan
        lefts = [f.element(x, f.i64(p * plan.step * plan.cin), self.kind) for p in pixels]
        rights = [f.element(w, f.i64(v * plan.lanes), self.kind) for v in range(plan.vectors)]
        ahead = None
        if plan.streamed:  # a line for each channel, which is more than a block's pixels hold
            line = LINE // np.dtype(plan.dtype).itemsize
            following = f.element(x, f.i64(plan.pixels * plan.cin), self.kind)
            ahead = Ahead(following, line, f.i64(line), f.i64(line * line))
        return multiply_add_block(
            f, count, sums, lefts, rights, f.i64(1), f.i64(plan.cout), masks, ahead
        )

    def _depthwise(
        self, run: Run, x: Value, w: Value, w_step: Value, sums: list[Value],
        masks: list[Value] | None,
    ) -> list[Value]:  # fmt: skip
        """Each channel of the input meets its own weights; an element is loaded once for all."""
        f, plan = self.f, self.plan
        meet: dict[int, list[tuple[int, int]]] = {}  # by position in the input: (tap, pixel)
        for piece in run.pieces:
            for tap in piece.taps:
                for p in piece.pixels:
                    meet.setdefault(p * plan.step + tap * plan.spread, []).append((tap, p))
        for v in range(plan.vectors):
            mask, weights = masks[v] if masks else None, dict[int, Value]()
            for piece in run.pieces:
                for tap in piece.taps:
                    at = f.add(f.mul(f.i64(tap), w_step), f.i64(v * plan.lanes))
                    weights[tap] = f.load_lanes(f.element(w, at, self.kind), self.type, mask)
            for position in sorted(meet):
                at = f.i64(position * plan.cin + v * plan.lanes)
                value = f.load_lanes(f.element(x, at, self.kind), self.type, mask)
                for tap, p in meet[position]:
                    spot = p * plan.vectors + v
                    sums[spot] = f.fma(value, weights[tap], sums[spot])
        return sums

    def _store(
        self, n: Value, q: list[Value], start: Value, wanted: Value, out: Value,
        masks: list[Value] | None,
    ) -> None:  # fmt: skip
        """Hand the block to the epilogue, without what an overlapping block did before."""
        f, g, plan = self.f, self.g, self.plan
        index = [n]
        for position, a in zip(q, g.axes):
            index.append(f.add(a["phase"], f.mul(a["period"], position)))
        last = g.axes[-1]
        with f.loop(f.sub(wanted, start), f.i64(plan.pixels), f.i64(1)) as r:
            position = f.add(start, r.index)
            spot = f.add(last["phase"], f.mul(last["period"], position))
            for v in range(plan.vectors):
                here = f.add(
                    f.mul(r.index, f.i64(plan.vectors * plan.lanes)), f.i64(v * plan.lanes)
                )
                values = f.load(f.element(self.scratch, here, self.kind), self.type)
                channel = f.add(out, f.i64(v * plan.lanes))
                self.finish.store(f, (*index, spot, channel), values, masks[v] if masks else None)
