"""How a convolution by Winograd's transforms is computed: where, register block, tiles, numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glubina.codegen.conv_plan import ConvShape
from glubina.codegen.target import Target
from glubina.codegen.winograd_lines import Line

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


# -- the filter's gradient ----------------------------------------------------------------------

FILTER_NUMBERS = (
    "slots", "slot", "parts", "shares", "total", "chunk", "down", "across", "height", "width",
    "out_height", "out_width", "top", "left", "cin", "cout", "cell_in", "step_in", "cell_out",
    "step_out", "share", "group", "step_products", "inputs", "outputs", "products",
)  # fmt: skip
"""The numbers of the first stage: slots and their elements; parts, shares of output channels; tiles
in all and at once; tiles along each axis; extents of input and output; zeros before; channels;
elements from one tile to the next and from one point to the next, of input and output; channels of
a share, input channels at a time; elements from one point of the products to the next; where in a
slot things are."""

FILTER_PARTS = 32
PARTIAL_BYTES = 1 << 24
CHUNK_BYTES = 3 << 18
GROUP = 128


@dataclass(frozen=True)
class FilterTiles:
    """What is compiled in: the tile, the register block, and which channels need masks."""

    tile: tuple[Line, Line]
    lanes: int
    rows: int
    vectors: int
    masked: tuple[bool, bool]


@dataclass(frozen=True)
class FilterWinograd:
    """A plan with its run-time numbers, the parts, and the bytes of its workspaces."""

    plan: FilterTiles
    numbers: tuple[int, ...]
    parts: int
    workspaces: tuple[int, ...]


def filter_pays(shape: ConvShape, dtype: np.dtype, target: Target) -> bool:
    """Whether a filter's gradient is computed so: decided by its shape alone."""
    a = shape.geometry
    if target.direct or dtype != np.float32 or shape.window != (3, 3) or a.groups != 1:
        return False
    if any(step != 1 for step in (*a.stride, *a.dilation, *a.input_dilation)):
        return False
    if min(shape.cin, shape.cout) < 16 or min(shape.outputs) < 1:
        return False
    down, across = _tiles(shape)
    outputs = shape.outputs[0] * shape.outputs[1]
    return shape.batch * outputs >= 320 and outputs > 0.45 * down * across * INSIDE**2


def _up(count: int, size: int) -> int:
    return -(-count // size) * size


def plan_winograd_filter(shape: ConvShape, target: Target) -> FilterWinograd:
    """The register block, and how tiles and channels are split."""
    tile = (Line(4, 3), Line(4, 3))
    count = tile[0].points * tile[1].points
    lanes = target.lanes(np.dtype(np.float32))
    rows, vectors = filter_block(shape.cin, shape.cout, lanes, target)
    width = lanes * vectors
    masked = shape.cin % lanes > 0, shape.cout % lanes > 0
    plan = FilterTiles(tile, lanes, rows, vectors, masked)
    down, across = (
        -(-extent // line.outputs) for extent, line in zip(shape.outputs, tile, strict=True)
    )
    total = shape.batch * down * across
    size = 4 * 9 * shape.cin * shape.cout
    parts = max(1, min(total // 24, FILTER_PARTS, PARTIAL_BYTES // size))
    panels = -(-shape.cout // width)
    shares = max(1, min(-(-16 // parts), -(-shape.cout // 64), panels))
    share = _up(-(-panels // shares), 1) * width
    shares = -(-shape.cout // share)
    cell_in, cell_out = _up(shape.cin, lanes), _up(min(shape.cout, share), width)
    per = -(-total // parts)
    chunk = max(24, CHUNK_BYTES // (4 * count * (cell_in + cell_out)))
    chunk = -(-per // -(-per // min(chunk, 96)))
    group = min(_up(shape.cin, rows), GROUP // rows * rows)
    step_in, step_out = chunk * cell_in + _up(rows, lanes) + lanes, chunk * cell_out + lanes
    step_products = group * width + lanes
    inputs = max(cell_in, cell_out)
    outputs = inputs + count * step_in
    products = outputs + count * step_out
    slot = products + count * step_products
    slots = min(parts * shares, SLOTS)
    pads = (p[0] for p in shape.geometry.padding)
    numbers = (
        slots, slot, parts, shares, total, chunk, down, across, *shape.spatial, *shape.outputs,
        *pads, shape.cin, shape.cout, cell_in, step_in, cell_out, step_out, share, group,
        step_products, inputs, outputs, products,
    )  # fmt: skip
    return FilterWinograd(plan, numbers, parts, (parts * size, 4 * slots * slot))


def filter_block(cin: int, cout: int, lanes: int, target: Target) -> tuple[int, int]:
    """The (input channels, vectors of output channels) of the register block."""
    sums = 24 if target.registers == 32 else 12
    across = -(-cout // lanes)
    best, found = float("inf"), (1, 1)
    for vectors in range(1, min(across, 4 if sums == 24 else 2) + 1):
        for rows in range(1, min(cin, sums // vectors) + 1):
            work = max(rows * vectors, 8.0, 0.75 * (rows + 2 * vectors)) + 0.35
            cost = -(-cin // rows) * -(-across // vectors) * work
            if cost < best - 1e-9:
                best, found = cost, (rows, vectors)
    return found
