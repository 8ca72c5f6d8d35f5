"""Whether a convolution is computed by Winograd's transforms, and with which tiles.

A model of the costs decides, from shapes alone, in vector operations: those of the products (with
what the blocks and the tiles at the edges waste), and those of the transforms. It is calibrated on
Zen 4 with AVX-512 (one thread; GFLOP/s as if computed directly, 64 channels, 3 x 3, batch 64):

    outputs         2x2   3x3   4x4   5x5   6x6   7x7   8x8   16x16
    direct          166   186   164   154   147   142   138   124
    2 x 2 tiles     185   124   217   158   227   174   227   214
    4 x 4 tiles      79   175   307   148   212   288   375   370

(Direct kernels skip the zeros beside the image, so small images seem faster.)
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from glubina.codegen import planes_plan
from glubina.codegen.conv_plan import ConvShape
from glubina.codegen.target import Target
from glubina.codegen.winograd_lines import Line
from glubina.codegen.winograd_plan import FEW, Tile, counts

OPTIONS: dict[int, tuple[int, ...]] = {1: (1,), 3: (2, 4), 5: (2,)}
"""For so many taps along an axis, how many outputs a tile may have."""

GAIN = 0.9
"""Transforms must cost less than this part of the direct way, because they are less precise."""

PLACE = 50.0
"""What finding a tile's pixels costs."""

CALL = 5000.0
"""What the additional stages cost."""


def choose(shape: ConvShape, dtype: np.dtype, target: Target, gradient: bool) -> Tile | None:
    """The tiles with which a convolution, or its filter's gradient, is computed; None: directly."""
    a = shape.geometry
    if target.direct or dtype != np.float32 or a.groups != 1 or len(shape.window) > 2:
        return None
    if any(step != 1 for step in (*a.stride, *a.dilation, *a.input_dilation)):
        return None
    if min(shape.batch, *shape.outputs, *shape.spatial, shape.cin, shape.cout) < 1:
        return None
    window = shape.window if len(shape.window) == 2 else (1, *shape.window)
    if any(taps not in OPTIONS for taps in window) or max(window) == 1:
        return None
    lines = [[Line(outputs, taps) for outputs in OPTIONS[taps]] for taps in window]
    lanes = target.lanes(dtype)
    best, found = GAIN * direct_cost(shape, target.vectors(dtype, shape.cout), gradient), None
    if not gradient and planes_plan.pays(shape, dtype, target):
        each, _ = planes_plan.costs(shape, dtype, target)
        best = min(best, GAIN * each * shape.batch * prod(shape.outputs))
    for tile in product(*lines):
        cost = winograd_cost(shape, (tile[0], tile[1]), lanes, gradient)
        if cost < best:
            best, found = cost, (tile[0], tile[1])
    return found


def _inside(outputs: int, extent: int, taps: int, low: int) -> int:
    """How many pairs of output and tap meet the image along an axis."""
    return sum(max(0, min(outputs, extent + low - tap) - max(0, low - tap)) for tap in range(taps))


def direct_cost(shape: ConvShape, vectors: float, gradient: bool) -> float:
    """The vector operations of the direct kernels; vectors: those along the output channels."""
    meeting = [
        _inside(outputs, extent, taps, padding[0])
        for outputs, extent, taps, padding in zip(
            shape.outputs, shape.spatial, shape.window, shape.geometry.padding, strict=True
        )
    ]
    work = 1.03 * shape.batch * prod(meeting) * shape.cin * vectors
    if gradient:  # the sums are fetched and stored for every image
        work *= 1 + 12 / prod(shape.outputs)
    return work


def _transform(tile: Tile) -> float:
    """The vector operations of transforming one vector of a tile's channels."""
    return tile[0].points * tile[1].points * (3 + 0.15 * (tile[0].points + tile[1].points))


def winograd_cost(shape: ConvShape, tile: Tile, lanes: int, gradient: bool) -> float:
    """The vector operations of the way by transforms."""
    total = shape.batch * prod(counts(shape, tile))
    points, taps = tile[0].points * tile[1].points, prod(shape.window)
    transform = _transform(tile)
    inside, outside = -(-shape.cin // lanes), -(-shape.cout // lanes)
    if gradient:
        chunks = -(-total // max(24, min(64, total // 32)))
        each = points * shape.cin * outside + transform * (inside + outside) + 2 * PLACE
        turned = (transform + 12 * taps) * shape.cin * outside
        ends = 20 * points * -(-shape.cin // 12) * outside
        return 1.1 * (total * each + chunks * (turned + ends)) + CALL
    outputs = tile[0].outputs * tile[1].outputs
    deep = shape.cin + (5 if outside == 1 else 3)
    each = transform * (inside + outside) + 4 * outputs * outside + PLACE
    rows = 12 if total >= 24 else min(total, 6)
    whole = -(-total // rows) * rows
    turned = 1.2 * transform * shape.cin * outside
    if total > FEW and points * shape.cin * shape.cout > 1 << 21:
        turned *= 3  # it does not fit into the cache
    return whole * points * deep * outside + total * each + turned + CALL
