"""Images laid out in planes: one per channel, so that vectors run along neighbouring pixels.

A channel's planes hold a strip of the image with the zeros around it. Where the window moves in
steps there is one plane for each residue of the position, so that neighbouring outputs always read
neighbouring elements, and lines follow each other without gaps: outputs are counted through all
lines of a strip, and the few that lie between two lines are worked out for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from glubina.codegen.blocks import first_lanes, transposed
from glubina.codegen.emitter import Function
from glubina.codegen.frame import Frame
from glubina.codegen.planes_plan import PER_AXIS
from glubina.codegen.values import Value, vector


@dataclass(frozen=True)
class AxisNumbers:
    """The run-time numbers of one axis (see `plan_planes`)."""

    extent: Value
    step: Value
    residue: Value
    planes: Value
    place: Value
    length: Value
    count: Value
    phase: Value
    period: Value
    fold: Value


def read_axis(frame: Frame, fixed: int, axis: int) -> AxisNumbers:
    """The numbers of an axis, where `fixed` others stand before those of all axes."""
    first = fixed + PER_AXIS * axis
    return AxisNumbers(*(frame.number(first + i) for i in range(PER_AXIS)))


def move_block(
    f: Function, kind: str, lanes: int, source: Value, apart: Value, to: Value, step: Value,
    channels: int, pixels: Value | None,
) -> None:  # fmt: skip
    """Turn pixels x channels into channels x pixels.

    source, apart: the first pixel's channels, and elements from a pixel to the next. to, step: the
    first channel's pixels, and elements from a channel to the next. channels: at most `lanes`.
    pixels: how many there are; None: as many as lanes.
    """
    type_ = vector(kind, lanes)
    here = first_lanes(f, f.i64(channels), lanes) if channels < lanes else None
    there = first_lanes(f, pixels, lanes) if pixels else None
    rows = []
    for p in range(lanes):
        at = f.i64(p)
        if pixels and p:
            at = f.minimum(at, f.sub(pixels, f.i64(1)))
        rows.append(f.load_lanes(f.element(source, f.mul(at, apart), kind), type_, here))
    for c, column in enumerate(transposed(f, rows)[:channels]):
        f.store_lanes(column, f.element(to, f.mul(f.i64(c), step), kind), there)


class Packer:
    """Writes the code that lays a strip of an image out in planes."""

    def __init__(
        self, frame: Frame, kind: str, lanes: int, axes: list[AxisNumbers], channels: int,
        rows: Value, copied: bool,
    ) -> None:  # fmt: skip
        """rows: how many outputs of the first axis a whole strip has."""
        self.f, self.kind, self.lanes = frame.f, kind, lanes
        self.axes, self.channels, self.copied = axes, channels, copied
        self.rows = rows
        f = self.f
        self.inputs, self.pitches = [f.i64(channels)], [f.i64(1)]  # elements, from place to place
        for axis in reversed(axes[1:]):
            self.inputs.insert(0, f.mul(self.inputs[0], axis.extent))
            self.pitches.insert(0, f.mul(self.pitches[0], axis.length))

    def leaves(self, first: Value, rows: Value) -> Value:
        """Whether so many outputs of the first axis meet places outside the image."""
        f, axis = self.f, self.axes[0]
        low = f.add(axis.place, first)
        high = f.add(low, f.sub(axis.length, f.sub(self.rows, rows)))
        below = f.compare("sgt", f.mul(high, axis.step), axis.extent)
        return f.binary("or", f.compare("slt", low, f.i64(0)), below)

    def clear(self, planes: Value, size: Value) -> None:
        """Fill planes with zeros; their size is a multiple of the lanes."""
        f = self.f
        with f.loop(f.i64(0), size, f.i64(self.lanes)) as at:
            zero = f.const(0, vector(self.kind, self.lanes))
            f.store(zero, f.element(planes, at.index, self.kind))

    def pack(self, image: Value, planes: Value, step: Value, first: Value, rows: Value) -> None:
        """Lay out the elements that `rows` outputs of the first axis, from `first` on, meet."""
        f, axis = self.f, self.axes[0]
        length = f.add(rows, f.sub(axis.length, self.rows))
        self._axis(0, image, planes, step, first, length)

    def _axis(
        self, number: int, image: Value, planes: Value, step: Value, first: Value, length: Value
    ) -> None:
        f, axis = self.f, self.axes[number]
        one = f.i64(1)
        base = f.add(axis.place, first)
        with f.loop(f.i64(0), axis.planes, one) as fold:
            residue = f.add(axis.residue, fold.index)
            left = f.maximum(f.sub(axis.extent, residue), f.i64(0))
            places = f.binary("udiv", f.sub(f.add(left, axis.step), one), axis.step)
            low = f.maximum(f.sub(f.i64(0), base), f.i64(0))
            high = f.minimum(f.sub(places, base), length)
            target = f.element(planes, f.mul(fold.index, axis.fold), self.kind)
            if number == len(self.axes) - 1:
                start = f.add(f.mul(f.add(low, base), axis.step), residue)
                source = f.element(image, f.mul(start, f.i64(self.channels)), self.kind)
                count = f.maximum(f.sub(high, low), f.i64(0))
                self._line(source, f.element(target, low, self.kind), step, count)
            else:
                with f.loop(low, high, one) as place:
                    at = f.add(f.mul(f.add(place.index, base), axis.step), residue)
                    source = f.element(image, f.mul(at, self.inputs[number]), self.kind)
                    there = f.element(target, f.mul(place.index, self.pitches[number]), self.kind)
                    later = self.axes[number + 1]
                    self._axis(number + 1, source, there, step, f.i64(0), later.length)

    def _line(self, source: Value, target: Value, step: Value, count: Value) -> None:
        """The pixels of one line: blocks of as many as lanes, then the rest."""
        f, lanes = self.f, self.lanes
        whole = f.binary("and", count, f.i64(-lanes))
        with f.loop(f.i64(0), whole, f.i64(lanes)) as p:
            self._pixels(source, target, step, p.index, None)
        with f.when(f.compare("slt", whole, count)):
            self._pixels(source, target, step, whole, f.sub(count, whole))

    def _pixels(
        self, source: Value, target: Value, step: Value, first: Value, count: Value | None
    ) -> None:
        f, lanes, kind = self.f, self.lanes, self.kind
        if self.copied:
            mask = first_lanes(f, count, lanes) if count else None
            values = f.load_lanes(f.element(source, first, kind), vector(kind, lanes), mask)
            f.store_lanes(values, f.element(target, first, kind), mask)
            return
        apart = f.mul(self.axes[-1].step, f.i64(self.channels))
        source = f.element(source, f.mul(first, apart), kind)
        target = f.element(target, first, kind)
        full = self.channels // lanes
        with f.loop(f.i64(0), f.i64(full), f.i64(1)) as chunk:
            channel = f.mul(chunk.index, f.i64(lanes))
            there = f.element(target, f.mul(channel, step), kind)
            here = f.element(source, channel, kind)
            move_block(f, kind, lanes, here, apart, there, step, lanes, count)
        if self.channels % lanes:
            channel = f.i64(full * lanes)
            there = f.element(target, f.mul(channel, step), kind)
            here = f.element(source, channel, kind)
            move_block(f, kind, lanes, here, apart, there, step, self.channels % lanes, count)
