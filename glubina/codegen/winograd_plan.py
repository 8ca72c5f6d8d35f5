"""How a convolution by Winograd's transforms is computed: its register block, splits, numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from glubina.codegen.conv_plan import ConvShape, block_shape
from glubina.codegen.target import Target
from glubina.codegen.winograd_lines import Line

Tile = tuple[Line, Line]

NUMBERS = (
    "slots", "slot", "shares", "total", "chunk", "down", "across", "height", "width", "out_height",
    "out_width", "top", "left", "step_in", "share", "step_products", "deep", "step_weights",
    "inputs", "products", "weights",
)  # fmt: skip
"""The numbers of a convolution: slots and their elements; shares of output channels; tiles in all
and at once; tiles along each axis; extents of input and output; zeros before; elements of inputs
from one point to the next; channels of a share; elements of products from one point to the next;
input channels whose filter is transformed at a time, and its elements from one point to the next;
where in a slot things are."""

FILTER_NUMBERS = (
    "slots", "slot", "parts", "shares", "total", "chunk", "down", "across", "height", "width",
    "out_height", "out_width", "top", "left", "cin", "cout", "cell_in", "step_in", "cell_out",
    "step_out", "share", "group", "step_products", "inputs", "outputs", "products",
)  # fmt: skip
"""The numbers of a filter's gradient: as above, and how many parts; channels; elements from one
tile to the next; input channels at a time."""

SLOTS = 32
"""At most so many threads take part."""

CACHE_BYTES = 3 << 17
"""The tiles that one thread works on at a time: a part of the second-level cache."""

CHUNK_BYTES = 3 << 18
"""The tiles of input and gradient that one thread works on at a time."""

MANY = 64
"""Tiles whose gradient is summed before it is transformed back, if there are enough items."""

PARTS = 32
PARTIAL_BYTES = 1 << 24
"""The most partial gradients, in number and in bytes all together."""

ITEMS = 8
WIDE = 64
"""So many items at least, if the shares of output channels are not narrower than this."""

GROUP = 128
"""About how many input channels' products, or transformed weights, there are at a time."""

LEAST = 24
SMALL = 1 << 18
"""The fewest tiles at once, if a filter has more bytes than this: each time all of it is read."""

FEW = 48
"""Tiles up to which each item transforms the part of the filter that it needs."""


def _up(count: int, size: int) -> int:
    return -(-count // size) * size


def counts(shape: ConvShape, tile: Tile) -> tuple[int, int]:
    """How many tiles cover the outputs, along each axis."""
    outputs = shape.outputs if len(shape.outputs) == 2 else (1, *shape.outputs)
    down, across = (-(-n // line.outputs) for n, line in zip(outputs, tile, strict=True))
    return down, across


def _plane(shape: ConvShape) -> tuple[int, ...]:
    """Extents of the input and the output, and zeros before: a single axis is a line of images."""
    first = (1,) * (2 - len(shape.spatial))
    pads = (*(0 for _ in first), *(p[0] for p in shape.geometry.padding))
    return (*first, *shape.spatial, *first, *shape.outputs, *pads)


@dataclass(frozen=True)
class WinogradPlan:
    """What is compiled in: the tile, the channels, the register block.

    rank: the spatial axes. local: whether the items transform the filter themselves.
    """

    tile: Tile
    rank: int
    lanes: int
    cin: int
    cout: int
    rows: int
    vectors: int
    local: bool

    @property
    def cell(self) -> int:
        """The elements of a tile in a matrix of inputs."""
        return _up(self.cin, self.lanes)

    @property
    def width(self) -> int:
        """The output channels of a panel."""
        return self.vectors * self.lanes

    @property
    def outputs(self) -> int:
        """How many outputs a tile has."""
        return self.tile[0].outputs * self.tile[1].outputs


@dataclass(frozen=True)
class WinogradCall:
    """A plan with its run-time numbers, those of the filter's stage, the workspaces' bytes."""

    plan: WinogradPlan
    numbers: tuple[int, ...]
    turn: tuple[int, ...]
    workspaces: tuple[int, ...]


def _block(shape: ConvShape, total: int, lanes: int, registers: int) -> tuple[int, int]:
    """The (tiles, vectors) of the register block."""
    if total < LEAST:  # two panels at least, for two threads
        return block_shape(total, -(-shape.cout // 2), lanes, registers)
    across = -(-shape.cout // lanes)
    vectors = min(range(1, 4), key=lambda v: (-(-across // v) * (v + (0.5 if v == 1 else 0.1)), -v))
    sums = 24 if registers == 32 else 12
    return (sums // vectors if vectors > 1 else sums // 2), vectors


def plan_winograd(shape: ConvShape, tile: Tile, target: Target) -> WinogradCall:
    """The register block, the tiles per item, the workspaces: transformed filter and slots."""
    lanes = target.lanes(np.dtype(np.float32))
    count = tile[0].points * tile[1].points
    down, across = counts(shape, tile)
    total = shape.batch * down * across
    rows, vectors = _block(shape, total, lanes, target.registers)
    local = total <= FEW
    plan = WinogradPlan(
        tile, len(shape.spatial), lanes, shape.cin, shape.cout, rows, vectors, local
    )
    panels = -(-shape.cout // plan.width)
    blocks = -(-total // rows)
    most = CACHE_BYTES // (4 * count * (plan.cell + plan.width)) // rows
    least = LEAST // rows if 4 * count * shape.cin * shape.cout > SMALL else 1
    chunk = max(least, min(most, 96 // rows, blocks // 64))
    if local:  # two threads should have work, but the filter's transform is dear
        chunk = blocks if panels > 1 else -(-blocks // 2)
    chunk = rows * max(1, min(chunk, blocks))
    chunks = -(-total // chunk)
    wide = -(-panels * plan.width // WIDE)  # a share transforms the tiles again
    shares = min(panels, max(1, min(-(-ITEMS // chunks), panels if local else wide)))
    share = -(-panels // shares) * plan.width
    shares = -(-shape.cout // share)
    step_in = chunk * plan.cell + lanes
    step_products = chunk * plan.width + lanes
    deep = min(shape.cin, GROUP)
    step_weights = deep * plan.width + lanes
    inputs = plan.cell
    products = inputs + count * step_in
    weights = products + count * step_products
    slot = weights + (count * step_weights if local else 0)
    slots = min(chunks * shares, SLOTS)
    numbers = (
        slots, slot, shares, total, chunk, down, across, *_plane(shape), step_in, share,
        step_products, deep, step_weights, inputs, products, weights,
    )  # fmt: skip
    some = -(-shape.cin // max(1, min(shape.cin // 8, -(-32 // panels))))
    filters = 0 if local else 4 * count * panels * shape.cin * plan.width
    return WinogradCall(plan, numbers, (shape.cin, shape.cout, some), (4 * slots * slot, filters))


# -- the filter's gradient ----------------------------------------------------------------------


@dataclass(frozen=True)
class FilterTiles:
    """What is compiled in: the tile, the register block, and which channels need masks."""

    tile: Tile
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


def plan_winograd_filter(shape: ConvShape, tile: Tile, target: Target) -> FilterWinograd:
    """The register block, how tiles and channels are split; workspaces: the parts, the slots."""
    count = tile[0].points * tile[1].points
    lanes = target.lanes(np.dtype(np.float32))
    rows, vectors = filter_block(shape.cin, shape.cout, lanes, target)
    width = lanes * vectors
    masked = shape.cin % lanes > 0, shape.cout % lanes > 0
    down, across = counts(shape, tile)
    total = shape.batch * down * across
    size = 4 * prod(shape.window) * shape.cin * shape.cout
    panels = -(-shape.cout // width)
    wide = min(panels, -(-shape.cout // WIDE))
    enough = min(total // LEAST, -(-ITEMS // wide))
    parts = max(1, min(max(total // MANY, enough), PARTS, PARTIAL_BYTES // size))
    shares = max(1, min(-(-ITEMS // parts), wide))
    share = -(-panels // shares) * width
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
    numbers = (
        slots, slot, parts, shares, total, chunk, down, across, *_plane(shape), shape.cin,
        shape.cout, cell_in, step_in, cell_out, step_out, share, group, step_products, inputs,
        outputs, products,
    )  # fmt: skip
    plan = FilterTiles(tile, lanes, rows, vectors, masked)
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
