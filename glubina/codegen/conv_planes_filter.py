"""The filter gradient of a convolution with few channels: vectors run along neighbouring pixels.

    dw[k, i, c] = Σ_n Σ_o x[n, o·stride + k·dilation − padding, i] g[n, o, c]

A strip of the image and of the gradient is laid out in planes (`planes.py`); where a plane of the
gradient has no output it has zeros. A block of (input channels x taps) x output channels stays in
registers, each a vector of partial sums, while the pixels of the strip pass. The strips are split
into parts by shapes alone; a second stage adds up the parts and the lanes of each sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np

from glubina.codegen.blocks import shuffle
from glubina.codegen.conv_plan import ConvShape, block_shape, phases_of
from glubina.codegen.emitter import Function
from glubina.codegen.frame import Frame
from glubina.codegen.planes import Packer, read_axis
from glubina.codegen.planes_plan import CACHE_BYTES, PER_AXIS, apart, axis_numbers, axis_of
from glubina.codegen.target import Target, llvm_type
from glubina.codegen.values import Value, vector
from glubina.graph.techniques import used

MOST_PARTS = 16
NEAR = 1024  # pixels of a strip, about
FIXED = 8  # numbers before those of the axes


@dataclass(frozen=True)
class PlanesFilterPlan:
    """What is compiled in: the channels and the register block (taps x inputs, outputs)."""

    dtype: str
    lanes: int
    rank: int
    cin: int
    cout: int
    groups: int
    rows: int
    columns: int
    copied: tuple[bool, bool]

    @property
    def block(self) -> int:
        """Elements of a block's partial sums."""
        return self.rows * self.columns * self.lanes


@dataclass(frozen=True)
class PlanesFilterCall:
    """The run-time numbers; the bytes of the planes, of the parts and of their sum."""

    plan: PlanesFilterPlan
    numbers: tuple[int, ...]
    workspaces: tuple[int, ...]


def _block(rows: int, columns: int, registers: int) -> tuple[int, int]:
    """The (taps x inputs, outputs) of the register block that loads least."""
    room = registers - 3 if registers == 32 else registers - 4
    best, found = float("inf"), (1, 1)
    for across in range(1, min(columns, room) + 1):
        for down in range(1, min(rows, room) + 1):
            if (down + 1) * across > room:
                continue
            blocks = -(-rows // down) * -(-columns // across)
            cost = blocks * max(down * across, 8.0, 1.0 * (down + across))
            if cost < best - 1e-9:
                best, found = cost, (down, across)
    return found


def pays(shape: ConvShape, dtype: np.dtype, target: Target) -> bool:
    """Whether planes cost less than vectors of output channels, by count of vector operations."""
    a, lanes = shape.geometry, target.lanes(dtype)
    if shape.cin == a.groups == shape.cout or lanes == 1 or not used("planes"):
        return False
    inner, outer, taps = shape.cin // a.groups, shape.cout // a.groups, prod(shape.window)
    phases = [axis[0] for axis in phases_of(shape)]
    axes = [axis_of(p, extent) for p, extent in zip(phases, shape.spatial, strict=True)]
    wasted = prod(axis.length(axis.phase.count) / axis.phase.count for axis in axes[1:] or axes)
    rows, vectors = block_shape(inner, outer, lanes, target.registers)
    feed = max(1.0, 0.75 * (rows + 2 * vectors) / (rows * vectors))
    direct = feed * a.groups * taps * inner * target.vectors(dtype, outer)
    down, across = _block(taps * inner, outer, target.registers)
    planar = (
        max(1.0, (down + across) / (down * across)) * wasted * taps * inner * shape.cout / lanes
    )
    reads = prod(shape.spatial) / prod(shape.outputs)
    planar += 10 * (reads * shape.cin + shape.cout) / lanes
    sums = 4 * lanes * taps * inner * shape.cout  # bytes of a part
    pixels = shape.batch * prod(shape.outputs)
    return planar < 0.8 * direct and sums <= 2 * CACHE_BYTES and pixels >= 64 * lanes


def plan_planes_filter(shape: ConvShape, dtype: np.dtype, target: Target) -> PlanesFilterCall:
    """The block, the strips, the parts.

    Numbers: batch, rows per strip, strips per image, parts, elements of a channel's planes of x,
    of g, of a thread's planes, of a part; ten per axis; each tap's place in a channel's planes.
    """
    lanes, groups = target.lanes(dtype), shape.geometry.groups
    axes = [
        axis_of(axis[0], extent)
        for axis, extent in zip(phases_of(shape), shape.spatial, strict=True)
    ]
    taps, inner = prod(shape.window), shape.cin // groups
    rows, columns = _block(taps * inner, shape.cout // groups, target.registers)
    plan = PlanesFilterPlan(
        dtype.name, lanes, len(axes), shape.cin, shape.cout, groups, rows, columns,
        (shape.cin == 1 and axes[-1].phase.step == 1, shape.cout == 1),
    )  # fmt: skip
    size, residues = np.dtype(dtype).itemsize, prod(axis.planes for axis in axes)
    line = prod(axis.length(axis.phase.count) for axis in axes[1:])
    reach, count = axes[0].length(0), axes[0].phase.count
    fits = CACHE_BYTES // (size * line * (residues * shape.cin + shape.cout)) - reach
    near = max(NEAR // line, 3 * reach, 1)  # what a block reads stays in the first-level cache
    many = max(1, min(max(fits, 2 * reach), near, count))
    strips = -(-count // many)
    parts = min(shape.batch * strips, MOST_PARTS)
    numbers, places = axis_numbers(axes, many)
    plane = residues * prod(
        axis.length(many if i == 0 else axis.phase.count) for i, axis in enumerate(axes)
    )
    step = apart(plane + line + 2 * lanes, lanes)
    g_step = apart(many * line + lanes, lanes)
    slot = shape.cin * step + shape.cout * g_step
    blocks = groups * -(-taps * inner // rows) * -(-(shape.cout // groups) // columns)
    table = [
        sum(at[j] for at, j in zip(places, tap, strict=True))
        for tap in product(*(range(axis.phase.taps) for axis in axes))
    ]
    fixed = (shape.batch, many, strips, parts, step, g_step, slot, blocks * plan.block)
    work = size * parts * slot, size * parts * blocks * plan.block, size * taps * inner * shape.cout
    return PlanesFilterCall(plan, (*fixed, *numbers, taps, *table), work)


class _Numbers:
    """The run-time numbers that both stages read."""

    def __init__(self, frame: Frame, plan: PlanesFilterPlan) -> None:
        f = frame.f
        read = [frame.number(i) for i in range(FIXED)]
        self.batch, self.many, self.strips, self.parts = read[:4]
        self.step, self.g_step, self.slot, self.size = read[4:]
        self.table = FIXED + PER_AXIS * plan.rank
        self.taps = frame.number(self.table)
        self.rows = f.mul(self.taps, f.i64(plan.cin // plan.groups))
        rows = f.i64(plan.rows)
        self.down = f.binary("udiv", f.sub(f.add(self.rows, rows), f.i64(1)), rows)
        self.across = -(-(plan.cout // plan.groups) // plan.columns)


def emit_partials(name: str, plan: PlanesFilterPlan) -> Function:
    """The first stage. Buffers: x, g, planes, parts."""
    return _Emit(Frame(name, 4), plan).function()


class _Emit:
    """Writes the stage that makes the partial sums."""

    def __init__(self, frame: Frame, plan: PlanesFilterPlan) -> None:
        self.frame, self.f, self.plan = frame, frame.f, plan
        f, self.kind = self.f, llvm_type(np.dtype(plan.dtype))
        self.type = vector(self.kind, plan.lanes)
        self.x, self.g, self.slots, self.partial = (frame.buffer(i) for i in range(4))
        self.n = n = _Numbers(frame, plan)
        self.axes = [read_axis(frame, FIXED, axis) for axis in range(plan.rank)]
        self.packer = Packer(
            frame, self.kind, plan.lanes, self.axes, plan.cin, n.many, plan.copied[0]
        )
        none, one = f.i64(0), f.i64(1)
        outputs = [
            replace(
                axis, extent=axis.count, step=one, residue=none, planes=one, place=none,
                length=axis.length if number else n.many, fold=none,
            )
            for number, axis in enumerate(self.axes)
        ]  # fmt: skip
        self.g_packer = Packer(
            frame, self.kind, plan.lanes, outputs, plan.cout, n.many, plan.copied[1]
        )

    def function(self) -> Function:
        """Every item is one part of the strips, and has planes of its own."""
        f, n, axis = self.f, self.n, self.axes[0]
        start, stop = self.frame.share(n.parts, 1)
        total = f.mul(n.batch, n.strips)
        with f.loop(start, stop, f.i64(1)) as part:
            following = f.add(part.index, f.i64(1))
            low, high = (
                f.binary("udiv", f.mul(total, p), n.parts) for p in (part.index, following)
            )
            target = f.element(self.partial, f.mul(part.index, n.size), self.kind)
            planes = f.element(self.slots, f.mul(part.index, n.slot), self.kind)
            size = f.mul(n.step, f.i64(self.plan.cin))
            g_planes = f.element(planes, size, self.kind)
            g_size = f.mul(n.g_step, f.i64(self.plan.cout))
            with f.loop(low, high, f.i64(1)) as strip:
                image = f.binary("udiv", strip.index, n.strips)
                first = f.mul(f.binary("urem", strip.index, n.strips), n.many)
                rows = f.minimum(n.many, f.sub(axis.count, first))
                fresh = f.compare("eq", strip.index, low)
                outside = self.packer.leaves(first, rows)
                several = f.compare("sgt", n.strips, f.i64(1))
                with f.when(f.binary("or", fresh, f.binary("and", outside, several))):
                    self.packer.clear(planes, size)
                with f.when(f.binary("or", fresh, f.compare("slt", rows, n.many))):
                    self.packer.clear(g_planes, g_size)
                for packer, source, to, step in (
                    (self.packer, self.x, planes, n.step),
                    (self.g_packer, self.g, g_planes, n.g_step),
                ):
                    whole = f.mul(packer.inputs[0], packer.axes[0].extent)
                    here = f.element(source, f.mul(image, whole), self.kind)
                    packer.pack(here, to, step, first, rows)
                pixels = f.mul(rows, self.packer.pitches[0])
                self._blocks(planes, g_planes, target, pixels, fresh)
        return self.frame.finish()

    def _blocks(
        self, planes: Value, g_planes: Value, target: Value, pixels: Value, fresh: Value
    ) -> None:
        """Add what one strip gives to all sums."""
        f, n, plan = self.f, self.n, self.plan
        per_group, inner = plan.cout // plan.groups, plan.cin // plan.groups
        last = f.sub(n.rows, f.i64(1))
        with (
            f.loop(f.i64(0), f.i64(plan.groups * n.across), f.i64(1)) as column,
            f.loop(f.i64(0), n.down, f.i64(1)) as line,
        ):
            group, across = (
                f.binary(how, column.index, f.i64(n.across)) for how in ("udiv", "urem")
            )
            x = f.element(planes, f.mul(f.mul(group, f.i64(inner)), n.step), self.kind)
            g = f.element(g_planes, f.mul(f.mul(group, f.i64(per_group)), n.g_step), self.kind)
            lefts, rights = [], []
            for r in range(plan.rows):
                row = f.minimum(f.add(f.mul(line.index, f.i64(plan.rows)), f.i64(r)), last)
                channel, tap = (f.binary(how, row, n.taps) for how in ("udiv", "urem"))
                at = f.add(self._place(tap), f.mul(channel, n.step))
                lefts.append(f.element(x, at, self.kind))
            for c in range(plan.columns):
                channel = f.add(f.mul(across, f.i64(plan.columns)), f.i64(c))
                at = f.mul(f.minimum(channel, f.i64(per_group - 1)), n.g_step)
                rights.append(f.element(g, at, self.kind))
            number = f.add(f.mul(column.index, n.down), line.index)
            spot = f.element(target, f.mul(number, f.i64(plan.block)), self.kind)
            self._block(lefts, rights, spot, pixels, fresh)

    def _place(self, tap: Value) -> Value:
        f = self.f
        first = f.i64(self.frame.buffers + self.n.table + 1)
        return f.invariant_load(f.element(self.frame.args, f.add(first, tap), "i64"), "i64")

    def _block(
        self, lefts: list[Value], rights: list[Value], spot: Value, pixels: Value, fresh: Value
    ) -> None:
        f, plan, zero = self.f, self.plan, self.f.const(0, self.type)
        places = [
            f.element(spot, f.i64(i * plan.lanes), self.kind)
            for i in range(plan.rows * plan.columns)
        ]
        sums = [f.select(fresh, zero, f.load(place, self.type)) for place in places]
        with f.loop(f.i64(0), pixels, f.i64(plan.lanes), sums) as q:
            columns = [f.load(f.element(p, q.index, self.kind), self.type) for p in rights]
            following = []
            for r, p in enumerate(lefts):
                value = f.load(f.element(p, q.index, self.kind), self.type)
                for c, column in enumerate(columns):
                    following.append(f.fma(value, column, q.values[r * len(columns) + c]))
            q.carry(following)
        for place, value in zip(places, q.results, strict=True):
            f.store(value, place)


def emit_sums(name: str, plan: PlanesFilterPlan) -> Function:
    """The second stage: [tap, input channel, output channel]. Buffers: parts, the sums."""
    frame = Frame(name, 2)
    f, kind = frame.f, llvm_type(np.dtype(plan.dtype))
    type_, n = vector(kind, plan.lanes), _Numbers(frame, plan)
    partial, sums = frame.buffer(0), frame.buffer(1)
    start, stop = frame.share(f.mul(n.rows, f.i64(plan.cout)), 1)

    def split(value: Value, by: int) -> tuple[Value, Value]:
        return f.binary("udiv", value, f.i64(by)), f.binary("urem", value, f.i64(by))

    with f.loop(start, stop, f.i64(1)) as item:
        row, out = split(item.index, plan.cout)
        group, channel = split(out, plan.cout // plan.groups)
        across, c = split(channel, plan.columns)
        tap, source = split(row, plan.cin // plan.groups)
        line, r = split(f.add(f.mul(source, n.taps), tap), plan.rows)
        block = f.mul(f.add(f.mul(group, f.i64(n.across)), across), n.down)
        at = f.mul(f.add(block, line), f.i64(plan.rows))
        at = f.add(f.mul(f.add(at, r), f.i64(plan.columns)), c)
        place = f.element(partial, f.mul(at, f.i64(plan.lanes)), kind)
        with f.loop(f.i64(0), n.parts, f.i64(1), [f.const(0, type_)]) as part:
            there = f.element(place, f.mul(part.index, n.size), kind)
            part.carry([f.fadd(part.values[0], f.load(there, type_))])
        value, half = part.results[0], plan.lanes // 2
        while half:
            picks = [(lane + half) % plan.lanes for lane in range(plan.lanes)]
            value, half = f.fadd(value, shuffle(f, value, value, picks)), half // 2
        f.store(f.extract(value, 0), f.element(sums, item.index, kind))
    return frame.finish()
