"""How a convolution by Winograd's transforms is computed: where, register block, tiles, numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glubina.codegen.conv_plan import ConvShape
from glubina.codegen.target import Target

SIDE, INSIDE = 6, 4  # of a tile's inputs and outputs
POINTS = SIDE * SIDE
WORKSPACES = 2  # the transformed filter; the threads' tiles
NUMBERS = 11  # how many numbers the second stage has before the epilogue's
CACHE_BYTES = 3 << 17
"""The tiles that one thread works on at a time: a part of the second-level cache."""
SLOTS = 32
"""At most so many threads take part."""


@dataclass(frozen=True)
class WinogradPlan:
    """What is compiled in: the channels, the register block, the tiles that there is room for."""

    lanes: int
    cin: int
    cout: int
    rows: int
    vectors: int
    tiles: int

    @property
    def depth(self) -> int:
        """The elements of a tile in a matrix of inputs."""
        return -(-self.cin // self.lanes) * self.lanes

    @property
    def width(self) -> int:
        """The output channels of a panel."""
        return self.vectors * self.lanes

    @property
    def panels(self) -> int:
        """How many panels cover the output channels."""
        return -(-self.cout // self.width)

    @property
    def input_step(self) -> int:
        """From one matrix of inputs to the next; never a multiple of a page."""
        return self.tiles * self.depth + self.lanes

    @property
    def output_step(self) -> int:
        """From one matrix of products to the next."""
        return self.tiles * self.width + self.lanes

    @property
    def slot(self) -> int:
        """The elements of a thread's tiles."""
        return POINTS * (self.input_step + self.output_step)

    @property
    def filter_step(self) -> int:
        """From one point of a panel of the filter to the next."""
        return self.cin * self.width


@dataclass(frozen=True)
class WinogradCall:
    """A plan with its run-time numbers and the bytes of its workspaces."""

    plan: WinogradPlan
    numbers: tuple[int, ...]
    workspaces: tuple[int, ...]


def _tiles(shape: ConvShape) -> tuple[int, int]:
    down, across = (-(-extent // INSIDE) for extent in shape.outputs)
    return down, across


def pays(shape: ConvShape, dtype: np.dtype, target: Target) -> bool:
    """Whether a convolution is computed so: decided by its shape alone."""
    a = shape.geometry
    if target.direct or dtype != np.float32 or shape.window != (3, 3) or a.groups != 1:
        return False
    if any(step != 1 for step in (*a.stride, *a.dilation, *a.input_dilation)):
        return False
    channels = min(shape.cin, shape.cout)
    if channels < 16 or min(shape.outputs) < 1:
        return False
    down, across = _tiles(shape)
    tiles = shape.batch * down * across
    outputs = shape.batch * shape.outputs[0] * shape.outputs[1]
    if outputs < 320 or outputs <= 0.6 * tiles * INSIDE**2:
        return False
    return channels >= 32 or outputs * channels >= 3 << 13  # the transforms must be paid for


def plan_winograd(shape: ConvShape, target: Target) -> WinogradCall:
    """The register block, the tiles per item, the workspaces.

    Numbers: slots, tiles, tiles per item, the input's and the output's extents, tiles along
    each axis, zeros before each.
    """
    lanes = target.lanes(np.dtype(np.float32))
    across = -(-shape.cout // lanes)
    vectors = min(range(1, 4), key=lambda v: (-(-across // v) * (v + (0.5 if v == 1 else 0.1)), -v))
    sums = 24 if target.registers == 32 else 12
    rows = sums // vectors if vectors > 1 else sums // 2
    depth = -(-shape.cin // lanes) * lanes
    fit = CACHE_BYTES // (4 * POINTS * (depth + vectors * lanes)) // rows
    tiles = rows * max(24 // rows, min(fit, 96 // rows))
    plan = WinogradPlan(lanes, shape.cin, shape.cout, rows, vectors, tiles)
    down, along = _tiles(shape)
    total = shape.batch * down * along
    blocks = -(-total // rows)
    least = max(1, min(24 // rows, blocks))  # an item reads the whole filter
    per = rows * max(least, min(tiles // rows, -(-blocks // 64)))
    slots = min(-(-total // per), SLOTS)
    pads = (p[0] for p in shape.geometry.padding)
    numbers = (slots, total, per, *shape.spatial, *shape.outputs, down, along, *pads)
    work = 4 * POINTS * plan.panels * plan.filter_step, 4 * slots * plan.slot
    return WinogradCall(plan, numbers, work)
