"""Convolutions in planes: where they pay, how an image is laid out in planes, the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from glubina.codegen.conv_plan import AxisPhase, ConvShape, phases_of
from glubina.codegen.target import Target
from glubina.graph.techniques import used

CACHE_BYTES = 1 << 18
"""The planes that one thread works on at a time: a part of the second-level cache."""
SLOTS = 16
"""At most so many threads take part."""
FIXED = 7  # numbers before those of the axes
PER_AXIS = 10


@dataclass(frozen=True)
class PlanesPlan:
    """What is compiled in.

    cin, cout, groups: the channels. vectors, channels: the register block: vectors of neighbouring
    pixels x output channels. padded: whether windows leave the image. copied: whether a line of
    the image is a line of its only plane. taps: the length of the table. flat: whether results are
    finished along a line's pixels and channels together rather than pixel by pixel.
    """

    dtype: str
    lanes: int
    rank: int
    cin: int
    cout: int
    groups: int
    vectors: int
    channels: int
    padded: bool
    copied: bool
    taps: int
    flat: bool


@dataclass(frozen=True)
class PlanesCall:
    """The run-time numbers of one phase, and the bytes of all threads' planes."""

    plan: PlanesPlan
    numbers: tuple[int, ...]
    workspace: int


@dataclass(frozen=True)
class Axis:
    """An axis of the planes of one phase.

    Output q meets, with tap j, place q + places[j] of the plane of residue residues[j]; place i of
    the plane of residue r holds input i·step + r (counted from the strip's first output).
    """

    phase: AxisPhase
    extent: int
    residues: tuple[int, ...]
    places: tuple[int, ...]

    @property
    def lowest(self) -> tuple[int, int]:
        """The smallest residue and the smallest place."""
        return min(self.residues, default=0), min(self.places, default=0)

    @property
    def planes(self) -> int:
        """How many residues there are planes for."""
        return max(self.residues, default=0) - self.lowest[0] + 1

    def length(self, count: int) -> int:
        """Places that so many outputs meet."""
        return count + max(self.places, default=0) - self.lowest[1]

    @property
    def inside(self) -> bool:
        """Whether every place holds an element of the input."""
        if not self.places:
            return False
        first = self.lowest[1] * self.phase.step + self.lowest[0]
        last = (self.phase.count - 1 + max(self.places)) * self.phase.step + max(self.residues)
        return first >= 0 and last < self.extent


def axis_of(phase: AxisPhase, extent: int) -> Axis:
    """How the taps of a phase meet the planes."""
    at = [phase.first_offset + j * phase.offset_step for j in range(phase.taps)]
    return Axis(
        phase, extent, tuple(t % phase.step for t in at), tuple(t // phase.step for t in at)
    )


def block(channels: int, registers: int) -> tuple[int, int]:
    """The (pixel vectors, output channels) of the register block."""
    room = registers - 6 if registers == 32 else registers - 4
    best, found = float("inf"), (1, 1)
    for down in range(1, min(channels, room) + 1):
        for vectors in range(1, min(8, room // down) + 1):
            work = max(vectors * down, 8.0, vectors + 0.5 * down)
            cost = -(-channels // down) * (work + 0.5) / vectors
            if cost < best - 1e-9:
                best, found = cost, (vectors, down)
    return found


def pays(shape: ConvShape, dtype: np.dtype, target: Target) -> bool:
    """Whether planes cost less than vectors of output channels, by count of vector operations."""
    if shape.cin == shape.geometry.groups == shape.cout or target.lanes(dtype) == 1:
        return False
    if not used("planes"):
        return False
    planar, direct = costs(shape, dtype, target)
    return planar < 0.8 * direct


def costs(shape: ConvShape, dtype: np.dtype, target: Target) -> tuple[float, float]:
    """Vector operations for each output pixel: in planes, and with vectors of output channels."""
    a, lanes = shape.geometry, target.lanes(dtype)
    per_group = shape.cout // a.groups
    axes = phases_of(shape)
    taps = prod(sum(phase.taps for phase in axis) / len(axis) for axis in axes)
    depth = taps * shape.cin // a.groups
    phases = prod(len(axis) for axis in axes)  # each lays out the image anew
    reads = phases * prod(shape.spatial) / prod(shape.outputs)
    wasted = prod(
        axis_of(axis[0], extent).length(axis[0].count) / axis[0].count
        for axis, extent in zip(axes[1:] or axes, shape.spatial[1:] or shape.spatial, strict=True)
    )
    across = target.vectors(dtype, per_group)
    direct = a.groups * depth * across + 4 * a.groups * across
    vectors, channels = block(per_group, target.registers)
    feed = max(1.0, (vectors + 0.5 * channels) / (vectors * channels))
    planar = feed * wasted * depth * shape.cout / lanes
    planar += 10 * reads * shape.cin / lanes + 4 + 6 * shape.cout / lanes
    return planar, direct


def plan_planes(shape: ConvShape, dtype: np.dtype, target: Target, even: bool) -> list[PlanesCall]:
    """The calls that make up a convolution, one per phase, with their numbers.

    even: whether all that follows reads one number, one per channel, or one per result.

    Numbers: batch, rows per strip, strips per image, slots, elements of a channel's planes, of an
    output's plane, of a thread's; ten per axis; then each tap's place in a channel's planes and in
    the filter.
    """
    lanes = target.lanes(dtype)
    phases = list(product(*phases_of(shape)))
    layouts = [
        [axis_of(p, extent) for p, extent in zip(phase, shape.spatial, strict=True)]
        for phase in phases
    ]
    per_group = shape.cout // shape.geometry.groups
    vectors, channels = block(per_group, target.registers)
    plan = PlanesPlan(
        dtype.name, lanes, len(shape.spatial), shape.cin, shape.cout, shape.geometry.groups,
        vectors, channels,
        not all(axis.inside for axes in layouts for axis in axes),
        shape.cin == 1 and all(axes[-1].phase.step == 1 for axes in layouts),
        max(prod(p.taps for p in phase) for phase in phases),
        shape.cout == 1 or (even and shape.cout < min(lanes, 9)),
    )  # fmt: skip
    if any(axes[-1].phase.period > 1 for axes in layouts):
        plan = PlanesPlan(**{**vars(plan), "flat": False})
    return [_call(shape, plan, axes) for axes in layouts]


def _call(shape: ConvShape, plan: PlanesPlan, axes: Sequence[Axis]) -> PlanesCall:
    size = np.dtype(plan.dtype).itemsize
    residues = prod(axis.planes for axis in axes)
    first = axes[0].phase
    reach = axes[0].length(0)
    line = prod(axis.length(axis.phase.count) for axis in axes[1:])
    fits = CACHE_BYTES // (size * residues * plan.cin * line) - reach
    enough = -(-first.count * shape.batch // 64)
    rows = max(1, min(max(fits, 2 * reach), max(enough, 2 * reach), first.count))
    if plan.rank == 1:
        rows = max(rows, min(first.count, 4 * plan.vectors * plan.lanes))
    strips = -(-first.count // rows)
    lengths = [axes[0].length(rows), *(axis.length(axis.phase.count) for axis in axes[1:])]
    span = plan.vectors * plan.lanes
    plane = prod(lengths)
    out = apart(rows * line + span, plan.lanes)
    step = apart(residues * plane + span + plan.lanes, plan.lanes)
    slots = min(shape.batch * strips, SLOTS)
    slot = step * plan.cin + out * plan.cout
    numbers = [shape.batch, rows, strips, slots, step, out, slot]
    described, places = axis_numbers(axes, rows)
    numbers += described
    weights = [prod(shape.window[i + 1 :]) for i in range(plan.rank)]
    inner = plan.cin // plan.groups * plan.cout
    table: list[int] = []
    for taps in product(*(range(axis.phase.taps) for axis in axes)):
        there, at = 0, 0
        for j, axis, place, weight in zip(taps, axes, places, weights, strict=True):
            there += place[j]
            at += (axis.phase.first_tap + j * axis.phase.tap_step) * weight
        table += [there, at * inner]
    found = len(table) // 2
    table += [0] * (2 * (plan.taps - found))
    return PlanesCall(plan, (*numbers, found, *table), size * slots * slot)


def axis_numbers(axes: Sequence[Axis], rows: int) -> tuple[list[int], list[list[int]]]:
    """Ten numbers per axis, for strips of so many rows; and where each axis's taps stand.

    The numbers: the input's extent, the step, the lowest residue, the residues, the lowest place,
    the places, the outputs, their phase and period, elements from one residue's planes to the next.
    """
    lengths = [axis.length(axis.phase.count if i else rows) for i, axis in enumerate(axes)]
    plane = prod(lengths)
    numbers: list[int] = []
    places = []
    for i, axis in enumerate(axes):
        p, (residue, place) = axis.phase, axis.lowest
        pitch, fold = prod(lengths[i + 1 :]), prod(a.planes for a in axes[i + 1 :]) * plane
        numbers += [
            axis.extent, p.step, residue, axis.planes if p.taps else 0, place,
            lengths[i], p.count, p.phase, p.period, fold,
        ]  # fmt: skip
        places.append(
            [
                (r - residue) * fold + (at - place) * pitch
                for r, at in zip(axis.residues, axis.places, strict=True)
            ]
        )
    return numbers, places


def apart(elements: int, lanes: int) -> int:
    """Rounded up to vectors, and no multiple of a page, which would crowd the cache's sets."""
    vectors = -(-elements // lanes)
    return lanes * (vectors + 1 if vectors % 4 == 0 else vectors)
