"""The filter gradient of a depthwise convolution: each piece of an image meets all taps at once.

    dw[k, c] = Σ_n Σ_o x[n, o·stride + k·dilation − padding, c] g[n, o, c]

There is little to multiply for each number that is read, so the images are passed over once, in
their order: a piece of outputs, a few vectors of channels, and then the taps of all axes; what the
piece gives is added to the part's result in memory, which stays in a cache.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from glubina.codegen.blocks import LINE
from glubina.codegen.conv_filter import Partials, Range
from glubina.codegen.conv_filter_plan import FilterPlan, tiles
from glubina.codegen.emitter import Function
from glubina.codegen.frame import Frame
from glubina.codegen.values import Value

PIXELS = 32
"""The outputs of a piece: with what all taps read they stay in the first-level cache."""


def emit_partials(name: str, plan: FilterPlan) -> Function:
    """The first stage, as `conv_filter.emit_partials`. Buffers: x, g, partial results."""
    return _Depthwise(Frame(name, 3), plan, 3).function()


class _Depthwise(Partials):
    """Writes the stage; a block is a few vectors of channels, with all taps.

    A piece of work is a part of a line of outputs, or several short lines.
    """

    def _strip(
        self, target: Value, fresh: Value, n: Value, first: Value, wanted: tuple[Value, Value]
    ) -> None:
        """Add what one strip, of one image or several, gives to the wanted channels."""
        f, plan, one, zero = self.f, self.plan, self.f.i64(1), self.f.i64(0)
        with f.when(fresh):
            self._clear(target, wanted)
        stops = [axis.output for axis in self.axes]
        stops[0] = f.minimum(f.add(first, self.many), stops[0])
        end = f.minimum(f.add(n, self.images), self.batch)
        self.lines = f.maximum(f.binary("udiv", f.i64(PIXELS), stops[-1]), one)
        with ExitStack() as loops:
            outer = [loops.enter_context(f.loop(n, end, one)).index]
            for number, stop in enumerate(stops):
                step = one
                if number == plan.rank - 1:
                    step = f.i64(PIXELS)
                elif number == plan.rank - 2:
                    step = self.lines
                start = first if number == 0 else zero
                outer.append(loops.enter_context(f.loop(start, stop, step)).index)
            block = loops.enter_context(f.loop(*wanted, one)).index
            if plan.ahead:
                self._fetch(outer, block)
            channel = f.mul(block, f.i64(plan.vectors * plan.lanes))
            self._taps(target, outer, stops, channel, 0, outer[0], outer[0], zero)

    def _clear(self, target: Value, wanted: tuple[Value, Value]) -> None:
        """Begin the sums of the wanted channels with zero."""
        f, plan = self.f, self.plan
        taps = f.i64(1)
        for axis in self.axes:
            taps = f.mul(taps, axis.window)
        with f.loop(f.i64(0), taps, f.i64(1)) as tap, f.loop(*wanted, f.i64(1)) as block:
            channel = f.mul(block.index, f.i64(plan.vectors * plan.lanes))
            spot = f.element(target, f.add(f.mul(tap.index, f.i64(plan.cout)), channel), self.kind)
            zeros = [f.const(0, self.type)] * plan.vectors
            self._put(spot, zeros, self._masks(channel, plan.cout))

    def _fetch(self, outer: list[Value], block: Value) -> None:
        """Ask for a block's share of what the next piece below reads first: of x, and of g."""
        f, plan, one = self.f, self.plan, self.f.i64(1)
        axis, last = self.axes[-2], self.axes[-1]
        x_at = g_at = outer[0]
        for before, position in zip(self.axes[:-2], outer[1:]):
            x_at = f.add(f.mul(x_at, before.extent), f.mul(position, before.stride))
            g_at = f.add(f.mul(g_at, before.output), position)
        below = f.add(outer[-2], self.lines)
        reach = f.sub(f.mul(f.sub(axis.window, one), axis.dilation), axis.low)
        x_at = f.add(f.mul(x_at, axis.extent), f.add(f.mul(below, axis.stride), reach))
        x_at = f.add(f.mul(x_at, last.extent), f.mul(outer[-1], last.stride))
        g_at = f.add(f.mul(f.add(f.mul(g_at, axis.output), below), last.output), outer[-1])
        several = f.compare("sgt", self.lines, one)
        rows = f.mul(self.lines, axis.stride)
        part = f.mul(f.i64(PIXELS), last.stride)
        pixels = f.select(several, f.mul(rows, last.extent), part)
        line = LINE // np.dtype(plan.dtype).itemsize
        for base, at, count, width in (
            (self.x, x_at, pixels, plan.cin),
            (self.g, g_at, f.i64(PIXELS), plan.cout),
        ):
            share = f.binary("udiv", f.mul(count, f.i64(width)), f.i64(line * tiles(plan)[2]))
            first = f.add(f.mul(at, f.i64(width)), f.mul(f.mul(block, share), f.i64(line)))
            with f.loop(f.i64(0), f.add(share, one), one) as ask:
                place = f.add(first, f.mul(ask.index, f.i64(line)))
                f.prefetch(f.emit("ptr", f"getelementptr {self.kind}, {base}, {place}"))

    def _taps(
        self, target: Value, outer: list[Value], stops: list[Value], channel: Value,
        number: int, x_at: Value, g_at: Value, tap_at: Value,
    ) -> None:  # fmt: skip
        """Run over the taps of the axes from `number` on.

        x_at, g_at and tap_at count positions of x, g and the window along the axes before it.
        """
        f, plan, axis, one = self.f, self.plan, self.axes[number], self.f.i64(1)
        if number == plan.rank - 1:
            self._sums(target, outer, stops, channel, None, x_at, g_at, tap_at)
        elif number == plan.rank - 2:
            with f.loop(f.i64(0), axis.window, one) as tap:
                stop = f.minimum(f.add(outer[-2], self.lines), stops[number])
                lines = self._inside(axis, tap.index, outer[-2], stop)
                tap_here = f.add(f.mul(tap_at, axis.window), tap.index)
                self._sums(target, outer, stops, channel, lines, x_at, g_at, tap_here)
        else:
            position = outer[1 + number]
            begin = f.sub(f.mul(position, axis.stride), axis.low)
            low = self._above(f.sub(f.i64(0), begin), axis.dilation)
            high = f.minimum(self._above(f.sub(axis.extent, begin), axis.dilation), axis.window)
            with f.loop(low, high, one) as tap:
                place = f.add(begin, f.mul(tap.index, axis.dilation))
                x_here = f.add(f.mul(x_at, axis.extent), place)
                g_here = f.add(f.mul(g_at, axis.output), position)
                tap_here = f.add(f.mul(tap_at, axis.window), tap.index)
                self._taps(
                    target, outer, stops, channel, number + 1, x_here, g_here, tap_here
                )  # fmt: skip

    def _sums(
        self, target: Value, outer: list[Value], stops: list[Value], channel: Value,
        lines: Range | None, x_at: Value, g_at: Value, tap_at: Value,
    ) -> None:  # fmt: skip
        """Add what a piece gives to the taps of the last axis, some of which go together."""
        f, plan, axis, one = self.f, self.plan, self.axes[-1], self.f.i64(1)
        masks = self._masks(channel, plan.cout)
        stop = f.minimum(f.add(outer[-1], f.i64(PIXELS)), stops[-1])
        with f.loop(f.i64(0), axis.window, f.i64(plan.together)) as tap:
            place = f.add(f.mul(tap_at, axis.window), tap.index)
            spot = f.element(target, f.add(f.mul(place, f.i64(plan.cout)), channel), self.kind)
            sums = self._old(spot, None, masks)
            last = self._inside(axis, tap.index, outer[-1], stop)
            if lines is None:
                x_here, g_here = f.mul(x_at, axis.extent), f.mul(g_at, axis.output)
                sums = self._line(sums, last, x_here, g_here, channel, channel, masks)
            else:
                above = self.axes[-2]
                with f.loop(lines.low, lines.high, one, sums) as o:
                    row = f.add(f.mul(o.index, above.stride), lines.shift)
                    x_here = f.mul(f.add(f.mul(x_at, above.extent), row), axis.extent)
                    g_here = f.mul(f.add(f.mul(g_at, above.output), o.index), axis.output)
                    o.carry(self._line(o.values, last, x_here, g_here, channel, channel, masks))
                sums = o.results
            self._put(spot, sums, masks)

    def _put(self, spot: Value, sums: list[Value], masks: list[Value] | None) -> None:
        """Store the sums of neighbouring taps."""
        f, plan = self.f, self.plan
        for at, value in enumerate(sums):
            r, v = divmod(at, plan.vectors)
            place = f.element(spot, f.i64(r * plan.cout + v * plan.lanes), self.kind)
            if masks:
                f.masked_store(value, place, masks[v])
            else:
                f.store(value, place)
