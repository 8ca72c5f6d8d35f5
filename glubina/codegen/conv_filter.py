"""The filter gradient of a convolution: blocks of input channels x output channels in registers.

    dw[k, i, c] = Σ_n Σ_o x[n, o·stride + k·dilation − padding, i] g[n, o, c]

For one tap, a block of the result stays in registers while the pixels of a strip of one image
pass; all taps and blocks take their turn over the strip, which stays in the cache. Which outputs a
tap may use without leaving the image is a rectangle, so padding costs nothing. The strips are
split into a fixed number of parts by the shapes alone, each with a partial result of its own, and
the partial results are added in order: the number of threads changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np

from glubina.codegen.blocks import LINE, alloca, first_lanes
from glubina.codegen.conv_filter_plan import FilterPlan, tiles
from glubina.codegen.emitter import Function
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, vector


class Range(NamedTuple):
    """The outputs of an axis that meet the image with a tap, of those from start to stop.

    shift: where in the input the tap meets output 0.
    """

    low: Value
    high: Value
    shift: Value
    start: Value
    stop: Value


class Axis:
    """The run-time numbers of one spatial axis."""

    def __init__(self, frame: Frame, first: int) -> None:
        self.extent, self.output, self.window = (frame.number(first + i) for i in range(3))
        self.stride, self.dilation, self.low = (frame.number(first + 3 + i) for i in range(3))


class Partials:
    """Writes the stage that makes the partial results."""

    def __init__(self, frame: Frame, plan: FilterPlan, buffers: int) -> None:
        self.frame, self.f, self.plan = frame, frame.f, plan
        self.kind = llvm_type(np.dtype(plan.dtype))
        self.type = vector(self.kind, plan.lanes)
        self.scratch = alloca(self.f, self.type, plan.rows * plan.vectors)
        self.x, self.g, self.partial = (frame.buffer(buffers - 3 + i) for i in range(3))
        self.batch, self.many, self.strips, self.parts, self.shares = (
            frame.number(i) for i in range(5)
        )
        self.axes = [Axis(frame, 5 + 6 * axis) for axis in range(plan.rank)]
        self.images = frame.number(5 + 6 * plan.rank)
        self.x_ahead: list[Value] = []  # how far on memory is asked for at each pixel
        self.g_ahead: list[Value] = []

    def function(self) -> Function:
        """Every item is one part of the strips and one share of the blocks."""
        f, plan = self.f, self.plan
        start, stop = self.frame.share(f.mul(self.parts, self.shares), 1)
        many = f.sub(f.add(self.batch, self.images), f.i64(1))
        total = f.mul(f.binary("udiv", many, self.images), self.strips)
        taps = f.i64(1)
        for axis in self.axes:
            taps = f.mul(taps, axis.window)
        size = f.mul(taps, f.i64(plan.cin // plan.groups * plan.cout))
        blocks = f.i64(prod(tiles(plan)))
        if not plan.depthwise:
            blocks = f.mul(blocks, f.binary("udiv", taps, f.i64(plan.together)))
        with f.loop(start, stop, f.i64(1)) as item:
            part = f.binary("udiv", item.index, self.shares)
            share = f.binary("urem", item.index, self.shares)
            target = f.element(self.partial, f.mul(part, size), self.kind)
            strips = self._range(total, part, self.parts)
            wanted = self._range(blocks, share, self.shares)
            with f.loop(*strips, f.i64(1)) as strip:
                fresh = f.compare("eq", strip.index, strips[0])
                n = f.mul(f.binary("udiv", strip.index, self.strips), self.images)
                first = f.mul(f.binary("urem", strip.index, self.strips), self.many)
                self._strip(target, fresh, n, first, wanted)
        return self.frame.finish()

    def _strip(
        self, target: Value, fresh: Value, n: Value, first: Value, wanted: tuple[Value, Value]
    ) -> None:
        """Add what one strip, of one image or several, gives to the wanted blocks."""
        with self.f.loop(*wanted, self.f.i64(1)) as block:
            if self.plan.ahead:
                self._ask_ahead(block.index)
            self._block(target, fresh, n, first, block.index)

    def _ask_ahead(self, block: Value) -> None:
        """Let a block ask for its share of the next strip: of each pixel some cache lines."""
        f, plan, asked = self.f, self.plan, []
        line = LINE // np.dtype(plan.dtype).itemsize
        blocks = prod(tiles(plan))
        x_strip, g_strip = f.mul(self.many, self.axes[0].stride), self.many
        for axis in self.axes[1:]:
            x_strip, g_strip = f.mul(x_strip, axis.extent), f.mul(g_strip, axis.output)
        for strip, channels in ((x_strip, plan.cin), (g_strip, plan.cout)):
            each = -(-channels // (line * blocks))
            first = f.add(f.mul(strip, f.i64(channels)), f.mul(block, f.i64(each * line)))
            asked.append([f.add(first, f.i64(i * line)) for i in range(each)])
        self.x_ahead, self.g_ahead = asked

    def _range(self, total: Value, number: Value, count: Value) -> tuple[Value, Value]:
        f = self.f
        low = f.binary("udiv", f.mul(total, number), count)
        high = f.binary("udiv", f.mul(total, f.add(number, f.i64(1))), count)
        return low, high

    def _block(self, target: Value, fresh: Value, n: Value, first: Value, number: Value) -> None:
        """Add what one strip, of one image or several, gives to one block of one tap."""
        f, plan = self.f, self.plan
        groups, down, across = tiles(plan)
        rest = number
        column, rest = f.binary("urem", rest, f.i64(across)), f.binary("udiv", rest, f.i64(across))
        line, rest = f.binary("urem", rest, f.i64(down)), f.binary("udiv", rest, f.i64(down))
        group, rest = f.binary("urem", rest, f.i64(groups)), f.binary("udiv", rest, f.i64(groups))
        tap = rest = f.mul(rest, f.i64(plan.together))  # the first of them
        taps: list[Value] = []
        for axis in reversed(self.axes):
            taps.insert(0, f.binary("urem", rest, axis.window))
            rest = f.binary("udiv", rest, axis.window)
        inner = plan.cin // plan.groups
        per_group = plan.cout // plan.groups
        channel = f.mul(column, f.i64(plan.vectors * plan.lanes))
        wanted = f.mul(line, f.i64(plan.rows))
        row = f.i64(0)
        if plan.together == 1:
            row = f.minimum(wanted, f.i64(max(inner - plan.rows, 0)))
        masks = self._masks(channel, per_group)
        out = f.add(f.mul(group, f.i64(per_group)), channel)
        place = f.add(f.mul(f.add(f.mul(tap, f.i64(inner)), row), f.i64(plan.cout)), out)
        spot = f.element(target, place, self.kind)
        sums = self._old(spot, fresh, masks)
        source = f.add(f.mul(group, f.i64(inner)), row)
        end = f.minimum(f.add(n, self.images), self.batch)
        with f.loop(n, end, f.i64(1), sums) as image:
            image.carry(self._pixels(image.values, image.index, first, taps, source, out, masks))
        sums = image.results
        for at, value in enumerate(sums):
            f.store(value, f.element(self.scratch, f.i64(at * plan.lanes), self.kind))
        with f.loop(f.sub(wanted, row), f.i64(plan.rows), f.i64(1)) as r:
            for v in range(plan.vectors):
                here = f.add(
                    f.mul(r.index, f.i64(plan.vectors * plan.lanes)), f.i64(v * plan.lanes)
                )
                value = f.load(f.element(self.scratch, here, self.kind), self.type)
                there = f.add(f.mul(r.index, f.i64(plan.cout)), f.i64(v * plan.lanes))
                place = f.element(spot, there, self.kind)
                if masks:
                    f.masked_store(value, place, masks[v])
                else:
                    f.store(value, place)

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

    def _old(self, spot: Value, fresh: Value | None, masks: list[Value] | None) -> list[Value]:
        """What the part's earlier strips gave; zero where it is fresh."""
        f, plan = self.f, self.plan
        zero, found = f.const(0, self.type), []
        for r in range(plan.rows):
            for v in range(plan.vectors):
                old = self._vector(spot, r * plan.cout + v * plan.lanes, v, masks)
                found.append(old if fresh is None else f.select(fresh, zero, old))
        return found

    def _pixels(
        self, sums: list[Value], n: Value, first: Value, taps: list[Value], source: Value,
        out: Value, masks: list[Value] | None,
    ) -> list[Value]:  # fmt: skip
        """Pass over the strip's outputs for which the tap is inside the image."""
        f = self.f
        x_at, g_at = n, n
        ranges: list[Range] = []
        for number, (axis, tap) in enumerate(zip(self.axes, taps, strict=True)):
            start = first if number == 0 else f.i64(0)
            stop = f.minimum(f.add(first, self.many), axis.output) if number == 0 else axis.output
            ranges.append(self._inside(axis, tap, start, stop))
            x_at, g_at = f.mul(x_at, axis.extent), f.mul(g_at, axis.output)
        return self._axis(0, sums, ranges, x_at, g_at, source, out, masks)

    def _inside(self, axis: Axis, tap: Value, start: Value, stop: Value) -> Range:
        """Where a tap meets the image."""
        f = self.f
        shift = f.sub(f.mul(tap, axis.dilation), axis.low)
        low = self._above(f.sub(f.i64(0), shift), axis.stride)
        high = self._above(f.sub(axis.extent, shift), axis.stride)
        return Range(f.maximum(low, start), f.minimum(high, stop), shift, start, stop)

    def _above(self, a: Value, stride: Value) -> Value:
        """The quotient rounded up, not below zero."""
        f = self.f
        raised = f.maximum(f.sub(f.add(a, stride), f.i64(1)), f.i64(0))
        return f.binary("udiv", raised, stride)

    def _axis(
        self, number: int, sums: list[Value], ranges: list[Range],
        x_at: Value, g_at: Value, source: Value, out: Value, masks: list[Value] | None,
    ) -> list[Value]:  # fmt: skip
        """x_at and g_at count positions of the axes so far, times the later extents."""
        f, axis = self.f, self.axes[number]
        low, high, shift = ranges[number][:3]
        if number < self.plan.rank - 1:
            x_later, g_later = f.i64(1), f.i64(1)
            for later in self.axes[number + 1 :]:
                x_later, g_later = f.mul(x_later, later.extent), f.mul(g_later, later.output)
            with f.loop(low, high, f.i64(1), sums) as o:
                position = f.add(f.mul(o.index, axis.stride), shift)
                x_here = f.add(x_at, f.mul(position, x_later))
                g_here = f.add(g_at, f.mul(o.index, g_later))
                o.carry(
                    self._axis(number + 1, o.values, ranges, x_here, g_here, source, out, masks)
                )
            return o.results
        return self._line(sums, ranges[number], x_at, g_at, source, out, masks)

    def _line(
        self, sums: list[Value], last: Range, x_at: Value, g_at: Value, source: Value, out: Value,
        masks: list[Value] | None,
    ) -> list[Value]:  # fmt: skip
        """Pass over the outputs of the last axis."""
        f, plan = self.f, self.plan
        x_first = f.add(f.mul(f.add(x_at, last.shift), f.i64(plan.cin)), source)
        x = f.element(self.x, x_first, self.kind)
        g = f.element(self.g, f.add(f.mul(g_at, f.i64(plan.cout)), out), self.kind)
        if plan.together > 1:
            return self._together(sums, x, g, last, masks)
        return self._row(sums, x, g, last.low, last.high, masks)

    def _together(
        self, sums: list[Value], x: Value, g: Value, first: Range, masks: list[Value] | None
    ) -> list[Value]:
        """A row of outputs for several taps: one after another at its ends, else all at once."""
        f, plan, axis, sums = self.f, self.plan, self.axes[-1], list(sums)
        zero, inner = f.i64(0), 1 if plan.depthwise else plan.cin // plan.groups
        ranges = []
        for tap in range(plan.together):
            shift = f.add(first.shift, f.i64(tap * plan.dilation))
            low = f.maximum(self._above(f.sub(zero, shift), axis.stride), first.start)
            high = f.minimum(self._above(f.sub(axis.extent, shift), axis.stride), first.stop)
            ranges.append((low, high))
        low = ranges[0][0]
        high = f.maximum(low, ranges[-1][1])

        def end(tap: int, start: Value, stop: Value) -> None:
            part = slice(tap * inner * plan.vectors, (tap + 1) * inner * plan.vectors)
            here = f.element(x, f.i64(tap * plan.dilation * plan.cin), self.kind)
            sums[part] = self._steps(sums[part], here, g, start, stop, masks, 1, 1)

        for tap, (start, stop) in enumerate(ranges):
            end(tap, start, f.minimum(low, stop))
        middle = f.sub(high, low)
        middle = f.add(low, f.binary("and", middle, f.i64(-plan.unroll)))
        sums = self._steps(sums, x, g, low, middle, masks, plan.unroll, plan.together)
        sums = self._steps(sums, x, g, middle, high, masks, 1, plan.together)
        for tap, (start, stop) in enumerate(ranges):
            end(tap, f.maximum(high, start), stop)
        return sums

    def _row(
        self,
        sums: list[Value],
        x: Value,
        g: Value,
        low: Value,
        high: Value,
        masks: list[Value] | None,
    ) -> list[Value]:
        f, plan = self.f, self.plan
        if plan.unroll == 1:
            return self._steps(sums, x, g, low, high, masks, 1)
        whole = f.binary("and", f.maximum(f.sub(high, low), f.i64(0)), f.i64(-plan.unroll))
        middle = f.add(low, whole)
        zeros = [f.const(0, self.type)] * (len(sums) * (plan.unroll - 1))
        wide = self._steps([*sums, *zeros], x, g, low, middle, masks, plan.unroll)
        while len(wide) > len(sums):
            half = len(wide) // 2
            wide = [f.fadd(a, b) for a, b in zip(wide[:half], wide[half:], strict=True)]
        return self._steps(wide, x, g, middle, high, masks, 1)

    def _steps(
        self, sums: list[Value], x: Value, g: Value, low: Value, high: Value,
        masks: list[Value] | None, unroll: int, together: int = 1,
    ) -> list[Value]:  # fmt: skip
        """`unroll` pixels a round; of a single tap, each with accumulators of its own."""
        f, plan = self.f, self.plan
        inner = plan.rows // plan.together
        per = inner * plan.vectors if together == plan.together == 1 else 0
        with f.loop(low, high, f.i64(unroll), sums) as o:
            following = list(o.values)
            x_here = f.element(x, f.mul(o.index, f.i64(plan.step * plan.cin)), self.kind)
            g_here = f.element(g, f.mul(o.index, f.i64(plan.cout)), self.kind)
            for u in range(unroll):
                self._ask(x_here, u * plan.step * plan.cin, self.x_ahead)
                self._ask(g_here, u * plan.cout, self.g_ahead)
                columns = [
                    self._vector(g_here, u * plan.cout + v * plan.lanes, v, masks)
                    for v in range(plan.vectors)
                ]
                for r in range(together * inner):
                    tap, channel = divmod(r, inner)
                    base = (u * plan.step + tap * plan.dilation) * plan.cin + channel
                    if not plan.depthwise:
                        spot = f.element(x_here, f.i64(base), self.kind)
                        a = f.splat(f.load(spot, self.kind), plan.lanes)
                    for v, column in enumerate(columns):
                        if plan.depthwise:
                            a = self._vector(x_here, base + v * plan.lanes, v, masks)
                        at = u * per + r * plan.vectors + v
                        following[at] = f.fma(a, column, following[at])
            o.carry(following)
        return o.results

    def _ask(self, base: Value, offset: int, ahead: list[Value]) -> None:
        """Ask for memory some elements ahead of an address, which need not exist."""
        for distance in ahead:
            place = self.f.add(distance, self.f.i64(offset))
            self.f.prefetch(self.f.emit("ptr", f"getelementptr {self.kind}, {base}, {place}"))

    def _vector(self, base: Value, offset: int, v: int, masks: list[Value] | None) -> Value:
        """Vector v of a block's channels, some elements on from an address."""
        spot = self.f.element(base, self.f.i64(offset), self.kind)
        if masks:
            return self.f.masked_load(spot, self.type, masks[v])
        return self.f.load(spot, self.type)


def emit_partials(name: str, plan: FilterPlan) -> Function:
    """The first stage. Buffers: x, g, partial results."""
    return Partials(Frame(name, 3), plan, 3).function()


def emit_combine(
    name: str, plan: FilterPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
) -> Function:
    """The second stage: add the partial results in order and hand them to the epilogue.

    Buffers: the epilogue's, of which the last is the partial results. Numbers as in the first.
    """
    frame = Frame(name, buffers)
    f, kind = frame.f, llvm_type(np.dtype(plan.dtype))
    type_ = vector(kind, plan.lanes)
    partial, parts = frame.buffer(buffers - 1), frame.number(3)
    axes = [Axis(frame, 5 + 6 * axis) for axis in range(plan.rank)]
    finish = epilogue(frame)
    finish.prepare(f)
    inner = plan.cin // plan.groups
    lines = f.i64(inner)
    for axis in axes:
        lines = f.mul(lines, axis.window)
    size = f.mul(lines, f.i64(plan.cout))
    start, stop = frame.share(lines, 1)
    with f.loop(start, stop, f.i64(1)) as line:
        index, rest = [f.binary("urem", line.index, f.i64(inner))], line.index
        rest = f.binary("udiv", rest, f.i64(inner))
        for axis in reversed(axes):
            index.insert(0, f.binary("urem", rest, axis.window))
            rest = f.binary("udiv", rest, axis.window)
        base = f.mul(line.index, f.i64(plan.cout))
        with f.loop(f.i64(0), f.i64(plan.cout), f.i64(plan.lanes)) as channel:
            mask = None
            if plan.cout % plan.lanes:
                mask = first_lanes(f, f.sub(f.i64(plan.cout), channel.index), plan.lanes)
            spot = f.element(partial, f.add(base, channel.index), kind)
            zero = f.const(0, type_)
            with f.loop(f.i64(0), parts, f.i64(1), [zero]) as part:
                place = f.element(spot, f.mul(part.index, size), kind)
                value = f.masked_load(place, type_, mask) if mask else f.load(place, type_)
                part.carry([f.fadd(part.values[0], value)])
            finish.store(f, (*index, channel.index), part.results[0], mask)
    return frame.finish()
