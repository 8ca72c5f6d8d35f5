"""How a convolution is computed: phases, register block, what each block reads, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np

from glubina.codegen.target import Target
from glubina.graph.ops.contraction import ConvAttributes

STRIP_BYTES = 1 << 18
"""How much of an image one thread works on at a time: a part of the second-level cache."""

FILTER_BYTES = 1 << 20
"""What of a filter stays in the second-level cache."""

ITEMS = 64
"""So many pieces of work there should be, for many threads."""

HALVES = 6
"""The most vectors of half the width across a block."""

FAR = 1 << 22
"""The size of images from which memory is asked for ahead, in bytes: by convolutions that multiply
each number only a few times."""


@dataclass(frozen=True)
class AxisPhase:
    """One spatial axis of a phase: outputs phase + period·q for q < count.

    Output q reads input positions q·step + first_offset + j·offset_step for the taps
    first_tap + j·tap_step, j < taps.
    """

    phase: int
    period: int
    count: int
    step: int
    taps: int
    first_tap: int
    tap_step: int
    first_offset: int
    offset_step: int

    def numbers(self) -> tuple[int, ...]:
        """As run-time numbers, in the order in which the kernel reads them."""
        return (
            self.phase, self.period, self.count, self.step, self.taps,
            self.first_tap, self.tap_step, self.first_offset, self.offset_step,
        )  # fmt: skip


def axis_phases(
    outputs: int, window: int, stride: int, low: int, dilation: int, spread: int
) -> list[AxisPhase]:
    """Split an axis's outputs by which taps meet an element rather than a zero between them."""
    period = spread // gcd(stride, spread)
    tap_step = spread // gcd(dilation, spread)
    found = []
    for phase in range(min(period, outputs)):
        start = phase * stride - low
        hits = [k for k in range(min(tap_step, window)) if (start + k * dilation) % spread == 0]
        first = hits[0] if hits else 0
        taps = len(range(first, window, tap_step)) if hits else 0
        found.append(
            AxisPhase(
                phase,
                period,
                len(range(phase, outputs, period)),
                period * stride // spread,
                taps,
                first,
                tap_step,
                (start + first * dilation) // spread if hits else 0,
                tap_step * dilation // spread,
            )
        )
    return found


@dataclass(frozen=True)
class Piece:
    """Taps of the last axis, and the pixels of a block for which all of them meet the image."""

    taps: range
    pixels: range


@dataclass(frozen=True)
class Run:
    """Neighbouring blocks of a line that read alike: all up to number `stop`."""

    stop: int
    pieces: tuple[Piece, ...]


def block_runs(axis: AxisPhase, extent: int, pixels: int) -> tuple[Run, ...]:
    """What the blocks of a line read: zeros beside the image are never multiplied.

    The last block ends with the line and overlaps the one before it.
    """
    found: list[Run] = []
    for block in range(-(-axis.count // pixels)):
        first = max(0, min(block * pixels, axis.count - pixels))
        pieces: list[Piece] = []
        for tap in range(axis.taps):
            at = first * axis.step + axis.first_offset + tap * axis.offset_step
            low = max(0, -(at // axis.step))
            high = min(pixels, -((at - extent) // axis.step))
            hit = range(low, max(low, high))
            if pieces and pieces[-1].pixels == hit:
                pieces[-1] = Piece(range(pieces[-1].taps.start, tap + 1), hit)
            else:
                pieces.append(Piece(range(tap, tap + 1), hit))
        used = tuple(piece for piece in pieces if piece.pixels)
        if found and found[-1].pieces == used:
            found.pop()
        found.append(Run(block + 1, used))
    return tuple(found)


@dataclass(frozen=True)
class ConvShape:
    """The extents of a convolution and its geometry."""

    batch: int
    spatial: tuple[int, ...]
    cin: int
    window: tuple[int, ...]
    outputs: tuple[int, ...]
    cout: int
    geometry: ConvAttributes


@dataclass(frozen=True)
class ConvPlan:
    """What is compiled in.

    cin, cout, groups, depthwise: the channels.
    pixels, vectors: the register block.
    step: the input's step from one pixel to the next.
    spread: for a depthwise convolution, the input's step from one tap to the next, else 0.
    merged: whether the taps of the last axis and the channels are one run of memory.
    runs: what the blocks of a line read.
    inside: per axis, whether no tap ever leaves the image.
    ahead: whether a block asks for the memory of the one below it.
    streamed: whether a block asks for the input of the one beside it.
    """

    dtype: str
    lanes: int
    rank: int
    cin: int
    cout: int
    groups: int
    pixels: int
    vectors: int
    step: int
    spread: int
    merged: bool
    depthwise: bool
    runs: tuple[Run, ...]
    inside: tuple[bool, ...]
    ahead: bool
    streamed: bool

    @property
    def panels(self) -> int:
        """How many blocks lie side by side across the output channels of a group."""
        channels = self.cout if self.depthwise else self.cout // self.groups
        return -(-channels // (self.vectors * self.lanes))


@dataclass(frozen=True)
class ConvCall:
    """The run-time numbers of one phase."""

    plan: ConvPlan
    numbers: tuple[int, ...]


def block_shape(
    pixels: int, channels: int, lanes: int, registers: int, wide: int = 0
) -> tuple[int, int]:
    """The (pixels, vectors) of the register block that wastes least.

    Counted are the multiply-adds of whole blocks, the broadcasts and loads that feed them, and
    the latency that few accumulators cannot hide. wide: how many vectors it may have at most.
    """
    room = registers - 4 if registers == 32 else registers - 3
    across = -(-channels // lanes)
    best, found = float("inf"), (1, 1)
    for vectors in range(1, min(across, wide or (4 if registers == 32 else 2)) + 1):
        for rows in range(1, min(pixels, 14 if registers == 32 else 6) + 1):
            if rows * vectors + vectors > room:
                continue
            blocks = -(-pixels // rows) * -(-across // vectors)
            work = max(rows * vectors, 8.0, 0.75 * (rows + 2 * vectors))
            cost = blocks * (work + 0.35)
            if cost < best - 1e-9:
                best, found = cost, (rows, vectors)
    return found


def depthwise_block(pixels: int, taps: int, across: int, registers: int) -> tuple[int, int]:
    """The (pixels, vectors) of the block that wastes least, beside the weights in registers.

    With one or two taps the work is bound by memory, which is passed over in longer pieces.
    """
    vectors = 1 if taps > 2 else min(across, 4)
    most = max(4, min(14, registers - 4 - min(taps, 7)) // vectors)
    choices = range(1, min(pixels, most) + 1)
    best = min(choices, key=lambda count: -(-pixels // count) * (max(count * taps, 6) + 2))
    return best, vectors


def phases_of(shape: ConvShape) -> list[list[AxisPhase]]:
    """The phases of every axis."""
    a = shape.geometry
    return [
        axis_phases(*item)
        for item in zip(
            shape.outputs, shape.window, a.stride, (p[0] for p in a.padding), a.dilation,
            a.input_dilation, strict=True,
        )
    ]  # fmt: skip


def plan_conv(shape: ConvShape, dtype: np.dtype, target: Target) -> list[ConvCall]:
    """The calls that make up a convolution, one per phase, with their numbers.

    Numbers: batch, rows per strip, strips per image, parts of the channels, the input's extents
    per axis, nine numbers per axis (AxisPhase), and the window's extents. A single axis is cut
    into strips of blocks.
    """
    a = shape.geometry
    rank = len(shape.spatial)
    axes = phases_of(shape)
    group_out = shape.cout // a.groups
    depthwise = shape.cin == a.groups == shape.cout
    narrowest = min(p.count for p in axes[-1])
    channels = shape.cout if depthwise else group_out
    lanes = target.lanes_along(dtype, channels)
    wide = HALVES if lanes < target.lanes(dtype) else 0
    pixels, vectors = block_shape(narrowest, channels, lanes, target.registers, wide)
    if depthwise:
        most = max(phase.taps for phase in axes[-1])
        pixels, vectors = depthwise_block(narrowest, most, -(-channels // lanes), target.registers)
    size = shape.batch * prod(shape.spatial) * shape.cin * dtype.itemsize
    inside = tuple(
        all(_stays_inside(phase, extent) for phase in axis)
        for axis, extent in zip(axes, shape.spatial, strict=True)
    )
    calls = []
    for combination in _product(axes):
        last = combination[-1]
        merged = a.groups == 1 and last.tap_step == 1 and last.offset_step == 1
        plan = ConvPlan(
            dtype.name, lanes, rank, shape.cin, shape.cout, a.groups, pixels, vectors,
            last.step, last.offset_step if depthwise else 0, merged, depthwise,
            block_runs(last, shape.spatial[-1], pixels), inside,
            depthwise and rank > 1 and size >= FAR,
            prod(shape.window) * a.groups * last.step == 1 and size >= FAR,
        )  # fmt: skip
        calls.append(ConvCall(plan, _numbers(shape, plan, combination)))
    return calls


def _product(axes: Sequence[list[AxisPhase]]) -> list[tuple[AxisPhase, ...]]:
    found: list[tuple[AxisPhase, ...]] = [()]
    for options in axes:
        found = [(*head, option) for head in found for option in options]
    return found


def _stays_inside(axis: AxisPhase, extent: int) -> bool:
    last = axis.first_offset + max(axis.taps - 1, 0) * axis.offset_step
    return axis.first_offset >= 0 and (axis.count - 1) * axis.step + last < extent


def _numbers(shape: ConvShape, plan: ConvPlan, phases: Sequence[AxisPhase]) -> tuple[int, ...]:
    """A strip is a part of an image that stays in the cache; enough of them for many threads.

    A filter that does not stay there is read anew for every strip: then strips are as long as they
    may be, and it is the channels that are shared out.
    """
    first = phases[0]
    itemsize = np.dtype(plan.dtype).itemsize
    row = prod(shape.spatial[1:]) * shape.cin * itemsize
    count, stride = first.count, first.step
    if len(phases) == 1:
        count, stride = -(-first.count // plan.pixels), first.step * plan.pixels
    reach = max(first.taps - 1, 0) * first.offset_step
    fits = max(1, min((STRIP_BYTES // max(row, 1) - reach) // max(stride, 1), count))
    filter_bytes = prod(shape.window) * shape.cin // plan.groups * shape.cout * itemsize
    rows = min(fits, -(-count * shape.batch // ITEMS))
    parts = 1
    if filter_bytes > FILTER_BYTES:
        panels = plan.panels * (1 if plan.depthwise else plan.groups)
        strips = shape.batch * -(-count // fits)
        parts = min(panels, -(-ITEMS // max(strips, 1)))
        rows = fits
        if strips * parts < ITEMS // 8:
            rows = min(fits, -(-count * shape.batch * parts // (ITEMS // 8)))
    rows = max(1, rows)
    numbers = [shape.batch, rows, -(-count // rows), parts, *shape.spatial]
    for phase in phases:
        numbers += phase.numbers()
    return (*numbers, *shape.window)
