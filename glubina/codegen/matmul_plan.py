"""Which way a matrix product is computed: its register block, what is packed, how it is split."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

import numpy as np

from glubina.codegen.packing import Panels, deep
from glubina.codegen.target import Target

SMALL = 1 << 14
"""Multiplications below which nothing is packed."""

MANY_ROWS = 1000
"""The m from which A is packed, which permits more rows in a block: unpacked, many rows that lie a
power of two apart would not fit into the first-level cache together."""

LARGE = 1 << 23
"""The size of A in bytes from which A is packed also of fewer rows and for few columns, where it
lies transposed; half of it, where several blocks of columns read A."""

CACHE = 1 << 19
"""What of the factors is to stay in the second-level cache, in bytes."""

PIECE = 3 << 13
"""What of A stays in the first-level cache, where it is packed piece by piece, in bytes."""

NEAR = 1 << 18
"""The size of a result from which the memory of its epilogue is asked for ahead, in bytes."""

FAR = 1 << 22
"""The size of a B, read in place, from which its memory is asked for ahead, in bytes."""

ROWS_TOGETHER = 8
"""The panels of rows that meet a panel of columns in a row, where threads share the rows."""

STRIP = 64
"""The columns of a strip, and the least rows of a stretch that meets it."""

MOST_ROWS = 16
"""The rows of A up to which a B that lies transposed is read in place, for dot products."""

ITEMS = 8
"""The strips and stretches that a product is cut into where it can be, for several threads."""

SLOTS = 32
"""At most so many threads take part in a product by strips."""

DEEP = 2048
"""The k from which a product of few blocks is summed in parts, to occupy more threads."""


@dataclass(frozen=True)
class Factor:
    """A factor as strided memory: a buffer, its first element, its strides in elements.

    strides: of the batch, of rows and of columns; along an extent of 1 they mean nothing.
    """

    buffer: int
    offset: int
    strides: tuple[int, int, int]


@dataclass(frozen=True)
class MatmulShape:
    """Extents and factors: A is [batch, m, k], B is [batch, k, n]."""

    batch: int
    m: int
    k: int
    n: int
    a: Factor
    b: Factor

    def turned(self) -> MatmulShape:
        """Cᵀ = Bᵀ Aᵀ, which for a single column lies in memory just as C does."""
        a, b = (
            replace(x, strides=(x.strides[0], x.strides[2], x.strides[1])) for x in (self.b, self.a)
        )
        return MatmulShape(self.batch, self.n, self.k, self.m, a, b)


@dataclass(frozen=True)
class MatmulPlan:
    """What is compiled in.

    rows, vectors: the register block; of dot products, its rows and columns.
    way: "blocks" of rows x vectors; "strips": blocks, and each thread packs its part of B;
        "pieces": blocks, and each thread packs the rows of A for a piece of k as it meets them;
        "dots": dot products of rows with columns.
    a, b: how a factor is read: from "panels", or in place, where a's k axis or b's n axis is
        contiguous ("dense") or not ("strided").
    a_panels, b_panels: how it is packed.
    parts: whether k is split into parts.
    whole: whether n is made of whole blocks, so that nothing is masked.
    by_rows: whether the threads share the rows of C rather than its columns.
    ahead: whether memory that the epilogue needs is asked for before a block's sums are made; of
        dot products, whether that of B is.
    """

    dtype: str
    lanes: int
    way: str
    rows: int
    vectors: int
    a: str
    b: str
    a_panels: Panels
    b_panels: Panels
    parts: bool
    whole: bool
    by_rows: bool
    ahead: bool

    @property
    def columns(self) -> int:
        """The columns of a block."""
        return self.vectors * self.lanes


def plan_matmul(shape: MatmulShape, dtype: np.dtype, target: Target) -> MatmulPlan:
    """Choose the way, the register block, and what is packed."""
    lanes = target.lanes(dtype)
    m, k, n = shape.m, shape.k, shape.n
    dense_a = shape.a.strides[2] == 1 or k == 1
    dense_b = shape.b.strides[2] == 1 or n == 1
    deep_b = shape.b.strides[1] == 1 or k == 1
    small = m * k * n <= SMALL
    reads = 2 if n > 3 * lanes else 1
    streamed = _by_rows(shape) and reads * m * k * dtype.itemsize >= LARGE
    many = m >= MANY_ROWS or streamed
    rows, vectors = _block(m, n, lanes, target.registers, many)
    if not dense_b and (small or m <= MOST_ROWS) and dense_a and deep_b and k >= 4 * lanes:
        way, a, b = "dots", "dense", "dense"
        rows, vectors = _dots_block(m, lanes, target.registers)
    else:
        way = "blocks"
        a = "dense" if dense_a else "strided"
        b = "dense" if dense_b else "strided"
        apart = not dense_a and shape.a.strides[1] != 1
        if streamed or (not small and n > 2 * vectors * lanes and (many or apart)):
            a = "panels"
        if not small and (m > 2 * rows or not dense_b):
            b = "panels"
    columns = vectors * lanes
    blocks = shape.batch * -(-m // rows) * -(-n // columns)
    split = way == "blocks" and blocks <= 8 and k >= DEEP
    if a == b == "panels" and shape.batch == 1 and not split and not target.repeats:
        way = "pieces"
    elif b == "panels" and not split and not _by_rows(shape) and not target.repeats:
        way = "strips"
    along_k = shape.a.strides[2] == 1 and k > 1
    held = 2 * rows if way == "pieces" and not along_k else rows
    ahead = _result_bytes(shape, dtype) >= NEAR
    if way == "dots":
        ahead = k * n * dtype.itemsize >= FAR
    return MatmulPlan(
        dtype.name, lanes, way, rows, vectors, a, b,
        Panels(held, -(-held // lanes) * lanes, along_k),
        Panels(columns, columns, deep_b and not dense_b),
        split,
        n % (lanes if way == "dots" else columns) == 0,
        _by_rows(shape), ahead,
    )  # fmt: skip


def _dots_block(m: int, lanes: int, registers: int) -> tuple[int, int]:
    """The rows and columns whose dot products are summed at a time."""
    rows = min(m, 4 if registers == 32 else 2)
    room = (registers - 8) // rows if registers == 32 else 8 // rows
    return rows, min(lanes, 1 << (room.bit_length() - 1))


def _by_rows(shape: MatmulShape) -> bool:
    """Whether threads share the rows of C.

    A product whose A lies transposed is most often the gradient of a weight, and its rows are what
    the product that reads the weight shares out as columns: so a part of the weight stays with one
    thread, in its caches, from one step to the next.
    """
    return shape.a.strides[1] == 1 and shape.a.strides[2] != 1 and shape.m > 1


def _result_bytes(shape: MatmulShape, dtype: np.dtype) -> int:
    return shape.batch * shape.m * shape.n * dtype.itemsize


def _block(m: int, n: int, lanes: int, registers: int, many: bool) -> tuple[int, int]:
    """The rows and vectors of a register block.

    They hardly depend on m, so that a smaller batch finds its code; few rows are taken as they
    are, with as many vectors as keep the multipliers busy.
    """
    across = -(-n // lanes)
    room = registers - 4
    if m <= 4:
        return m, max(1, min(across, 8 // m if registers == 32 else 6 // m))
    vectors = across if across <= (3 if registers == 32 else 2) else 2
    if registers == 32 and across == 5 and m >= ITEMS * STRIP:
        vectors = 5  # of 2 each, the last block would be half empty
    most = min(14, room // vectors)
    if m <= most:
        return m, vectors
    if registers == 32 and not many:
        most = min(most, 8)
    return most, vectors


def parts(plan: MatmulPlan, shape: MatmulShape) -> int:
    """Into how many parts k is split."""
    if not plan.parts:
        return 1
    blocks = shape.batch * -(-shape.m // plan.rows) * -(-shape.n // plan.columns)
    return max(1, min(shape.k // (DEEP // 4), 32 // blocks))


def together(plan: MatmulPlan, shape: MatmulShape) -> int:
    """How many panels of the shared axis run together, while they stay in the cache."""
    size = np.dtype(plan.dtype).itemsize
    if plan.by_rows:
        room = CACHE // (shape.k * plan.rows * size + 1)
        return max(1, min(room, ROWS_TOGETHER))
    if plan.parts or shape.m * shape.k * size <= CACHE:
        return 1
    return max(1, min(CACHE // (shape.k * plan.columns * size), -(-shape.n // plan.columns)))


@dataclass(frozen=True)
class Strips:
    """How a product by strips is cut.

    together: panels of columns in a strip. lines: panels of rows in a stretch.
    depth: the k of a piece. slots: how many threads take part.
    slot: the elements of a thread's own memory: a piece of what it packs, and the sums.
    """

    together: int
    lines: int
    depth: int
    slots: int
    slot: int


def strips(plan: MatmulPlan, shape: MatmulShape) -> Strips:
    """Strips that stay in the cache, and enough of them for several threads."""
    size = np.dtype(plan.dtype).itemsize
    across, down = -(-shape.n // plan.columns), -(-shape.m // plan.rows)
    together = max(1, STRIP // plan.columns)
    while together > 1 and shape.batch * -(-across // together) < ITEMS:
        together //= 2
    count = shape.batch * -(-across // together)
    most = max(plan.lanes, CACHE // 2 // (together * plan.columns * size))
    depth = deep(-(-shape.k // -(-shape.k // most)), plan.lanes)
    lines = -(-down // -(-ITEMS // count))
    lines = min(down, max(lines, -(-STRIP // plan.rows)))
    sums = 1
    if depth < shape.k:
        block = plan.rows * plan.columns * size
        lines = min(lines, max(1, CACHE // 4 // (together * block)))
        sums = lines * together
    slot = together * depth * plan.columns + sums * plan.rows * plan.columns
    return Strips(together, lines, depth, min(SLOTS, count * -(-down // lines)), slot)


def pieces(plan: MatmulPlan, shape: MatmulShape) -> Strips:
    """Pieces of k of which a panel of A stays in the first-level cache, all of a strip of B near.

    A slot holds a piece of a panel of A (which serves two rows of blocks where rows lie side by
    side, so that fewer lines and pages of memory are touched), and the sums of a stretch.
    """
    size = np.dtype(plan.dtype).itemsize
    across, down = -(-shape.n // plan.columns), -(-shape.m // plan.rows)
    depth = PIECE // (plan.a_panels.stride * size)
    depth = deep(-(-shape.k // -(-shape.k // depth)), plan.lanes)
    widest = max(1, CACHE // (depth * plan.columns * size))
    together = -(-across // -(-across // widest))
    lines, sums = down, 1
    if depth < shape.k:
        block = plan.rows * plan.columns * size
        lines = max(1, min(down, CACHE // 4 // (together * block)))
        sums = lines * together
    slot = depth * plan.a_panels.stride + sums * plan.rows * plan.columns
    return Strips(together, lines, depth, min(SLOTS, down), -(-slot // 16) * 16)


def workspaces(plan: MatmulPlan, shape: MatmulShape) -> tuple[int, int]:
    """The bytes of the panels (A's, then B's or the threads' own) and of the partial sums."""
    size = np.dtype(plan.dtype).itemsize
    panels = _panel_bytes(plan, shape, "a")
    if plan.way == "strips":
        cut = strips(plan, shape)
        return panels + cut.slots * cut.slot * size, 64
    panels += _panel_bytes(plan, shape, "b")
    across, down = -(-shape.n // plan.columns), -(-shape.m // plan.rows)
    block = plan.rows * plan.columns * size
    sums = parts(plan, shape) * shape.batch * across * down * block if plan.parts else 0
    return max(64, panels), max(64, sums)


def _panel_bytes(plan: MatmulPlan, shape: MatmulShape, factor: str) -> int:
    if getattr(plan, factor) != "panels":
        return 0
    panels: Panels = getattr(plan, f"{factor}_panels")
    long = shape.m if factor == "a" else shape.n
    size = np.dtype(plan.dtype).itemsize
    if plan.way == "pieces" and factor == "a":
        cut = pieces(plan, shape)
        return -(-cut.slots * cut.slot * size // 64) * 64
    return -(-panels.bytes(shape.batch, long, shape.k, plan.lanes, size) // 64) * 64


def numbers(plan: MatmulPlan, shape: MatmulShape) -> tuple[int, ...]:
    """The run-time numbers of every stage.

    Extents batch, m, k, n; the parts of k and their length; per factor the offset and the strides
    of batch, rows, columns; where B's panels begin; the panels that run together; how strips are
    cut.
    """
    count = parts(plan, shape)
    per = -(-shape.k // count)
    size = np.dtype(plan.dtype).itemsize
    cut: tuple[int, ...] = (together(plan, shape), 0, 0, 0, 0)
    if plan.way == "strips":
        cut = astuple(strips(plan, shape))
    elif plan.way == "pieces":
        cut = astuple(pieces(plan, shape))
    return (
        shape.batch, shape.m, shape.k, shape.n, count, per,
        shape.a.offset, *shape.a.strides, shape.b.offset, *shape.b.strides,
        _panel_bytes(plan, shape, "a") // size, *cut,
    )  # fmt: skip
