"""How the filter gradient of a convolution is computed: its block, and how the work is split."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from glubina.codegen.conv_plan import FAR, HALVES, ConvShape, block_shape
from glubina.codegen.target import Target

STRIP_BYTES = 1 << 18
"""How much of an image and its gradient passes at a time: a part of the second-level cache."""

MOST_PARTS = 32
PARTIAL_BYTES = 1 << 22
"""The most partial results, in number and in bytes all together."""


@dataclass(frozen=True)
class FilterPlan:
    """What is compiled in: channels, the block, and how many pixels pass at once.

    together: how many taps of the last axis, `dilation` apart, share a block, with rows for each.
    ahead: whether the memory of the next line or strip is asked for while one is worked on.
    """

    dtype: str
    lanes: int
    rank: int
    cin: int
    cout: int
    groups: int
    rows: int
    vectors: int
    unroll: int
    step: int
    depthwise: bool
    together: int
    dilation: int
    ahead: bool


@dataclass(frozen=True)
class FilterCall:
    """The plan with its run-time numbers and the bytes of the partial results."""

    plan: FilterPlan
    numbers: tuple[int, ...]
    parts: int
    workspace: int


def plan_filter(shape: ConvShape, dtype: np.dtype, target: Target) -> FilterCall:
    """Choose the block and how the work is split.

    Numbers: batch, rows per strip, strips per image, parts, shares of the blocks, then per axis
    the input's extent, the output's, the window's, stride, dilation and zeros before; at last how
    many images pass at a time where a strip is a whole image.
    """
    a = shape.geometry
    depthwise = shape.cin == a.groups == shape.cout
    rows_all = 1 if depthwise else shape.cin // a.groups
    columns = shape.cout if depthwise else shape.cout // a.groups
    lanes = target.lanes_along(dtype, columns)
    together = _taps_together(shape.window[-1], rows_all, target.registers)
    if together > 1:
        rows, unroll = together * rows_all, 4
        room = 28 if target.registers == 32 else 13
        most = (14 if target.registers == 32 else 8) // rows if depthwise else room // (rows + 1)
        across = -(-columns // lanes)
        choices = range(max(1, min(across, most, 4)), 0, -1)
        vectors = min(choices, key=lambda count: -(-across // count) * max(count, 2))
    else:
        wide = HALVES if lanes < target.lanes(dtype) else 0
        rows, vectors = block_shape(rows_all, columns, lanes, target.registers, wide)
        unroll = 1
        while unroll < 4 and rows * vectors * unroll < 8:
            unroll *= 2
    line = prod(shape.spatial[1:]) * shape.cin * a.stride[0] + prod(shape.outputs[1:]) * shape.cout
    each = shape.outputs[0] * line * dtype.itemsize
    few = depthwise or prod(shape.window) * a.groups == 1
    plan = FilterPlan(
        dtype.name, lanes, len(shape.spatial), shape.cin, shape.cout, a.groups, rows, vectors,
        unroll, a.stride[-1], depthwise, together, a.dilation[-1] if together > 1 else 0,
        few and len(shape.spatial) > 1 and shape.batch * each >= FAR,
    )  # fmt: skip
    many = max(1, min(shape.outputs[0], STRIP_BYTES // max(1, line * dtype.itemsize)))
    strips = -(-shape.outputs[0] // many)
    images = 1 if strips > 1 else max(1, min(STRIP_BYTES // max(1, each), -(-shape.batch // 4)))
    size = prod(shape.window) * (shape.cin // a.groups) * shape.cout * dtype.itemsize
    passes = -(-shape.batch // images) * strips
    parts = max(1, min(passes, MOST_PARTS, PARTIAL_BYTES // max(size, 1)))
    blocks = blocks_of(plan, shape.window)
    shares = min(blocks, max(1, -(-MOST_PARTS // parts)))
    numbers = [shape.batch, many, strips, parts, shares]
    for axis in range(plan.rank):
        numbers += [
            shape.spatial[axis], shape.outputs[axis], shape.window[axis],
            a.stride[axis], a.dilation[axis], a.padding[axis][0],
        ]  # fmt: skip
    return FilterCall(plan, (*numbers, images), parts, parts * size)


def _taps_together(taps: int, inner: int, registers: int) -> int:
    """How many taps share a block: several, where one tap alone has too few rows."""
    most = (14 if registers == 32 else 8) // inner
    if inner > 2:
        return 1
    return max(count for count in range(1, taps + 1) if taps % count == 0 and count <= max(most, 1))


def tiles(plan: FilterPlan) -> tuple[int, int, int]:
    """How many groups, row blocks and column blocks one tap has."""
    if plan.depthwise:
        return 1, 1, -(-plan.cout // (plan.vectors * plan.lanes))
    per_group = plan.cout // plan.groups
    return (
        plan.groups,
        1 if plan.together > 1 else -(-(plan.cin // plan.groups) // plan.rows),
        -(-per_group // (plan.vectors * plan.lanes)),
    )


def blocks_of(plan: FilterPlan, window: tuple[int, ...]) -> int:
    """How many blocks threads may share; of a depthwise convolution each has all taps."""
    taps = 1 if plan.depthwise else prod(window) // plan.together
    return taps * prod(tiles(plan))
