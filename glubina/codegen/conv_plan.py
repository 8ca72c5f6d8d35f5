"""How a convolution is computed: phases, register block, padded strips, run-time numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np

from glubina.codegen.target import Target
from glubina.graph.ops.contraction import ConvAttributes

STRIP_BYTES = 1 << 18
"""How much of an image one thread works on at a time: a part of the second-level cache."""

MOST_STRIPS = 64
"""The most threads that have a padded strip of their own; more do not take part."""


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
    """What is compiled in: channels, the register block, the input's step along the last axis."""

    dtype: str
    lanes: int
    rank: int
    cin: int
    cout: int
    groups: int
    pixels: int
    vectors: int
    step: int
    merged: bool
    depthwise: bool
    padded: bool


@dataclass(frozen=True)
class ConvCall:
    """The run-time numbers of one phase."""

    plan: ConvPlan
    numbers: tuple[int, ...]


def block_shape(pixels: int, channels: int, lanes: int, registers: int) -> tuple[int, int]:
    """The (pixels, vectors) of the register block that wastes least.

    Counted are the multiply-adds of whole blocks, the broadcasts and loads that feed them, and
    the latency that few accumulators cannot hide.
    """
    room = registers - 4 if registers == 32 else registers - 3
    across = -(-channels // lanes)
    best, found = float("inf"), (1, 1)
    for vectors in range(1, min(across, 4 if registers == 32 else 2) + 1):
        for rows in range(1, min(pixels, 14 if registers == 32 else 6) + 1):
            if rows * vectors + vectors > room:
                continue
            blocks = -(-pixels // rows) * -(-across // vectors)
            work = max(rows * vectors, 8.0, 0.75 * (rows + 2 * vectors))
            cost = blocks * (work + 0.35)
            if cost < best - 1e-9:
                best, found = cost, (rows, vectors)
    return found


def plan_conv(shape: ConvShape, dtype: np.dtype, target: Target) -> list[ConvCall]:
    """The calls that make up a convolution, one per phase, with their numbers.

    Numbers: batch, strip rows, strips per image, padded extents per axis, zeros before per axis,
    the input's extents per axis, output extents per axis, nine numbers per axis (AxisPhase), and
    the window's extents.
    """
    a = shape.geometry
    rank = len(shape.spatial)
    axes = [
        axis_phases(*item)
        for item in zip(
            shape.outputs, shape.window, a.stride, (p[0] for p in a.padding), a.dilation,
            a.input_dilation, strict=True,
        )
    ]  # fmt: skip
    lanes = target.lanes(dtype)
    group_out = shape.cout // a.groups
    depthwise = shape.cin == a.groups == shape.cout
    narrowest = min(p.count for p in axes[-1])
    channels = shape.cout if depthwise else group_out
    pixels, vectors = block_shape(narrowest, channels, lanes, target.registers)
    calls = []
    for combination in _product(axes):
        last = combination[-1]
        before, after = _margins(combination, shape.spatial)
        padded = any(before) or any(after)
        merged = a.groups == 1 and last.tap_step == 1 and last.offset_step == 1
        plan = ConvPlan(
            dtype.name, lanes, rank, shape.cin, shape.cout, a.groups, pixels, vectors,
            last.step, merged, depthwise, padded,
        )  # fmt: skip
        calls.append(ConvCall(plan, _numbers(shape, dtype, combination, before, after)))
    return calls


def _product(axes: Sequence[list[AxisPhase]]) -> list[tuple[AxisPhase, ...]]:
    found: list[tuple[AxisPhase, ...]] = [()]
    for options in axes:
        found = [(*head, option) for head in found for option in options]
    return found


def _margins(phases: Sequence[AxisPhase], spatial: Sequence[int]) -> tuple[list[int], list[int]]:
    """The zeros that taps need before and after the input, per axis."""
    before, after = [], []
    for phase, extent in zip(phases, spatial, strict=True):
        last = phase.first_offset + max(phase.taps - 1, 0) * phase.offset_step
        end = (phase.count - 1) * phase.step + last
        before.append(max(0, -phase.first_offset))
        after.append(max(0, end - (extent - 1)))
    return before, after


def _numbers(
    shape: ConvShape, dtype: np.dtype, phases: Sequence[AxisPhase],
    before: Sequence[int], after: Sequence[int],
) -> tuple[int, ...]:  # fmt: skip
    padded = [b + n + c for b, n, c in zip(before, shape.spatial, after, strict=True)]
    row = prod(padded[1:]) * shape.cin * dtype.itemsize
    first = phases[0]
    reach = max(first.taps - 1, 0) * first.offset_step + 1
    fits = max(1, (STRIP_BYTES // max(row, 1) - reach) // max(first.step, 1) + 1)
    enough = max(1, -(-first.count * shape.batch // 64))
    rows = max(1, min(fits, enough, first.count)) if len(phases) > 1 else first.count
    strips = -(-first.count // rows)
    slab = (rows - 1) * first.step + reach
    numbers = [shape.batch, rows, strips, slab, *padded[1:], *before, *shape.spatial]
    numbers += shape.outputs
    for phase in phases:
        numbers += phase.numbers()
    return (*numbers, *shape.window)


def strip_bytes(call: ConvCall) -> int:
    """The bytes of the padded strips, one per thread that takes part (0 where none is needed)."""
    if not call.plan.padded:
        return 0
    rank = call.plan.rank
    batch, _, strips, *extents = call.numbers[: 3 + rank]
    elements = (prod(extents) * call.plan.cin + 127) // 64 * 64
    return min(batch * strips, MOST_STRIPS) * elements * np.dtype(call.plan.dtype).itemsize
